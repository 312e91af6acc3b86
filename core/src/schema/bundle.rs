//! The SQL a program carries: migrations in order, and objects in the order of their dependencies.

use super::{head::Heads, object::Object, order};
use crate::{Error, Result};
use rust_embed::RustEmbed;

// A debug build reads the files when it runs, so that a change of the SQL alone builds nothing.
#[derive(RustEmbed)]
#[folder = "../migrations"]
struct Migrations;

#[derive(RustEmbed)]
#[folder = "../sql"]
struct Objects;

/// Run last and in this order, and also where nothing has changed: rows, roles, and rights may be
/// missing after a restore.
const LAST: [&str; 2] = ["seeds.sql", "grants.sql"];

/// A numbered file of `migrations/`, applied once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Migration {
    /// From 1, without gaps.
    pub version: i32,
    /// The file's name without `.sql`, with its number.
    pub name: String,
    /// The file.
    pub sql: String,
    /// Tells whether an applied migration's file was changed.
    pub checksum: String,
}

/// Everything the installer installs.
#[derive(Debug, Clone)]
pub struct Bundle {
    pub(super) migrations: Vec<Migration>,
    /// In the order of creation.
    pub(super) objects: Vec<Object>,
    /// Repeated each time.
    pub(super) last: Vec<Object>,
    pub(super) heads: Heads,
    pub(super) sql_hash: String,
    pub(super) tasker_version: String,
}

impl Bundle {
    /// The bundle of this program.
    ///
    /// # Errors
    /// See [`Bundle::new`]; a test of this crate rules them out.
    pub fn embedded() -> Result<Self> {
        let (migrations, objects) = (files::<Migrations>()?, files::<Objects>()?);
        let bundle = Self::new(&migrations, &objects, env!("CARGO_PKG_VERSION"))?;
        super::VERSION.get_or_init(|| bundle.version());
        Ok(bundle)
    }

    /// A bundle of files given as (path, text): migrations by file name, objects by their path in
    /// `sql/`.
    ///
    /// # Errors
    /// [`Error::Schema`]: a migration that is not named `NNNN_name.sql`, a gap in their numbers, a
    /// `requires` that names no file, a cycle of them.
    pub fn new(
        migrations: &[(String, String)],
        objects: &[(String, String)],
        tasker_version: &str,
    ) -> Result<Self> {
        let migrations = numbered(migrations)?;
        let mut objects: Vec<Object> = objects
            .iter()
            .filter(|(path, _)| path.ends_with(".sql"))
            .map(|(path, sql)| Object { path: path.clone(), sql: sql.clone() })
            .collect();
        objects.sort_by(|a, b| a.path.cmp(&b.path));
        let texts = objects.iter().flat_map(|object| [object.path.as_str(), object.sql.as_str()]);
        let sql_hash = checksum(texts);
        if let Some(object) = objects.iter().find(|object| !object.sql.trim_end().ends_with(';')) {
            return Err(Error::Schema(format!("sql/{} must end with a semicolon", object.path)));
        }
        let heads = Heads::read(&objects)?;
        let found =
            LAST.iter().filter_map(|path| objects.iter().find(|o| o.path == *path).cloned());
        let last: Vec<Object> = found.collect();
        objects.retain(|o| !LAST.contains(&o.path.as_str()));
        let objects = order::sort(objects)?;
        let tasker_version = tasker_version.to_owned();
        Ok(Self { migrations, objects, last, heads, sql_hash, tasker_version })
    }

    /// The number of the last migration; 0 without any.
    pub fn migration(&self) -> i32 {
        self.migrations.last().map_or(0, |migration| migration.version)
    }

    /// What `tasker --version` shows: `1 (sql 3f2a9c1d)`.
    pub fn version(&self) -> String {
        super::describe(self.migration(), &self.sql_hash)
    }
}

fn numbered(files: &[(String, String)]) -> Result<Vec<Migration>> {
    let mut migrations = Vec::new();
    for (path, sql) in files.iter().filter(|(path, _)| path.ends_with(".sql")) {
        let name = path.trim_end_matches(".sql");
        let number =
            name.split_once('_').map(|(number, _)| number).filter(|number| number.len() == 4);
        let Some(version) = number.and_then(|number| number.parse::<u16>().ok()) else {
            return Err(Error::Schema(format!("migrations/{path} must be named NNNN_name.sql")));
        };
        if !sql.trim_end().ends_with(';') {
            return Err(Error::Schema(format!("migrations/{path} must end with a semicolon")));
        }
        let checksum = checksum([sql.as_str()]);
        migrations.push(Migration {
            version: version.into(),
            name: name.to_owned(),
            sql: sql.clone(),
            checksum,
        });
    }
    migrations.sort_by(|a, b| a.name.cmp(&b.name));
    for (expected, migration) in (1..).zip(&migrations) {
        if migration.version != expected {
            return Err(Error::Schema(format!(
                "migrations are numbered from 0001 without gaps: {} should be {expected:04}",
                migration.name
            )));
        }
    }
    Ok(migrations)
}

/// Every file below a folder as (path, text).
fn files<Folder: RustEmbed>() -> Result<Vec<(String, String)>> {
    let read = |path: &str| {
        let file = Folder::get(path)?;
        String::from_utf8(file.data.into_owned()).ok()
    };
    Folder::iter()
        .map(|path| match read(&path) {
            Some(text) => Ok((path.replace('\\', "/"), text)),
            None => Err(Error::Schema(format!("{path} is not a readable file of UTF-8 text"))),
        })
        .collect()
}

/// FNV-1a, 64 bits, in hex: stable forever, and enough to notice a change; nothing here guards
/// against malice. Carriage returns do not count, so that a checkout with Windows line ends is the
/// same.
pub(super) fn checksum<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let mut hash = 0xcbf2_9ce4_8422_2325;
    for text in texts {
        // Loops, no chain of iterators: a debug build reads half a megabyte here at each start.
        for byte in text.as_bytes() {
            if *byte != b'\r' {
                hash = mix(hash, *byte);
            }
        }
        // The zero keeps "ab", "c" apart from "a", "bc".
        hash = mix(hash, 0);
    }
    format!("{hash:016x}")
}
