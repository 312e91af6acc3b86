//! No function that a role may call answers junk with an error that is not ours: an SQLSTATE of
//! class TK says what to do.

use pgtasker_tests::TestDb;
use sqlx::{query, query_as, query_scalar, raw_sql};

/// Calls of each function in each role, and where they begin.
const CALLS: i32 = 30;
const SEED: f64 = 0.42;

#[tokio::test]
async fn junk_gets_an_error_that_says_what_to_do_from_every_function_in_every_role() {
    let db = TestDb::new().await;
    raw_sql(include_str!("junk_arguments.sql")).execute(&db.pool).await.unwrap();
    // Found, not listed: a function that is granted tomorrow is called too.
    let roles: Vec<String> = query_scalar(
        "select rolname::text from pg_roles where rolname like 'tasker\\_%' and \
         has_schema_privilege(oid, 'tasker', 'usage') order by 1",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert!(roles.len() >= 6, "{roles:?}");
    for role in roles {
        query("call junk.drive($1, $2, $3)")
            .bind(&role)
            .bind(CALLS)
            .bind(SEED)
            .execute(&db.pool)
            .await
            .unwrap();
    }
    let (calls, well): (i64, i64) = query_as("select sum(calls), sum(ended_well) from junk.calls")
        .fetch_one(&db.pool)
        .await
        .unwrap();
    assert!(calls > 2_000 && well > calls / 5, "{well} of {calls} calls ended well");
    let found: Vec<String> = query_scalar(
        "select format('%s %s: %s: %s', role, state, message, call) from junk.findings",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert!(
        found.is_empty(),
        "{} findings:\n{}",
        found.len(),
        found[..found.len().min(20)].join("\n")
    );
}
