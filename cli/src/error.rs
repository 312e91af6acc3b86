//! What a command fails with: text for people, never a debug form. Any library error becomes one by
//! `?`.

use crate::output;
use console::style;
use sqlx::postgres::PgDatabaseError;
use std::{error::Error as StdError, io, process::ExitCode};

/// The result of a command.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The hint if the API does not know the caller.
const NO_KEY: &str = "give a key: TASKER_API_KEY, or --api-key";

/// Why a command failed, and what to do. Not a [`std::error::Error`], so that every such converts
/// into it.
#[derive(Debug, Default)]
pub struct Error {
    message: String,
    code: Option<String>,
    detail: Option<String>,
    hint: Option<String>,
    end: End,
}

/// What is still to be said at the end of the program.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum End {
    #[default]
    Failure,
    /// The reader of standard output has gone, as `head` does: no failure of ours.
    ReaderGone,
}

impl Error {
    /// An error of the command line itself.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), ..Self::default() }
    }

    /// Adds what to do, unless the error says so already.
    pub fn or_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Says first what was being done.
    pub fn context(mut self, what: impl std::fmt::Display) -> Self {
        self.message = format!("{what}: {}", self.message);
        self
    }

    /// The error in one line, without what to do.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// From an error whose type is gone.
    pub fn boxed(error: Box<dyn StdError + Send + Sync>) -> Self {
        explain(&*error)
    }

    /// The text on standard error: `error: …`, then `detail: …` and `hint: …` where there are
    /// any.
    fn lines(&self) -> Vec<(&'static str, String)> {
        let code = self.code.as_ref().map(|code| format!(" ({code})")).unwrap_or_default();
        let mut lines = vec![("error", format!("{}{code}", self.message))];
        lines.extend(self.detail.clone().map(|detail| ("detail", detail)));
        lines.extend(self.hint.clone().map(|hint| ("hint", hint)));
        lines
    }

    /// Tells the user, and gives the program's exit code.
    pub fn tell(&self) -> ExitCode {
        if self.end == End::ReaderGone {
            return ExitCode::SUCCESS;
        }
        for (head, text) in self.lines() {
            let head = style(format!("{head}:")).for_stderr().bold();
            let head = if head.to_string().contains("error") { head.red() } else { head };
            output::note(&format!("{head} {}", output::safe(&text)));
        }
        ExitCode::FAILURE
    }
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Self {
        explain(&error)
    }
}

fn explain(error: &(dyn StdError + 'static)) -> Error {
    if let Some(error) = error.downcast_ref::<pgtasker_client::Error>() {
        return of_client(error);
    }
    if let Some(error) = error.downcast_ref::<pgtasker_core::Error>() {
        return of_core(error);
    }
    if let Some(error) = error.downcast_ref::<sqlx::Error>() {
        return of_sqlx(error);
    }
    let broken =
        error.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe);
    let end = if broken { End::ReaderGone } else { End::Failure };
    Error { message: chain(error), end, ..Error::default() }
}

fn of_client(error: &pgtasker_client::Error) -> Error {
    use pgtasker_client::Error as Client;
    let hint = error.hint().map(str::to_owned);
    match error {
        Client::Database(error) => of_core(error),
        Client::Refused { code, message, .. } => {
            Error { message: message.clone(), code: Some(code.clone()), hint, ..Error::default() }
        }
        Client::Api { status, code, title, detail, .. } => Error {
            message: title.clone(),
            code: Some(code.clone()),
            detail: detail.clone(),
            hint: hint.or_else(|| (*status == 401).then(|| NO_KEY.to_owned())),
            end: End::Failure,
        },
        Client::Unavailable { retry_after, .. } => {
            let hint = match retry_after {
                Some(after) => format!("try again in {} s", after.as_secs().max(1)),
                None => "is the URL right (--api, TASKER_API), and does an orchestrator serve it \
                     there (--http)?"
                    .to_owned(),
            };
            Error::new(error.to_string()).or_hint(hint)
        }
        _ => Error { message: error.to_string(), hint, ..Error::default() },
    }
}

