//! What the tests of operators' functions share.

use pgtasker_tests::engine::{Claim, Engine};
use serde_json::{Value, json};
use uuid::Uuid;

pub const DIAMOND: &[(&str, &[&str])] =
    &[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])];

/// A diamond, and one task of it.
pub async fn diamond() -> (Engine, Uuid) {
    let e = Engine::new().await;
    e.apply_flow(DIAMOND).await;
    let id = e.start().await;
    (e, id)
}

pub async fn call(e: &Engine, query: &'static str, id: Uuid) -> Result<bool, (String, String)> {
    sqlx::query_scalar(query).bind(id).fetch_one(e.pool()).await.map_err(|error| {
        let db = error.as_database_error().unwrap();
        (db.code().unwrap().into_owned(), db.message().to_owned())
    })
}

pub async fn code(e: &Engine, query: &'static str, id: Uuid) -> String {
    call(e, query, id).await.unwrap_err().0
}

pub async fn count(e: &Engine, query: &'static str, filter: Value) -> i32 {
    sqlx::query_scalar(query).bind(filter).fetch_one(e.pool()).await.unwrap()
}

pub async fn complete_next(e: &Engine, step: &str) {
    let claim = claim_one(e, step).await;
    assert_eq!(e.succeed(&claim, json!(step)).await, "accepted");
    e.process().await;
}

pub async fn claim_one(e: &Engine, step: &str) -> Claim {
    let claims = e.claim(1).await;
    assert_eq!(claims.len(), 1, "{step}");
    assert_eq!(claims[0].step, step);
    claims.into_iter().next().unwrap()
}

pub async fn fail_for_good(e: &Engine, claim: &Claim) {
    let outcome =
        json!({"type": "failure", "message": "boom", "code": "declined", "retryable": false});
    assert_eq!(e.submit(claim, outcome).await, "accepted");
    e.process().await;
}

pub async fn reasons(e: &Engine, id: Uuid) -> Vec<String> {
    sqlx::query_scalar(
        "select distinct r.reason from (select reason from tasker.task_transitions where task_id \
         = $1
                                        union all select reason from tasker.step_transitions \
                                        where task_id = $1) r
          where r.reason like '% by %' order by 1",
    )
    .bind(id)
    .fetch_all(e.pool())
    .await
    .unwrap()
}

pub async fn result(e: &Engine, id: Uuid) -> Option<Value> {
    sqlx::query_scalar("select tasker.task_result($1)").bind(id).fetch_one(e.pool()).await.unwrap()
}
