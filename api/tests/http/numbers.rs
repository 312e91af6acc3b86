//! Numbers of any length, and answers that come in parts.

use crate::server::serve;
use pgtasker_tests::engine::{Engine, pick};
use serde_json::{Value, json};

const DIGITS: &str = "123456789012345678901234567890.12345678901234567890";

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn numbers_come_and_go_with_every_digit_and_one_that_cannot_be_stored_is_a_bad_request() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let api = serve(&engine).await;
    let new = |n: &str| {
        parsed(&format!(r#"{{"namespace": "test", "name": "flow", "context": {{"n": {n}}}}}"#))
    };
    assert_eq!(
        api.post("/v1/tasks", new("1e200000")).await.problem(),
        (400, "invalid_value".to_owned())
    );
    let created = api.post("/v1/tasks", new(DIGITS)).await;
    assert_eq!(created.status, 201);
    engine.initialize().await;
    let claim = pick(&engine.claim(1).await, "a");
    let stored = "select context ->> 'n' from tasker.tasks where task_id = $1";
    assert_eq!(engine.text(stored, claim.task_id).await, DIGITS);
    engine.submit(&claim, json!({"type": "success", "result": parsed(DIGITS)})).await;
    engine.process().await;
    let at = format!("/v1/tasks/{}", created.json()["task_id"].as_str().unwrap());
    assert_eq!(api.get(&format!("{at}/steps/a")).await.json()["result"].to_string(), DIGITS);
    assert_eq!(
        api.get(&format!("{at}/steps")).await.json()["items"][0]["result"].to_string(),
        DIGITS
    );
    assert_eq!(api.get(&format!("{at}/result")).await.json()["result"]["a"].to_string(), DIGITS);
}

#[tokio::test]
async fn the_audit_of_a_task_comes_in_pages() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[]), ("b", &[]), ("c", &[])]).await;
    let id = engine.enqueue(json!({})).await;
    engine.initialize().await;
    let api = serve(&engine).await;
    let at = format!("/v1/tasks/{id}/transitions");
    let whole = api.get(&at).await.json();
    let (all, mut steps) = (whole["steps"].as_array().unwrap(), Vec::new());
    assert!(all.len() >= 3 && whole.get("next").is_none(), "{whole}");
    let mut query = "?limit=2".to_owned();
    loop {
        let page = api.get(&format!("{at}{query}")).await.json();
        let first = steps.is_empty();
        assert_eq!(page["task"], if first { whole["task"].clone() } else { json!([]) });
        steps.extend(page["steps"].as_array().unwrap().clone());
        let Some(next) = page["next"].as_str() else { break };
        query = format!("?limit=2&after={next}");
    }
    assert_eq!(&steps, all);
    assert_eq!(api.get(&format!("{at}?limit=0")).await.status, 400);
}
