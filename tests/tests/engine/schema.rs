//! The schema installer: idempotent, one at a time, all or nothing, and the same as its printed
//! script.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pgtasker_core::{
    Error,
    schema::{self, Bundle},
};
use pgtasker_tests::TestDb;
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::{path::PathBuf, process::Command};

const TABLE: (&str, &str) = (
    "0001_a.sql",
    "create table tasker.a (n int);\ndo $$ begin null; end $$;\ninsert into tasker.a values (1);",
);
const WIDER: (&str, &str) = ("0002_b.sql", "alter table tasker.a alter column n type bigint;");

/// Every kind of dependency: a function on a view's rows, a view on functions, a body that is
/// checked early, functions that call each other, a trigger.
const OBJECTS: &[(&str, &str)] = &[
    (
        "a_view.sql",
        "-- requires: z_rows.sql, one.sql\ncreate view tasker.a_view as select r.n, tasker.one() \
         as one from tasker.z_rows() r;",
    ),
    ("base.sql", "create view tasker.base as select n from tasker.a;"),
    (
        "calls.sql",
        "create function tasker.calls() returns int language sql as 'select tasker.one()';",
    ),
    (
        "grants.sql",
        "grant usage on schema tasker to public;\ngrant select on tasker.a_view to public;",
    ),
    (
        "one.sql",
        "create function tasker.one() returns int language sql as 'select 1';\ncreate procedure \
         tasker.p() language sql as 'select 1';\n\
         create aggregate tasker.total(int) (sfunc = int4pl, stype = int);",
    ),
    (
        "trig.sql",
        "create function tasker.trig() returns trigger language plpgsql as 'begin return new; \
         end';\n\
         create trigger trig before insert on tasker.a for each row execute function \
         tasker.trig();",
    ),
    (
        "z_rows.sql",
        "-- requires: base.sql\ncreate function tasker.z_rows() returns setof tasker.base \
         language sql begin atomic select * from tasker.base; end;",
    ),
];

fn bundle(migrations: &[(&str, &str)], objects: &[(&str, &str)], version: &str) -> Bundle {
    let own = |files: &[(&str, &str)]| -> Vec<(String, String)> {
        files.iter().map(|(path, sql)| ((*path).to_owned(), (*sql).to_owned())).collect()
    };
    Bundle::new(&own(migrations), &own(objects), version).unwrap()
}

fn one() -> Bundle {
    bundle(&[TABLE], OBJECTS, "0.1.0")
}

/// The first bundle and one object more.
fn with(path: &str, sql: &str, version: &str) -> Bundle {
    let mut objects = OBJECTS.to_vec();
    objects.push((path, sql));
    bundle(&[TABLE], &objects, version)
}

/// A database with pgmq and without schema tasker.
async fn bare() -> TestDb {
    let db = TestDb::new().await;
    run(&db, "drop schema tasker cascade").await;
    db
}

async fn run(db: &TestDb, sql: &'static str) {
    sqlx::raw_sql(sql).execute(&db.pool).await.unwrap();
}

/// The message of an error that is about the schema.
fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    match result {
        Err(Error::Schema(message)) => message,
        other => panic!("expected an error about the schema, not {other:?}"),
    }
}

#[tokio::test]
async fn installing_twice_does_nothing_the_second_time() {
    let db = bare().await;
    assert!(message(schema::check(&db.pool).await).contains("run `tasker migrate`"));
    let first = schema::migrate(&db.pool).await.unwrap();
    assert!(!first.up_to_date() && first.objects > 0);
    assert_eq!(first.migrations[0], "0001_settings_and_namespaces");
    assert!(first.to_string().contains("applied migration 0001_settings_and_namespaces"));
    schema::check(&db.pool).await.unwrap();
    let second = schema::migrate(&db.pool).await.unwrap();
    assert!(second.up_to_date());
    assert_eq!(second.to_string(), format!("schema tasker is up to date: {}", schema::version()));
}

