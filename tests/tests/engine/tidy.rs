//! The rules of the house that no compiler checks. What can fail silently in a growing repository
//! fails here.

use pgtasker_core::TkCode;
use pgtasker_tests::TestDb;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ is in the workspace")
        .to_path_buf()
}

/// Files that git tracks, or would, with one of these endings.
fn files(endings: &[&str]) -> Vec<(PathBuf, String)> {
    let list = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"])
        .current_dir(root())
        .output()
        .expect("git runs");
    assert!(list.status.success(), "git ls-files: {}", String::from_utf8_lossy(&list.stderr));
    String::from_utf8(list.stdout)
        .unwrap()
        .split('\0')
        .filter(|name| endings.iter().any(|ending| name.ends_with(ending)))
        .map(|name| root().join(name))
        // Deleted, and not committed yet.
        .filter(|path| path.exists())
        .map(|path| (path.clone(), fs::read_to_string(&path).unwrap()))
        .collect()
}

fn assert_none(what: &str, found: Vec<String>) {
    assert!(found.is_empty(), "{what}:\n{}", found.join("\n"));
}

#[test]
fn no_file_has_more_than_500_lines() {
    let long = files(&[".rs", ".sql", ".md", ".yaml", ".toml", ".sh"])
        .into_iter()
        .filter(|(_, text)| text.lines().count() > 500)
        .map(|(path, text)| format!("{}: {}", path.display(), text.lines().count()))
        .collect();
    assert_none("files over 500 lines", long);
}

/// A line of more columns is not read at a glance, and hides how long a function is.
#[test]
fn no_line_of_sql_or_rust_has_more_than_100_columns() {
    let mut wide = Vec::new();
    for (path, text) in files(&[".sql", ".rs"]) {
        for (n, line) in text.lines().enumerate().filter(|(_, line)| line.chars().count() > 100) {
            wide.push(format!("{}:{}: {}", path.display(), n + 1, line.chars().count()));
        }
    }
    assert_none("lines over 100 columns", wide);
}

#[test]
fn no_sql_function_has_more_than_100_lines() {
    let mut long = Vec::new();
    for (path, text) in files(&[".sql"]) {
        let mut began = None;
        for (n, line) in text.lines().enumerate() {
            if line.starts_with("create function") {
                began = Some(n);
            }
            if let Some(start) = began.filter(|_| line.ends_with(';') && !line.starts_with(' ')) {
                let lines = n + 1 - start;
                if lines > 100 {
                    long.push(format!("{}: {lines} lines, {} bytes", path.display(), text.len()));
                }
                began = None;
            }
        }
    }
    assert_none("functions over 100 lines", long);
}

/// A function that says for whom it is stands in the folder of the contract, and the other way
/// round.
#[test]
fn what_is_in_sql_api_is_granted_and_nothing_else_is() {
    let api = root().join("sql/api");
    let mut wrong = Vec::new();
    for (path, text) in files(&[".sql"]) {
        let is_granted = text.lines().any(|line| line.starts_with("-- for: "));
        if path.starts_with(&api) != is_granted {
            wrong.push(format!("{}: granted: {is_granted}", path.display()));
        }
    }
    assert_none("sql/api is not what is granted", wrong);
}

#[test]
fn rust_begins_with_a_header_and_has_no_unfinished_or_unwrapped_places() {
    let mut found = Vec::new();
    for (path, text) in files(&[".rs"]) {
        if !text.starts_with("//!") {
            found.push(format!("{}: no module header", path.display()));
        }
        for (n, line) in text.lines().enumerate() {
            for word in [
                concat!("todo", "!("),
                concat!("unimplemented", "!("),
                concat!("#[ig", "nore]"),
                concat!("FIX", "ME"),
                concat!("TO", "DO"),
            ] {
                if line.contains(word) {
                    found.push(format!("{}:{}: {word}", path.display(), n + 1));
                }
            }
        }
    }
    assert_none("to be finished", found);
}

