//! Who may do what: keys and tokens with permissions, or loopback alone.

mod failures;
mod jwt;
mod keys;
mod local;
mod permission;

pub use failures::Failures;
pub use keys::{NewKey, new_key};
pub use permission::{Permission, Permissions};

use crate::{
    error::{Error, Result},
    problem::Problem,
    settings::ApiSettings,
};
use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header, request::Parts},
};
use jwt::Tokens;
use keys::Keys;
use std::{convert::Infallible, sync::Arc};

/// The caller of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// `key:` and its name, or `token:` and its subject; none where no key is wanted.
    pub name: Option<String>,
    /// What they may do.
    pub permissions: Permissions,
    /// Where they may do it; none: in all namespaces.
    pub namespaces: Limit,
}

/// The namespaces that a caller is limited to; none: no limit.
pub type Limit = Option<Arc<[String]>>;

/// The namespaces of a keys file or a token.
///
/// # Errors
/// The list is empty, or has a name that a namespace cannot have.
fn limit_of(names: Vec<String>) -> Result<Arc<[String]>, String> {
    let is_name = |name: &str| {
        let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(known)
    };
    match names.iter().find(|name| !is_name(name)) {
        Some(bad) => Err(format!("{bad:?} cannot be a namespace")),
        None if names.is_empty() => {
            Err("namespaces is empty: leave it out for no limit".to_owned())
        }
        None => Ok(names.into()),
    }
}

impl Caller {
    /// Someone who may do nothing, nowhere.
    pub fn nobody() -> Self {
        Self {
            name: None,
            permissions: Permissions::Some(Vec::new()),
            namespaces: Some(Arc::new([])),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    /// Put there by the layer that let the request in; without it, someone who may do nothing.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let nobody = Self::nobody();
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or(nobody))
    }
}

/// What is wanted of a request.
#[derive(Debug)]
pub struct Access {
    keys: Option<Arc<Keys>>,
    tokens: Option<Arc<Tokens>>,
}

impl Access {
    /// As the settings say.
    ///
    /// # Errors
    /// Neither keys nor JWKS, and an address that others can reach; keys or JWKS that cannot be
    /// used.
    pub async fn open(settings: &ApiSettings) -> Result<Self> {
        if !settings.is_closed() && !settings.listen.ip().is_loopback() {
            return Err(Error::Open(settings.listen));
        }
        let keys = settings.keys.as_deref().map(Keys::open).transpose()?;
        let tokens = match &settings.jwks {
            Some(jwks) => Some(Tokens::open(jwks, settings).await?),
            None => None,
        };
        Ok(Self { keys, tokens })
    }

    /// The caller of a request.
    ///
    /// # Errors
    /// 401 without a valid key; 403 for a page of another origin where none is wanted.
    pub async fn admit(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
    ) -> Result<Caller, Box<Problem>> {
        if self.keys.is_none() && self.tokens.is_none() {
            local::check(method, uri, headers)?;
            return Ok(Caller { name: None, permissions: Permissions::All, namespaces: None });
        }
        let Some(secret) = secret_of(headers) else {
            return Err(unauthorized("there is no key")
                .hint("Send the header Authorization: Bearer KEY, or X-API-Key: KEY."));
        };
        self.owner(secret).await
    }

    /// Whose key or token this is.
    async fn owner(&self, secret: &str) -> Result<Caller, Box<Problem>> {
        if let Some(caller) = self.keys.as_ref().and_then(|keys| keys.find(secret)) {
            return Ok(caller);
        }
        match &self.tokens {
            Some(tokens) if secret.matches('.').count() == 2 => tokens.check(secret).await,
            _ => Err(unauthorized("the key is unknown")),
        }
    }
}

/// By which a stream finds out whether it may go on: keys are withdrawn and tokens expire while it
/// is open.
#[derive(Clone)]
pub struct Admission {
    access: Arc<Access>,
    /// None: no key is wanted.
    secret: Option<String>,
    permission: Permission,
    namespaces: Limit,
}

impl Admission {
    /// For a request that was admitted.
    pub fn new(
        access: &Arc<Access>,
        headers: &HeaderMap,
        permission: Permission,
        caller: &Caller,
    ) -> Self {
        let wanted = access.keys.is_some() || access.tokens.is_some();
        let secret = secret_of(headers).filter(|_| wanted).map(str::to_owned);
        let namespaces = caller.namespaces.clone();
        Self { access: Arc::clone(access), secret, permission, namespaces }
    }

    /// Whether it would be let in now.
    ///
    /// # Errors
    /// 401 or 403 as a new request would be answered.
    pub async fn check(&self) -> Result<(), Box<Problem>> {
        let Some(secret) = &self.secret else { return Ok(()) };
        let owner = self.access.owner(secret).await?;
        match owner.permissions.allow(self.permission) {
            // Begun with another limit, it would go on with that one.
            true if owner.namespaces != self.namespaces => {
                Err(unauthorized("the limit to namespaces has changed"))
            }
            true => Ok(()),
            false => Err(forbidden(self.permission)),
        }
    }
}

/// What no audit shows as it is: control characters, and those that turn the direction of text.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The key or token of a request.
fn secret_of(headers: &HeaderMap) -> Option<&str> {
    if let Some(value) = headers.get("x-api-key") {
        return value.to_str().ok();
    }
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, secret) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(secret.trim())
}

fn unauthorized(detail: &str) -> Box<Problem> {
    Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", "A valid key or token is needed")
        .detail(detail)
        .header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tasker\""))
}

/// Whether a request brings a key or token, whatever it is.
pub fn is_tried(headers: &HeaderMap) -> bool {
    secret_of(headers).is_some()
}

/// What concerns all namespaces.
pub fn limited() -> Box<Problem> {
    Problem::new(
        StatusCode::FORBIDDEN,
        "limited_to_namespaces",
        "Keys that are limited to namespaces may not use this",
    )
    .hint("Use a key without `namespaces` in the keys file or the token.")
}

/// The problem of a caller without this permission.
pub fn forbidden(permission: Permission) -> Box<Problem> {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "The key does not allow this")
        .detail(format!("it lacks the permission {permission}"))
        .hint("Use another key, or add the permission to this one in the keys file or the token.")
}
