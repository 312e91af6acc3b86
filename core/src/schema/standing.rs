//! What is installed against what this program was built for: current, older, or newer.

use super::{Bundle, describe};
use std::cmp::Ordering;

/// The row of `tasker.schema_info`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Installed {
    pub(super) migration: i32,
    pub(super) sql_hash: String,
    pub(super) tasker_version: String,
}

/// How the installed schema stands to a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Current,
    Older,
    Newer,
}

impl Installed {
    pub(super) fn describe(&self) -> String {
        describe(self.migration, &self.sql_hash)
    }

    pub(super) fn standing(&self, bundle: &Bundle) -> Standing {
        match self.migration.cmp(&bundle.migration()) {
            Ordering::Greater => Standing::Newer,
            Ordering::Less => Standing::Older,
            Ordering::Equal if self.sql_hash == bundle.sql_hash => Standing::Current,
            Ordering::Equal if release(&self.tasker_version) > release(&bundle.tasker_version) => {
                Standing::Newer
            }
            Ordering::Equal => Standing::Older,
        }
    }
}

/// `major.minor.patch` as numbers, and whether it is a final release (1.0.0-rc.1 comes before
/// 1.0.0).
fn release(version: &str) -> (Vec<u64>, bool) {
    let version = version.split('+').next().unwrap_or_default();
    let (numbers, pre_release) = version.split_once('-').unwrap_or((version, ""));
    (numbers.split('.').map(|part| part.parse().unwrap_or(0)).collect(), pre_release.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle(version: &str) -> Bundle {
        let migrations = [
            ("0001_a.sql".to_owned(), "select 1;".to_owned()),
            ("0002_b.sql".to_owned(), ";".to_owned()),
        ];
        Bundle::new(&migrations, &[("a.sql".to_owned(), "select 1;".to_owned())], version).unwrap()
    }

    fn standing(migration: i32, same: bool, installed: &str, ours: &str) -> Standing {
        let bundle = bundle(ours);
        let sql_hash = if same { bundle.sql_hash.clone() } else { "other".to_owned() };
        Installed { migration, sql_hash, tasker_version: installed.to_owned() }.standing(&bundle)
    }

    #[test]
    fn the_migration_decides_first() {
        assert_eq!(standing(1, true, "9.0.0", "0.1.0"), Standing::Older);
        assert_eq!(standing(3, true, "0.0.1", "0.1.0"), Standing::Newer);
    }

    #[test]
    fn the_same_sql_is_current_whatever_the_version() {
        assert_eq!(standing(2, true, "9.0.0", "0.1.0"), Standing::Current);
    }

    #[test]
    fn other_sql_is_newer_only_when_a_newer_program_wrote_it() {
        for (installed, ours, expected) in [
            ("0.1.0", "0.1.0", Standing::Older),
            ("0.1.0", "0.2.0", Standing::Older),
            ("0.10.0", "0.9.0", Standing::Newer),
            ("1.0.0", "1.0.0-rc.1", Standing::Newer),
            ("1.0.0-rc.1", "1.0.0", Standing::Older),
            ("1.0.0+build", "1.0.0", Standing::Older),
        ] {
            assert_eq!(standing(2, false, installed, ours), expected, "{installed} {ours}");
        }
    }
}