#[tokio::test]
async fn of_many_installers_at_once_one_does_the_work() {
    let db = bare().await;
    // A snapshot from before the lock must not be used for what comes after it.
    let pool = with_options(&db, 6, &[("default_transaction_isolation", "repeatable read")]).await;
    let runs: Vec<_> = (0..6)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { one().migrate(&pool).await.unwrap() })
        })
        .collect();
    let mut worked = 0;
    for run in runs {
        worked += usize::from(!run.await.unwrap().up_to_date());
    }
    assert_eq!(worked, 1);
}

#[tokio::test]
async fn a_migration_may_change_what_a_view_is_made_of() {
    let db = bare().await;
    one().migrate(&db.pool).await.unwrap();
    let two = bundle(&[TABLE, WIDER], OBJECTS, "0.2.0");
    assert!(message(two.check(&db.pool).await).contains("older"));
    let report = two.migrate(&db.pool).await.unwrap();
    assert_eq!(
        (report.migrations.as_slice(), report.objects),
        (["0002_b".to_owned()].as_slice(), 6)
    );
    two.check(&db.pool).await.unwrap();
    let rows: Vec<(i64, i32)> =
        sqlx::query_as("select n, one from tasker.a_view").fetch_all(&db.pool).await.unwrap();
    assert_eq!(rows, [(1, 1)]);
}

#[tokio::test]
async fn a_newer_schema_asks_for_an_upgrade_and_is_left_alone() {
    let db = bare().await;
    let newer = [bundle(&[TABLE, WIDER], OBJECTS, "0.1.0"), with("c.sql", "select 1;", "0.10.0")];
    for (newer, older) in newer.into_iter().zip([one(), with("c.sql", "select 2;", "0.9.0")]) {
        newer.migrate(&db.pool).await.unwrap();
        assert!(message(older.check(&db.pool).await).contains("upgrade tasker"));
        assert!(message(older.migrate(&db.pool).await).contains("upgrade tasker"));
        newer.check(&db.pool).await.unwrap();
        run(&db, "drop schema tasker cascade").await;
    }
}

#[tokio::test]
async fn what_a_user_built_on_a_view_is_named_and_left_alone() {
    let db = bare().await;
    one().migrate(&db.pool).await.unwrap();
    run(
        &db,
        "create view public.mine as select * from tasker.a_view;
         create table public.t (x int default tasker.one(), b tasker.base);",
    )
    .await;
    let changed = with("c.sql", "create view tasker.c as select 1 as one;", "0.1.0");
    let error = message(changed.migrate(&db.pool).await);
    for named in [
        "view public.mine",
        "column b of table public.t",
        "default value for column x of table public.t",
    ] {
        assert!(error.contains(named), "{error}");
    }
    one().check(&db.pool).await.unwrap();
    run(&db, "drop view public.mine; drop table public.t").await;
    assert_eq!(changed.migrate(&db.pool).await.unwrap().objects, 7);
}

#[tokio::test]
async fn a_changed_migration_is_refused() {
    let db = bare().await;
    one().migrate(&db.pool).await.unwrap();
    let changed = bundle(&[("0001_a.sql", "create table tasker.a ();")], OBJECTS, "0.1.0");
    assert!(
        message(changed.migrate(&db.pool).await)
            .contains("0001_a was applied to this database with other content")
    );
}

#[tokio::test]
async fn tables_of_another_line_of_migrations_are_refused_and_not_called_newer() {
    let db = bare().await;
    const OTHER: (&str, &str) = ("0001_a.sql", "create table tasker.a (n int, m int);");
    bundle(&[OTHER, WIDER], OBJECTS, "0.1.0").migrate(&db.pool).await.unwrap();
    let error = message(one().migrate(&db.pool).await);
    assert!(error.contains("0001_a was applied") && error.contains("an empty database"), "{error}");
}

