//! The calls over any executor: a pool, a connection, or the caller's own transaction. They are in
//! a module for each subject. A call has the name of its SQL function, and its errors are those of
//! `pgtasker_core`.

mod analytics;
mod dead_letters;
mod events;
mod graph;
mod steps;
mod system;
mod tasks;
mod templates;

pub use analytics::*;
pub use dead_letters::*;
pub use events::*;
pub use graph::*;
pub use steps::*;
pub use system::*;
pub use tasks::*;
pub use templates::*;

use pgtasker_core::{Error, Result, json::Document};
use uuid::Uuid;

fn unwrapped<T>(rows: Vec<Document<T>>) -> Vec<T> {
    rows.into_iter().map(|Document(row)| row).collect()
}

/// A key of a list is a uuid; we have made no other keys.
fn uuid_of(after: Option<&str>) -> Result<Option<Uuid>> {
    after.map(|text| Uuid::parse_str(text).map_err(|_| refused_cursor(text))).transpose()
}

/// What a list was asked to go on from, and never gave.
fn refused_cursor(text: &str) -> Error {
    Error::Refused {
        code: "TK008".to_owned(),
        message: format!("a page cannot begin after {text:?}"),
        hint: Some("give what the page before said in `next`".to_owned()),
    }
}
