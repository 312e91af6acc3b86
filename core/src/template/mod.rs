//! Template files: YAML (or JSON, its subset) to the definition `tasker.apply_template` takes, with
//! the position of every part. What makes a definition valid is decided in SQL only.

mod apply;
mod parse;
mod scalar;

pub use apply::{Applied, Problem, Report, apply_template, validate_template};

use serde::Serialize;
use serde_json::Value;
use std::{collections::HashMap, fmt};

/// A place in a file, both counted from 1; columns count characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
}

impl Position {
    const START: Self = Self { line: 1, column: 1 };
}

impl From<saphyr_parser::Marker> for Position {
    fn from(marker: saphyr_parser::Marker) -> Self {
        Self { line: marker.line(), column: marker.col() + 1 }
    }
}

/// One problem of a template file; displays as `file:line:column: message [code]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The name the file was parsed under.
    pub file: String,
    /// Where the problem stands.
    #[serde(flatten)]
    pub position: Position,
    /// The JSON Pointer of the part; empty for the whole document.
    pub path: String,
    /// A short stable word.
    pub code: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, position: Position { line, column }, message, code, .. } = self;
        write!(f, "{file}:{line}:{column}: {message} [{code}]")
    }
}

/// A parsed template file.
#[derive(Debug)]
pub struct TemplateFile {
    name: String,
    definition: Value,
    spots: HashMap<String, parse::Spot>,
}

impl TemplateFile {
    /// Parses `text`; `name` is the file's name, for messages.
    ///
    /// # Errors
    /// What is not YAML, or has no counterpart in JSON: duplicate and non-string keys, tags, merge
    /// keys, infinities, numbers of more digits than jsonb holds, a second document. Sorted by
    /// position.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Diagnostic>> {
        match parse::parse(name, text) {
            Ok(parsed) => {
                Ok(Self { name: name.to_owned(), definition: parsed.value, spots: parsed.spots })
            }
            Err(mut problems) => {
                problems.sort_by_key(|problem| problem.position);
                Err(problems)
            }
        }
    }

    /// The name the file was parsed under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The definition as JSON.
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// Where the part at `pointer` stands: a scalar, or an element of a sequence, at its first
    /// character; a mapping or sequence under a key at its key. What is not there (a missing key)
    /// is where its nearest ancestor stands.
    pub fn locate(&self, pointer: &str) -> Position {
        let (spot, exact) = self.nearest(pointer);
        match spot {
            Some(spot) if spot.container || !exact => spot.key.unwrap_or(spot.value),
            Some(spot) => spot.value,
            None => Position::START,
        }
    }

    /// Like [`TemplateFile::locate`], but always the key where there is one: for a key that should
    /// not be there.
    pub fn locate_key(&self, pointer: &str) -> Position {
        match self.nearest(pointer).0 {
            Some(spot) => spot.key.unwrap_or(spot.value),
            None => Position::START,
        }
    }

    /// A problem of this file at the JSON Pointer `path`. Codes that speak of an unknown key point
    /// at the key, others at its value.
    pub fn diagnostic(&self, path: &str, code: &str, message: &str) -> Diagnostic {
        let position =
            if code.contains("unknown_key") { self.locate_key(path) } else { self.locate(path) };
        Diagnostic {
            file: self.name.clone(),
            position,
            path: path.to_owned(),
            code: code.to_owned(),
            message: message.to_owned(),
        }
    }

    /// The spot at `pointer`, or at the nearest ancestor; and whether it is the former.
    fn nearest(&self, pointer: &str) -> (Option<&parse::Spot>, bool) {
        let mut path = pointer;
        loop {
            if let Some(spot) = self.spots.get(path) {
                return (Some(spot), path.len() == pointer.len());
            }
            match path.rfind('/') {
                Some(end) => path = &path[..end],
                None => return (self.spots.get(""), false),
            }
        }
    }
}

/// A key as a token of a JSON Pointer (RFC 6901).
pub(crate) fn escape(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
