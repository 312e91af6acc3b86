//! Who may do what: keys and tokens with permissions, or loopback alone.

mod jwt;
mod keys;
mod local;
mod permission;

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
use tasker_client::By;

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The key's name or the token's subject; none where no key is wanted.
    pub name: Option<String>,
    /// What they may do.
    pub permissions: Permissions,
}

impl Caller {
    /// Who acts, for the audit: the key, or a person of whom it says so.
    pub fn acts_as(&self, by: Option<&str>) -> Option<String> {
        match (&self.name, by.filter(|by| !by.is_empty())) {
            (Some(key), Some(by)) => Some(format!("{by} (key {key})")),
            (Some(key), None) => Some(key.clone()),
            (None, by) => by.map(str::to_owned),
        }
    }

    /// The audit's form of it.
    pub fn by<'a>(who: &'a Option<String>, reason: &'a Option<String>) -> By<'a> {
        By { who: who.as_deref(), reason: reason.as_deref() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    /// Put there by the layer that let the request in; without it, someone who may do nothing.
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let nobody = Self { name: None, permissions: Permissions::Some(Vec::new()) };
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
    /// Neither keys nor JWKS, and an address that others can reach; keys or JWKS that cannot be used.
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

    /// Who asks.
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
            return Ok(Caller { name: None, permissions: Permissions::All });
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
            _ => Err(unauthorized("the key is not known")),
        }
    }
}

/// By which a stream finds out whether it may go on: keys are withdrawn and tokens expire while it is open.
#[derive(Clone)]
pub struct Admission {
    access: Arc<Access>,
    /// None: no key is wanted.
    secret: Option<String>,
    permission: Permission,
}

impl Admission {
    /// Of a request that was let in.
    pub fn new(access: &Arc<Access>, headers: &HeaderMap, permission: Permission) -> Self {
        let wanted = access.keys.is_some() || access.tokens.is_some();
        let secret = secret_of(headers).filter(|_| wanted).map(str::to_owned);
        Self { access: Arc::clone(access), secret, permission }
    }

    /// Whether it would be let in now.
    ///
    /// # Errors
    /// 401 or 403 as a new request would be answered.
    pub async fn check(&self) -> Result<(), Box<Problem>> {
        let Some(secret) = &self.secret else { return Ok(()) };
        match self.access.owner(secret).await?.permissions.allow(self.permission) {
            true => Ok(()),
            false => Err(forbidden(self.permission)),
        }
    }
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

/// What a caller lacks.
pub fn forbidden(permission: Permission) -> Box<Problem> {
    Problem::new(StatusCode::FORBIDDEN, "forbidden", "The key does not allow this")
        .detail(format!("it lacks the permission {permission}"))
        .hint("Use another key, or add the permission to this one in the keys file or the token.")
}
