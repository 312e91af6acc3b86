//! The cryptography of TLS.

/// Sets the cryptography of rustls, which can be set once; another caller may have set it already.
pub(crate) fn install_crypto() {
    rustls::crypto::ring::default_provider().install_default().ok();
}