fn of_core(error: &pgtasker_core::Error) -> Error {
    use pgtasker_core::Error as Core;
    match error {
        Core::Refused { code, message, hint } => Error {
            message: message.clone(),
            code: Some(code.clone()),
            hint: hint.clone(),
            ..Error::default()
        },
        Core::Unreachable { target, source, .. } => {
            Error::new(format!("cannot reach the database at {target}: {}", root(source)))
        }
        Core::Tls { target, reason, remedy } => {
            Error::new(format!("no safe connection to the database at {target}: {reason}"))
                .or_hint(remedy)
        }
        Core::Database(error) => of_sqlx(error),
        other => Error::new(other.to_string()),
    }
}

fn of_sqlx(error: &sqlx::Error) -> Error {
    match error.as_database_error().and_then(|e| e.try_downcast_ref::<PgDatabaseError>()) {
        Some(db) => Error {
            message: db.message().to_owned(),
            code: Some(db.code().to_owned()),
            detail: db.detail().map(str::to_owned),
            hint: (db.code() == "42501")
                .then(|| pgtasker_core::schema::grant_for(db.message()))
                .flatten()
                .or_else(|| db.hint().or_else(|| remedy(db.code())).map(str::to_owned)),
            end: End::Failure,
        },
        None => match error {
            sqlx::Error::Io(_) => {
                Error::new(format!("the connection to the database broke: {}", root(error)))
            }
            sqlx::Error::PoolTimedOut => Error::new("the database gave no connection in time"),
            other => Error::new(chain(other)),
        },
    }
}

/// What to do about errors for which PostgreSQL itself has no hint.
fn remedy(code: &str) -> Option<&'static str> {
    Some(match code {
        "3D000" => "create it first, with createdb or `create database`, then run `tasker migrate`",
        "28P01" | "28000" => "check the user and password in the database URL",
        "42501" => {
            "this database role lacks a right: grant it tasker_client, tasker_worker, \
             tasker_orchestrator, \
                    tasker_consumer, tasker_operator, or tasker_readonly"
        }
        "53300" => "raise max_connections of the server, or use fewer or smaller processes",
        _ => return None,
    })
}

/// The innermost cause, which for a broken connection says the most.
fn root<'a>(error: &'a (dyn StdError + 'static)) -> &'a (dyn StdError + 'static) {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    at
}

/// The error and its causes, each said once.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut at = error.source();
    while let Some(source) = at {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        at = source.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(error: &Error) -> String {
        error.lines().iter().map(|(head, text)| format!("{head}: {text}\n")).collect()
    }

    #[test]
    fn a_refusal_shows_its_code_and_its_hint_on_a_line_of_its_own() {
        let error = Error::from(pgtasker_core::Error::Refused {
            code: "TK001".to_owned(),
            message: "there is no namespace \"x\"".to_owned(),
            hint: Some("Apply a template.".to_owned()),
        });
        assert_eq!(
            text(&error),
            "error: there is no namespace \"x\" (TK001)\nhint: Apply a template.\n"
        );
    }

    #[test]
    fn an_unreachable_database_is_named_with_the_innermost_cause() {
        let refused = io::Error::new(io::ErrorKind::ConnectionRefused, "Connection refused");
        let error = Error::from(pgtasker_core::Error::Unreachable {
            target: "localhost:1/x".to_owned(),
            waited: std::time::Duration::from_secs(3),
            source: sqlx::Error::Io(refused),
        })
        .or_hint("start it");
        assert_eq!(
            text(&error),
            "error: cannot reach the database at localhost:1/x: Connection refused\nhint: start \
             it\n"
        );
    }

    #[test]
    fn a_gone_reader_is_no_failure() {
        let error = Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(error.end, End::ReaderGone);
        assert_eq!(
            Error::from(io::Error::other("x")).context("cannot write").lines()[0].1,
            "cannot write: x"
        );
    }
}