#[test]
fn every_link_in_the_docs_leads_somewhere() {
    let mut broken = Vec::new();
    for (path, text) in files(&[".md"]) {
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = target.split('#').next().unwrap_or_default();
            if !target.is_empty()
                && !target.contains("://")
                && !path.parent().unwrap().join(target).exists()
            {
                broken.push(format!("{}: {target}", path.display()));
            }
        }
    }
    assert_none("broken links", broken);
}

/// Phrases that cost a reader a second look: each has a plainer one.
#[test]
fn words_are_plain() {
    let phrases = [
        concat!(" is no", "ne"),
        concat!(" are no", "ne"),
        concat!(" for ev", "er"),
        concat!(" who", "ever "),
        concat!(" an", "ew"),
        concat!("goes be", "fore"),
        concat!("the way ", "by"),
        concat!(" to be ", "had"),
        concat!(" so ma", "ny "),
        concat!(" so lo", "ng "),
        concat!(" so mu", "ch "),
        concat!("// O", "f "),
        concat!("/// O", "f "),
        concat!("-- O", "f "),
    ];
    let mut found = Vec::new();
    for (path, text) in files(&[".md", ".sql", ".rs"]) {
        for (n, line) in text.lines().enumerate() {
            let line = line.replace(concat!(" for ", "every"), "");
            let said = phrases.iter().filter(|phrase| line.contains(**phrase));
            found.extend(said.map(|phrase| format!("{}:{}:{phrase}", path.display(), n + 1)));
        }
    }
    assert_none("say it plainly: subject, verb, object", found);
}

/// A merge that keeps both sides of a paragraph leaves it there twice, and every check of what is
/// missing is content.
#[test]
fn no_page_says_a_thing_twice() {
    let mut twice = Vec::new();
    for (path, text) in files(&[".md"]) {
        let blocks: Vec<&str> = text
            .split("\n\n")
            .filter(|block| block.starts_with('#') || block.len() > 100)
            .collect();
        for (n, block) in blocks.iter().enumerate() {
            if blocks[..n].contains(block) {
                twice.push(format!(
                    "{}: {}",
                    path.display(),
                    block.lines().next().unwrap_or_default()
                ));
            }
        }
    }
    assert_none("twice on one page", twice);
}

/// One list in Rust, the raises in SQL, and the page of errors.
#[test]
fn the_codes_of_errors_are_the_same_in_rust_sql_and_the_docs() {
    let codes: BTreeMap<String, String> = TkCode::ALL
        .iter()
        .map(|code| (code.code().to_owned(), code.meaning().to_owned()))
        .collect();
    let page = fs::read_to_string(root().join("docs/sql-api.md")).unwrap();
    let documented: BTreeMap<String, String> = page
        .lines()
        .filter(|line| line.starts_with("| TK"))
        .map(|line| {
            let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
            (cells.next().unwrap().to_owned(), cells.next().unwrap().to_owned())
        })
        .collect();
    assert_eq!(codes, documented);
    let raised: BTreeSet<String> = files(&[".sql"])
        .iter()
        .filter(|(path, _)| path.starts_with(root().join("sql")))
        .flat_map(|(_, text)| text.split("errcode = '").skip(1))
        .map(|rest| rest[..5].to_owned())
        .filter(|code| code.starts_with("TK"))
        .collect();
    assert_eq!(codes.into_keys().collect::<BTreeSet<_>>(), raised);
}

/// A database of another encoding would refuse the installation.
#[test]
fn sql_is_ascii() {
    let mut found = Vec::new();
    for (path, text) in files(&[".sql"]) {
        for (n, line) in text.lines().enumerate().filter(|(_, line)| !line.is_ascii()) {
            found.push(format!("{}:{}: {line}", path.display(), n + 1));
        }
    }
    assert_none("not ASCII", found);
}

