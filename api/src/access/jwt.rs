//! Tokens: JWT signed by a key of a JWKS. The algorithm is the key's, never the token's choice.

use super::{Caller, permission::Permissions};
use crate::{
    error::{Error, Result},
    problem::Problem,
    settings::ApiSettings,
};
use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::ErrorKind,
    get_current_timestamp,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;
use std::{
    net::IpAddr,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};

/// The keys are asked for again for an unknown one, but not more often than this.
const AT_MOST: Duration = Duration::from_secs(10);
/// The keys are read again at least this often, so that a withdrawn key is no longer accepted.
const AT_LEAST: Duration = Duration::from_secs(300);
/// How long a JWKS may take to arrive.
const PATIENCE: Duration = Duration::from_secs(5);
/// A larger JWKS is refused.
const MAX_BYTES: usize = 1 << 20;
/// The name of a caller whose token has no `sub`.
const NAMELESS: &str = "token";
/// Seconds by which clocks may differ.
const LEEWAY: u64 = 30;

/// Checks tokens.
#[derive(Debug)]
pub struct Tokens {
    source: Source,
    issuer: Option<String>,
    audience: Option<String>,
    keys: RwLock<Arc<Vec<Key>>>,
    /// When the keys were asked for last.
    asked: Mutex<Option<Instant>>,
}

#[derive(Debug)]
enum Source {
    Url(reqwest::Url, reqwest::Client),
    File(PathBuf),
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

#[derive(Debug, Deserialize)]
struct Claims {
    sub: Option<String>,
    permissions: Option<Vec<String>>,
    scope: Option<String>,
    namespaces: Option<Vec<String>>,
    exp: Option<f64>,
    nbf: Option<f64>,
}

impl Claims {
    /// Times of a token are numbers that may have a fraction (RFC 7519, 2). The library reads them
    /// as any number, of which serde_json, where it keeps every digit, gives it no fraction.
    fn check_times(&self) -> Result<(), ErrorKind> {
        let (now, leeway) = (get_current_timestamp() as f64, LEEWAY as f64);
        match (self.exp, self.nbf) {
            (None, _) => Err(ErrorKind::MissingRequiredClaim("exp".to_owned())),
            (Some(exp), _) if exp < now - leeway => Err(ErrorKind::ExpiredSignature),
            (_, Some(nbf)) if nbf > now + leeway => Err(ErrorKind::ImmatureSignature),
            _ => Ok(()),
        }
    }
}

impl Tokens {
    /// Reads the JWKS. A URL that does not answer is asked again when a token comes.
    ///
    /// # Errors
    /// A URL that is neither https nor of loopback; a file that cannot be read or has no key of
    /// use.
    pub async fn open(jwks: &str, settings: &ApiSettings) -> Result<Arc<Self>> {
        let tokens = Arc::new(Self {
            source: Source::of(jwks)?,
            issuer: settings.jwt_issuer.clone(),
            audience: settings.jwt_audience.clone(),
            keys: RwLock::default(),
            asked: Mutex::default(),
        });
        if tokens.audience.is_none() {
            tracing::warn!(
                "tokens for other programs are accepted too, if they have permissions of Tasker: \
                 set the required `aud` with --http-jwt-audience"
            );
        }
        match (tokens.refresh(Duration::ZERO).await, &tokens.source) {
            (Ok(()), Source::File(_)) if tokens.keys().is_empty() => {
                return Err(Error::Jwks(format!("{jwks} has no key for RS256 or EdDSA")));
            }
            (Ok(()), _) => {}
            (Err(error), Source::File(_)) => return Err(Error::Jwks(error)),
            (Err(error), Source::Url(..)) => {
                tracing::warn!(%error, "the JWKS is not available yet: tokens are refused until \
                    it is");
            }
        }
        let weak = Arc::downgrade(&tokens);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(AT_LEAST).await;
                let Some(tokens) = weak.upgrade() else { return };
                if let Err(error) = tokens.refresh(AT_MOST).await {
                    tracing::warn!(%error, "the JWKS cannot be refreshed: the previous keys stay \
                        valid");
                }
            }
        });
        Ok(tokens)
    }

    /// Who brings this token.
    ///
    /// # Errors
    /// Why it is not accepted; never with a part of it.
    pub async fn check(&self, token: &str) -> Result<Caller, Box<Problem>> {
        let header = decode_header(token).map_err(|_| {
            super::unauthorized("the token is not a JWT with an accepted algorithm")
        })?;
        // What must not be passed over is not known here (RFC 7515, 4.1.11).
        if header.crit.is_some() {
            return Err(super::unauthorized("the token demands an extension of JWT"));
        }
        let id = header.kid.as_deref();
        if Self::pick(&self.keys(), id).is_none() {
            if let Err(error) = self.refresh(AT_MOST).await {
                tracing::warn!(%error, "the JWKS cannot be refreshed");
            }
            if self.keys().is_empty() {
                return Err(Problem::unavailable(
                    "jwks_unavailable",
                    "The keys that check tokens are not available",
                    PATIENCE,
                ));
            }
        }
        let keys = self.keys();
        let Some(key) = Self::pick(&keys, id) else {
            return Err(super::unauthorized(
                "the token is signed by a key that the JWKS does not have",
            ));
        };
        let claims = decode::<Claims>(token, &key.key, &self.validation(key.algorithm))
            .map_err(|error| refusal(error.kind()))?;
        claims.claims.check_times().map_err(|kind| refusal(&kind))?;
        let Claims { sub, permissions, scope, namespaces, .. } = claims.claims;
        let words = permissions.iter().flatten().map(String::as_str);
        let scopes = scope.as_deref().unwrap_or_default().split_whitespace();
        // Without a name it could take anybody's in the audit.
        let name = sub
            .filter(|sub| !sub.is_empty())
            .map_or(NAMELESS.to_owned(), |sub| format!("{NAMELESS}:{sub}"));
        if name.chars().any(super::is_hidden) {
            return Err(super::unauthorized(
                "the token's `sub` has characters that cannot be seen",
            ));
        }
        let namespaces = namespaces.map(super::limit_of).transpose();
        let namespaces = namespaces
            .map_err(|problem| super::unauthorized(&format!("the token's claim: {problem}")))?;
        Ok(Caller {
            name: Some(name),
            permissions: Permissions::known(words.chain(scopes)),
            namespaces,
        })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        // See `Claims::check_times`.
        validation.validate_exp = false;
        let mut required = Vec::new();
        match &self.issuer {
            Some(issuer) => {
                validation.set_issuer(&[issuer]);
                required.push("iss");
            }
            None => validation.iss = None,
        }
        match &self.audience {
            Some(audience) => {
                validation.set_audience(&[audience]);
                required.push("aud");
            }
            None => validation.validate_aud = false,
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn keys(&self) -> Arc<Vec<Key>> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The key with this id; a token without one means the only key.
    fn pick<'a>(keys: &'a [Key], id: Option<&str>) -> Option<&'a Key> {
        match (id, keys) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        }
    }

    /// Reads the keys, unless that was done within `interval`. Concurrent callers wait for the
    /// outcome.
    async fn refresh(&self, interval: Duration) -> Result<(), String> {
        let mut asked = self.asked.lock().await;
        if asked.is_some_and(|last| last.elapsed() < interval) {
            return Ok(());
        }
        *asked = Some(Instant::now());
        let text = self.source.read().await?;
        let keys = keys_of(&text)?;
        // None left is a withdrawal too.
        if keys.is_empty() {
            tracing::warn!("the JWKS has no key for RS256 or EdDSA: no token is accepted");
        }
        tracing::debug!(keys = keys.len(), "the JWKS is read");
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(())
    }
}

