//! Passwords that cost no time: PostgreSQL stores how often a password is hashed with it, and takes
//! one round as well as its 4,096, which were a tenth of all that the tests compute.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

/// What `create role … password` stores as it is (RFC 5803). Only for passwords that are random.
pub(crate) fn verifier(password: &str) -> String {
    let salt = *uuid::Uuid::new_v4().as_bytes();
    // One round of PBKDF2: the salt and the number of the block.
    let salted = mac(password.as_bytes(), &[&salt[..], &1_u32.to_be_bytes()].concat());
    let stored = Sha256::digest(mac(&salted, b"Client Key"));
    let server = mac(&salted, b"Server Key");
    let [salt, stored, server] =
        [&salt[..], &stored[..], &server].map(|bytes| STANDARD.encode(bytes));
    format!("SCRAM-SHA-256$1:{salt}${stored}:{server}")
}

fn mac(key: &[u8], message: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(message);
    mac.finalize().into_bytes().to_vec()
}
