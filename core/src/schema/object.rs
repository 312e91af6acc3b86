//! What a file of `sql/` is to the installer.

/// A file of `sql/`, dropped and created again when any of them changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    /// Relative to `sql/`, with `/`.
    pub path: String,
    /// The file.
    pub sql: String,
}