impl Source {
    fn of(jwks: &str) -> Result<Self> {
        if !jwks.contains("://") {
            return Ok(Self::File(PathBuf::from(jwks)));
        }
        let url = reqwest::Url::parse(jwks)
            // An invalid URL may hold a password in any place.
            .map_err(|error| Error::Jwks(format!("it is neither a URL nor a file: {error}")))?;
        let loopback = url.host_str().is_some_and(|host| {
            let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
            host == "localhost" || address.is_ok_and(|address| address.is_loopback())
        });
        if url.scheme() != "https" && !(url.scheme() == "http" && loopback) {
            let url = shown(&url);
            return Err(Error::Jwks(format!(
                "{url}: give an https URL (http for loopback only) or a file"
            )));
        }
        crate::crypto::install_crypto();
        let client = reqwest::Client::builder()
            .timeout(PATIENCE)
            // Elsewhere might be plain http, or inside the network.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Jwks(error.to_string()))?;
        Ok(Self::Url(url, client))
    }

    async fn read(&self) -> Result<String, String> {
        match self {
            Self::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|error| format!("cannot read {}: {error}", path.display())),
            Self::Url(url, client) => {
                let fetched = async {
                    let mut response = client.get(url.clone()).send().await?.error_for_status()?;
                    let mut body = Vec::new();
                    while let Some(chunk) = response.chunk().await? {
                        body.extend_from_slice(&chunk);
                        if body.len() > MAX_BYTES {
                            break;
                        }
                    }
                    Ok::<_, reqwest::Error>(body)
                };
                let body = fetched.await.map_err(|error| {
                    format!("cannot get {}: {}", shown(url), error.without_url())
                })?;
                match body.len() > MAX_BYTES {
                    true => Err(format!("{} answers more than {MAX_BYTES} bytes", shown(url))),
                    false => String::from_utf8(body)
                        .map_err(|_| format!("{} does not answer text", shown(url))),
                }
            }
        }
    }
}

/// For messages: user, password, and query may be secrets.
fn shown(url: &reqwest::Url) -> String {
    format!("{}{}", url.origin().ascii_serialization(), url.path())
}

/// The keys of use; others are passed over, as a JWKS may have them for other programs.
fn keys_of(text: &str) -> Result<Vec<Key>, String> {
    let set: Value = serde_json::from_str(text).map_err(|_| "it is not JSON".to_owned())?;
    let keys = set["keys"].as_array().ok_or("it has no array `keys`")?;
    Ok(keys.iter().filter_map(|key| key_of(&serde_json::from_value(key.clone()).ok()?)).collect())
}

fn key_of(jwk: &Jwk) -> Option<Key> {
    let declared = &jwk.common.key_algorithm;
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) if matches!(declared, None | Some(KeyAlgorithm::RS256)) => {
            Algorithm::RS256
        }
        AlgorithmParameters::OctetKeyPair(pair)
            if pair.curve == EllipticCurve::Ed25519
                && matches!(declared, None | Some(KeyAlgorithm::EdDSA)) =>
        {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
        return None;
    }
    Some(Key { id: jwk.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(jwk).ok()? })
}

fn refusal(kind: &ErrorKind) -> Box<Problem> {
    super::unauthorized(match kind {
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidIssuer => "the token is from another issuer",
        ErrorKind::InvalidAudience => "the token is for another audience",
        ErrorKind::MissingRequiredClaim(_) => {
            "the token lacks a claim: exp, and where they are configured iss and aud"
        }
        ErrorKind::InvalidAlgorithm => "the token's algorithm is not that of its key",
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        _ => "the token is malformed",
    })
}
