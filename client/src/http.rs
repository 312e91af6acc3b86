//! Tasker over its HTTP API.

/// A [`crate::Client`] of an HTTP API.
#[derive(Debug, Clone)]
pub struct HttpClient;

impl HttpClient {
    /// At `url`, with a key where the server wants one.
    ///
    /// # Errors
    /// The URL is not one.
    pub fn new(_url: &str, _key: Option<&str>) -> crate::Result<Self> {
        Ok(Self)
    }
}