/// What a caller's session has set must not change what they do; grants.sql sees to it.
#[tokio::test]
async fn functions_of_the_owner_pin_the_settings_that_matter() {
    let db = TestDb::new().await;
    let loose: Vec<String> = sqlx::query_scalar(
        "select p.oid::regprocedure::text from pg_proc p
          where p.pronamespace = 'tasker'::regnamespace and p.prosecdef and p.proname <> \
          'installation_problems'
            and not p.proconfig @> '{standard_conforming_strings=on,row_security=off}'",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_none("without standard_conforming_strings = on and row_security = off", loose);
}

#[tokio::test]
async fn every_sql_object_has_a_comment() {
    let db = TestDb::new().await;
    let bare: Vec<String> = sqlx::query_scalar(
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = \
         'tasker'::regnamespace and obj_description(p.oid, 'pg_proc') is null
         union all
         select c.oid::regclass::text from pg_class c where c.relnamespace = \
         'tasker'::regnamespace and c.relkind in ('r', 'v') and obj_description(c.oid, \
         'pg_class') is null",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_none("without a comment", bare);
}

#[tokio::test]
async fn public_may_execute_and_read_nothing() {
    let db = TestDb::new().await;
    let open: Vec<String> = sqlx::query_scalar(
        "select p.oid::regprocedure::text from pg_proc p where p.pronamespace = \
         'tasker'::regnamespace and has_function_privilege('public', p.oid, 'execute')
         union all
         select c.oid::regclass::text from pg_class c where c.relnamespace = \
         'tasker'::regnamespace and c.relkind in ('r', 'v', 'S') and \
         has_table_privilege('public', c.oid, 'select')",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_none("open to public", open);
}

/// A definer's function without a fixed search_path runs whatever its caller puts in the way; so it
/// does where pg_temp is not named last, as types are looked up there first.
#[tokio::test]
async fn every_definers_function_has_a_search_path_that_nobody_else_writes() {
    let db = TestDb::new().await;
    let open: Vec<String> = sqlx::query_scalar(
        "select p.oid::regprocedure::text from pg_proc p
          where p.pronamespace = 'tasker'::regnamespace and p.prosecdef and not \
          coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_none("security definer without search_path = pg_catalog, pg_temp", open);
}

/// What runs in the session of anybody who reads a view, writes a table, or calls a function has a
/// search_path of its own, or was parsed when it was made: else it finds operators that its caller,
/// or anybody who may create in public, has put there.
#[tokio::test]
async fn every_function_that_others_run_has_a_search_path_or_was_parsed_before() {
    let db = TestDb::new().await;
    let open: Vec<String> = sqlx::query_scalar(
        "select p.oid::regprocedure::text from pg_proc p
          where p.pronamespace = 'tasker'::regnamespace and p.prosqlbody is null
            and not coalesce(p.proconfig @> array['search_path=pg_catalog, pg_temp'], false)
            and (p.prorettype = 'trigger'::regtype
                 or exists (select from pg_roles r where r.rolname in ('tasker_client', \
                 'tasker_worker', 'tasker_orchestrator', 'tasker_consumer', 'tasker_operator', \
                 'tasker_readonly')
                                                     and has_function_privilege(r.oid, p.oid, \
                                                     'execute'))
                 or exists (select from pg_depend d where d.classid = 'pg_rewrite'::regclass and \
                 d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid))
            -- It calls others' functions, in its caller's own name and place.
            and p.proname <> 'run_sql_handler'",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_none("run by others without a search_path", open);
}

/// Private functions run inside of others, which have one; a setting costs time at every call, and
/// keeps a function in SQL from becoming part of the statement that calls it.
#[tokio::test]
async fn private_functions_have_no_search_path() {
    let db = TestDb::new().await;
    let own: Vec<String> = sqlx::query_scalar(
        "select p.oid::regprocedure::text from pg_proc p
          where p.pronamespace = 'tasker'::regnamespace and not p.prosecdef
            and p.prorettype <> 'trigger'::regtype
            and exists (select from unnest(p.proconfig) c where c like 'search_path=%')
            and not exists (select from pg_roles r where r.rolname like 'tasker\\_%'
                                                     and has_function_privilege(r.oid, p.oid, \
                                                     'execute'))
            and not exists (select from pg_depend d where d.classid = 'pg_rewrite'::regclass and \
            d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid)",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_none("private, with a search_path", own);
}