#[tokio::test]
async fn a_mistake_is_named_with_its_place_and_changes_nothing() {
    let db = bare().await;
    one().migrate(&db.pool).await.unwrap();
    for (sql, expected) in [
        (
            "-- x\ncreate view tasker.c as\n  select nothing as x;",
            "sql/c.sql:3: column \"nothing\" does not exist",
        ),
        (
            "create function tasker.c() returns int language sql as 'select tasker.d()';",
            "function tasker.c(): function tasker.d() does not exist",
        ),
        (
            "create function tasker.c() returns int language plpgsql as 'begin retrun 1; end';",
            "function tasker.c(): syntax error",
        ),
    ] {
        let error = message(with("c.sql", sql, "0.1.0").migrate(&db.pool).await);
        assert!(error.starts_with(expected), "{error}");
        one().check(&db.pool).await.unwrap();
    }
}

#[tokio::test]
async fn without_pgmq_or_in_somebody_elses_schema_nothing_is_installed() {
    let db = bare().await;
    run(&db, "create schema tasker; create table tasker.theirs ();").await;
    assert!(message(one().migrate(&db.pool).await).contains("was not made by Tasker"));
    run(&db, "drop schema tasker cascade; alter schema pgmq rename to other").await;
    assert!(message(one().migrate(&db.pool).await).contains("pgmq is not installed"));
}

#[tokio::test]
async fn a_role_without_rights_is_told_what_to_grant() {
    let db = TestDb::new().await;
    let pool = with_options(&db, 1, &[("role", "pg_monitor")]).await;
    assert!(message(schema::check(&pool).await).contains("grant it one of the roles"));
    assert!(message(schema::migrate(&pool).await).contains("as the role that owns schema tasker"));
}

#[tokio::test]
async fn the_printed_script_does_the_same_and_can_be_run_again() {
    let db = bare().await;
    let script = schema::script().unwrap();
    for _ in 0..2 {
        assert_eq!(psql(&db, &script).await, Ok(()));
        schema::check(&db.pool).await.unwrap();
    }
    assert!(schema::migrate(&db.pool).await.unwrap().up_to_date());
}

#[tokio::test]
async fn the_printed_script_brings_an_older_schema_up_to_date_and_refuses_a_newer_one() {
    let db = bare().await;
    one().migrate(&db.pool).await.unwrap();
    let two = bundle(&[TABLE, WIDER], OBJECTS, "0.10.0");
    assert_eq!(psql(&db, &two.script()).await, Ok(()));
    two.check(&db.pool).await.unwrap();
    let newer = "schema tasker in this database is newer than this script";
    for older in [one(), bundle(&[TABLE, WIDER], &[], "0.9.0")] {
        let error = psql(&db, &older.script()).await.unwrap_err();
        assert!(error.contains(newer), "{error}");
    }
    let changed = bundle(&[("0001_a.sql", "select 1;"), WIDER], OBJECTS, "0.10.0");
    let error = psql(&db, &changed.script()).await.unwrap_err();
    assert!(error.contains("other content"), "{error}");
    two.check(&db.pool).await.unwrap();
}

/// Other connections to the same database, with settings of their own.
async fn with_options(db: &TestDb, connections: u32, options: &[(&str, &str)]) -> PgPool {
    let connect = (*db.pool.connect_options()).clone().options(options.iter().copied());
    PgPoolOptions::new().max_connections(connections).connect_with(connect).await.unwrap()
}

/// Runs a script by the psql that belongs to the server, or the one in PATH. Quiet when all is
/// well.
async fn psql(db: &TestDb, script: &str) -> Result<(), String> {
    let bin: String =
        sqlx::query_scalar("select setting from pg_catalog.pg_config where name = 'BINDIR'")
            .fetch_one(&db.pool)
            .await
            .unwrap();
    let psql = Some(PathBuf::from(bin).join("psql"))
        .filter(|p| p.exists())
        .unwrap_or_else(|| "psql".into());
    let file = std::env::temp_dir().join(format!("tasker-script-{}.sql", uuid::Uuid::now_v7()));
    std::fs::write(&file, script).unwrap();
    let args = ["--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", &db.url, "--file"];
    let output = Command::new(psql).args(args).arg(&file).output().unwrap();
    std::fs::remove_file(file).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    match output.status.success() && said.is_empty() {
        true => Ok(()),
        false => Err(said),
    }
}
