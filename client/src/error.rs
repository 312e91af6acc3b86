//! What goes wrong between a program and Tasker.

use std::time::Duration;

/// The result of a call.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The engine refused it: `code` is an SQLSTATE of class TK, see docs/sql-api.md for cause and
    /// remedy. The same over both ways.
    #[error("{message} ({code})")]
    Refused {
        /// `TK001` and up.
        code: String,
        /// What is wrong.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The HTTP API refused the request: not logged in, not allowed, too large, not well formed.
    #[error(
        "{title}{} ({code})",
        .detail.as_ref().map(|detail| format!(": {detail}")).unwrap_or_default(),
    )]
    Api {
        /// The HTTP status.
        status: u16,
        /// The problem's stable code, such as `forbidden`.
        code: String,
        /// What is wrong.
        title: String,
        /// About this request.
        detail: Option<String>,
        /// What to do.
        hint: Option<String>,
    },
    /// Nothing was sent: the client is not set up as it must be, or a name cannot be one.
    #[error("{message}")]
    Invalid {
        /// What is wrong; never a key.
        message: String,
        /// What to do.
        hint: String,
    },
    /// The HTTP API, or the database behind it, is away.
    #[error("{message}")]
    Unavailable {
        /// What was tried and why it failed; never a key.
        message: String,
        /// When to try again, where the server said so.
        retry_after: Option<Duration>,
    },
    /// What is at the URL does not speak this version of the API.
    #[error("{0}")]
    Protocol(String),
    /// Any other error of the database, or on the way to it.
    #[error(transparent)]
    Database(pgtasker_core::Error),
}

impl Error {
    pub(crate) fn invalid(message: String, hint: &str) -> Self {
        Self::Invalid { message, hint: hint.to_owned() }
    }

    /// Whether trying again later can help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. } => true,
            Self::Database(error) => error.is_transient(),
            _ => false,
        }
    }

    /// What to do, where the error says so.
    pub fn hint(&self) -> Option<&str> {
        match self {
            Self::Refused { hint, .. } | Self::Api { hint, .. } => hint.as_deref(),
            Self::Invalid { hint, .. } => Some(hint),
            _ => None,
        }
    }

    /// The stable code, where there is one.
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { code, .. } | Self::Api { code, .. } => Some(code),
            _ => None,
        }
    }
}

impl From<pgtasker_core::Error> for Error {
    fn from(error: pgtasker_core::Error) -> Self {
        match error {
            pgtasker_core::Error::Refused { code, message, hint } => {
                Self::Refused { code, message, hint }
            }
            other => Self::Database(other),
        }
    }
}
