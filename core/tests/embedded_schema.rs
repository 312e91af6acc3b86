//! The SQL that is built into the program, as far as it can be looked at without a database.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pgtasker_core::schema::{self, Bundle};

fn own(files: &[(&str, &str)]) -> Vec<(String, String)> {
    files.iter().map(|(path, sql)| ((*path).to_owned(), (*sql).to_owned())).collect()
}

fn refused(migrations: &[(&str, &str)], objects: &[(&str, &str)]) -> String {
    Bundle::new(&own(migrations), &own(objects), "0.1.0").unwrap_err().to_string()
}

#[test]
fn the_embedded_files_are_in_order() {
    let bundle = Bundle::embedded().unwrap();
    assert!(bundle.migration() >= 1);
    assert_eq!(bundle.version(), schema::version());
    assert!(schema::version().starts_with(&format!("{} (sql ", bundle.migration())));
}

#[test]
fn the_script_holds_every_embedded_file() {
    let script = schema::script().unwrap();
    assert!(script.contains("-- migrations/0001_"));
    for folder in ["migrations", "sql"] {
        let path = format!("{}/../{folder}", env!("CARGO_MANIFEST_DIR"));
        let mut folders = vec![std::path::PathBuf::from(path)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "sql") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    assert!(script.contains(text.trim_end()), "{} is missing", path.display());
                }
            }
        }
    }
}

#[test]
fn migrations_are_numbered_without_gaps() {
    assert!(refused(&[("1_a.sql", ";")], &[]).contains("must be named NNNN_name.sql"));
    assert!(refused(&[("0001a.sql", ";")], &[]).contains("must be named NNNN_name.sql"));
    assert!(refused(&[("0002_a.sql", ";")], &[]).contains("0002_a should be 0001"));
    assert!(
        refused(&[("0001_a.sql", ";"), ("0001_b.sql", ";")], &[]).contains("0001_b should be 0002")
    );
    assert!(refused(&[("0001_a.sql", "select 1")], &[]).contains("must end with a semicolon"));
    assert!(refused(&[], &[("a.sql", "select 1")]).contains("sql/a.sql must end with a semicolon"));
}

#[test]
fn the_version_follows_every_change_but_not_line_ends_or_the_order_of_files() {
    let version =
        |objects: &[(&str, &str)]| Bundle::new(&[], &own(objects), "0.1.0").unwrap().version();
    let first = version(&[("a.sql", "select 1;\n"), ("b.sql", "select 2;\n"), ("README.md", "x")]);
    assert_eq!(first, version(&[("b.sql", "select 2;\r\n"), ("a.sql", "select 1;\r\n")]));
    assert_ne!(first, version(&[("a.sql", "select 1;\n"), ("b.sql", "select 3;\n")]));
    assert_ne!(first, version(&[("a.sql", "select 1;\n"), ("c.sql", "select 2;\n")]));
    assert_eq!(version(&[]), "0 (sql cbf29ce4)");
}
