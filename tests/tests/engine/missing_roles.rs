//! Installing by a login that may not create roles, in a cluster that has none of Tasker's.

use pgtasker_tests::start_server;
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, raw_sql};

const ROLES: [&str; 6] = [
    "tasker_client",
    "tasker_consumer",
    "tasker_operator",
    "tasker_orchestrator",
    "tasker_readonly",
    "tasker_worker",
];

#[tokio::test]
async fn a_login_that_may_not_create_roles_is_told_which_are_missing() {
    let server = start_server(&[]).await;
    let mut admin = PgConnection::connect(&server.admin_url()).await.unwrap();
    for sql in
        ["create role installer login password 'secret'", "create database place owner installer"]
    {
        raw_sql(sql).execute(&mut admin).await.unwrap();
    }
    let url = server.url("place");
    let (_, address) = url.split_once('@').unwrap();
    let pool = PgPool::connect(&format!("postgres://installer:secret@{address}")).await.unwrap();
    // Every time, and not only when something was installed.
    for up_to_date in [false, true] {
        let report = pgtasker_queues::migrate(&pool).await.unwrap();
        assert_eq!(report.schema.up_to_date(), up_to_date);
        assert_eq!(report.schema.missing_roles, ROLES);
        assert!(report.to_string().contains("\ncreate role tasker_worker nologin;\n"), "{report}");
    }
    // It keeps no process from starting.
    pgtasker_core::schema::check(&pool).await.unwrap();
    // What it says to do is enough.
    let create = pgtasker_queues::migrate(&pool).await.unwrap().schema.create_roles().concat();
    raw_sql(AssertSqlSafe(create)).execute(&mut admin).await.unwrap();
    let report = pgtasker_queues::migrate(&pool).await.unwrap();
    assert!(report.schema.missing_roles.is_empty() && report.schema.warning().is_none());
    let granted: bool =
        sqlx::query_scalar("select has_schema_privilege('tasker_worker', 'tasker', 'usage')")
            .fetch_one(&pool)
            .await
            .unwrap();
    assert!(granted);
}
