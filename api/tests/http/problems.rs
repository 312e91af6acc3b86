//! What goes wrong is a problem with a stable code, and never says how the database is asked.

use crate::server::{serve, serve_with, settings};
use pgtasker_tests::engine::Engine;
use rstest::rstest;
use serde_json::json;
use uuid::Uuid;

#[rstest]
#[case("GET", "/nowhere", 404, "not_found")]
#[case("GET", "/v1/tasks/7", 400, "invalid_path")]
#[case("GET", "/v1/tasks/00000000-0000-0000-0000-000000000000", 404, "TK004")]
#[case("GET", "/v1/tasks/00000000-0000-0000-0000-000000000000/graph", 404, "TK004")]
#[case("GET", "/v1/tasks/00000000-0000-0000-0000-000000000000/events", 404, "TK004")]
#[case("GET", "/v1/tasks/00000000-0000-0000-0000-000000000000/steps/a", 404, "TK004")]
#[case("POST", "/v1/tasks/00000000-0000-0000-0000-000000000000/cancel", 404, "TK004")]
#[case("GET", "/v1/dead-letters/00000000-0000-0000-0000-000000000000", 404, "TK040")]
#[case("GET", "/v1/templates/test/none", 404, "TK002")]
#[case("GET", "/v1/templates/test/flow?version=9", 404, "TK003")]
#[case("POST", "/v1/namespaces/none/pause", 404, "TK001")]
#[case("GET", "/v1/namespaces/none/events", 404, "TK001")]
#[case("GET", "/v1/namespaces/test/events?limit=1001", 400, "invalid_query")]
#[case("GET", "/v1/namespaces/test/events?after=-1", 400, "invalid_query")]
#[case("GET", "/v1/namespaces/test/events?after=9223372036854775808", 400, "invalid_query")]
#[case("GET", "/v1/tasks?limit=1001", 400, "invalid_query")]
#[case("GET", "/v1/tasks?limit=many", 400, "invalid_query")]
#[case("GET", "/v1/tasks?state=done", 400, "invalid_query")]
#[case("GET", "/v1/tasks?colour=red", 400, "invalid_query")]
#[case("GET", "/v1/tasks?after=7", 422, "TK008")]
#[case("GET", "/v1/templates?namespace=%00", 400, "not_storable")]
#[case("DELETE", "/v1/tasks", 405, "method_not_allowed")]
#[case("POST", "/v1/tasks", 415, "not_json")]
#[tokio::test]
async fn a_request_without_a_body(
    #[case] method: &str,
    #[case] path: &str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let answer = serve(&engine).await.call(method, path, None).await;
    assert_eq!(answer.problem(), (status, code.to_owned()));
    if status == 405 {
        assert_eq!(answer.headers["allow"], "GET,HEAD,POST");
    }
}

#[rstest]
#[case(r#"{"namespace": "none", "name": "flow"}"#, 404, "TK001")]
#[case(r#"{"namespace": "test", "name": "flow", "context": [1]}"#, 422, "TK005")]
#[case(
    r#"{"namespace": "test", "name": "flow", "idempotency_key": "k", "context": {"n": 2}}"#,
    409,
    "TK006"
)]
#[case(r#"{"namespace": "test", "name": "flow", "context": {"a": "\u0000"}}"#, 400, "not_storable")]
#[case(r#"{"namespace": "te\u0000st", "name": "flow"}"#, 400, "not_storable")]
#[case(r#"{"namespace": "test", "name": "flow", "priority": 2147483648}"#, 400, "invalid_body")]
#[case(r#"{"namespace": "test", "name": "flow", "colour": "red"}"#, 400, "invalid_body")]
#[case(r#"{"namespace": "test", "name": "flow", "run_at": "soon"}"#, 400, "invalid_body")]
#[case(r#"{"namespace": "test"}"#, 400, "invalid_body")]
#[case(r#"["test", "flow"]"#, 400, "invalid_body")]
#[case(r#"{"namespace": "test", "name": "flow", "priority": 1.5}"#, 400, "invalid_body")]
#[case(r#"{"namespace": "test", "name": "flow", "priority": 1e300}"#, 400, "invalid_body")]
#[case(r#"{"namespace": "#, 400, "invalid_body")]
#[case("", 400, "invalid_body")]
#[tokio::test]
async fn a_task_that_cannot_be(
    #[case] body: &'static str,
    #[case] status: u16,
    #[case] code: &str,
) {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let api = serve(&engine).await;
    let first =
        json!({"namespace": "test", "name": "flow", "idempotency_key": "k", "context": {"n": 1}});
    assert_eq!(api.post("/v1/tasks", first).await.status, 201);
    let request =
        api.request(reqwest::Method::POST, "/v1/tasks").header("content-type", "application/json");
    assert_eq!(api.send(request.body(body)).await.problem(), (status, code.to_owned()));
}

#[tokio::test]
async fn what_is_nested_as_deep_as_may_be_can_be_shown_wherever_it_stands() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let api = serve(&engine).await;
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    let send = async |path: &str, body: String| {
        let request =
            api.request(reqwest::Method::POST, path).header("content-type", "application/json");
        api.send(request.body(body)).await
    };
    let task = |levels| {
        format!(
            r#"{{"namespace": "test", "name": "flow", "context": {{"a": {}}}}}"#,
            nested(levels)
        )
    };
    for levels in [99, 125, 100_000] {
        assert_eq!(
            send("/v1/tasks", task(levels)).await.problem(),
            (400, "invalid_body".to_owned())
        );
    }
    let created = send("/v1/tasks", task(98)).await;
    assert_eq!(created.status, 201, "{created:?}");
    let at = format!("/v1/tasks/{}", created.json()["task_id"].as_str().unwrap());
    engine.initialize().await;
    let settled =
        send(&format!("{at}/steps/a/resolve"), format!(r#"{{"result": {}}}"#, nested(99))).await;
    assert_eq!(settled.json(), json!({"changed": true}));
    let entry =
        api.post("/v1/dead-letters", json!({"task_id": created.json()["task_id"]})).await.json();
    let entry = format!("/v1/dead-letters/{}", entry["entry_id"].as_str().unwrap());
    for path in ["", "/status", "/result", "/graph", "/transitions", "/steps", "/steps/a"] {
        assert_eq!(api.get(&format!("{at}{path}")).await.status, 200, "{path}");
    }
    assert_eq!(api.get(&entry).await.status, 200);
}

#[rstest]
#[case("+10000-01-01T00:00:00Z")]
#[case("+262142-01-01T00:00:00Z")]
#[case("0000-06-01T00:00:00Z")]
#[case("-004000-01-01T00:00:00Z")]
#[tokio::test]
async fn a_task_at_a_time_that_json_cannot_tell_is_refused_and_hides_no_others(
    #[case] run_at: &str,
) {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let api = serve(&engine).await;
    let new = json!({"namespace": "test", "name": "flow", "run_at": run_at});
    assert_eq!(api.post("/v1/tasks", new).await.problem(), (422, "TK008".to_owned()));
    for run_at in ["infinity", "-infinity"] {
        let by_sql = sqlx::query(
            "select tasker.enqueue_task('test', 'flow', p_run_at => $1::text::timestamptz)",
        );
        let refused = by_sql.bind(run_at).execute(engine.pool()).await.unwrap_err();
        assert_eq!(refused.as_database_error().unwrap().code().unwrap(), "TK008");
    }
    for run_at in ["0001-02-01T00:00:00Z", "9999-12-30T23:59:59+14:00"] {
        let new = json!({"namespace": "test", "name": "flow", "run_at": run_at});
        assert_eq!(api.post("/v1/tasks", new).await.status, 201, "{run_at}");
    }
    assert_eq!(api.get("/v1/tasks").await.json()["items"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_list_in_a_query_is_repeated_or_has_commas() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let (one, two) = (engine.enqueue(json!({})).await, engine.enqueue(json!({})).await);
    engine.enqueue(json!({})).await;
    let api = serve(&engine).await;
    for query in [
        format!("task_id={one}&task_id={two}&state=pending&state=complete"),
        format!("task_id={one},{two}&state=pending,complete"),
        format!("task_id={one}%2C{two}&state=pending%2Ccomplete"),
    ] {
        let listed = api.get(&format!("/v1/tasks?{query}")).await;
        assert_eq!(listed.json()["items"].as_array().unwrap().len(), 2, "{query}: {}", listed.text);
    }
}

#[tokio::test]
async fn an_unknown_name_is_told_with_those_there_are() {
    let api = serve(&Engine::new().await).await;
    let detail =
        |answer: crate::server::Answer| answer.json()["detail"].as_str().unwrap().to_owned();
    let query = detail(api.get("/v1/tasks?colour=red").await);
    assert!(query.contains("`colour`") && query.contains("`created_before`"), "{query}");
    let body = detail(api.post("/v1/prune", json!({"colour": 1})).await);
    assert!(body.contains("`colour`") && body.contains("`max`"), "{body}");
}

#[tokio::test]
async fn a_broken_function_is_an_internal_problem_without_its_text() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    engine
        .break_function(
            "task_status",
            "perform tasker.refuse_unknown_task(p_task_id)",
            "perform no_such_function()",
        )
        .await;
    let answer = serve(&engine).await.get(&format!("/v1/tasks/{}/status", Uuid::nil())).await;
    assert_eq!(answer.problem(), (500, "internal".to_owned()));
    assert!(
        !answer.text.contains("no_such_function") && !answer.text.contains("42883"),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_role_without_the_right_is_told_which_one_it_needs() {
    let engine = Engine::new().await;
    sqlx::query("create role api_reader login password 'x' in role tasker_readonly")
        .execute(engine.pool())
        .await
        .ok();
    let options = (*engine.pool().connect_options()).clone().username("api_reader").password("x");
    let pool = sqlx::postgres::PgPoolOptions::new().connect_lazy_with(options);
    let api = serve_with(&pool, settings()).await;
    assert_eq!(api.get("/v1/queues").await.status, 200);
    let answer = api.post("/v1/prune", json!({})).await;
    assert_eq!(answer.problem(), (403, "database_role".to_owned()));
    assert!(answer.json()["hint"].as_str().unwrap().contains("tasker_operator"));
}

#[tokio::test]
async fn a_correlation_id_goes_from_the_request_to_the_answer_and_the_task() {
    let engine = Engine::new().await;
    engine.apply_flow(&[("a", &[])]).await;
    let api = serve(&engine).await;
    let id = Uuid::now_v7().to_string();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let request = api
        .request(reqwest::Method::POST, "/v1/tasks")
        .header("x-correlation-id", &id)
        .header("traceparent", trace);
    let answer = api.send(request.json(&json!({"namespace": "test", "name": "flow"}))).await;
    assert_eq!(answer.headers["x-correlation-id"], id.as_str());
    let (correlation, stored): (Uuid, String) =
        sqlx::query_as("select correlation_id, traceparent from tasker.tasks")
            .fetch_one(engine.pool())
            .await
            .unwrap();
    assert_eq!((correlation.to_string(), stored), (id, trace.to_owned()));
    let other = api.get("/health/live").await;
    assert!(other.headers["x-correlation-id"].to_str().unwrap().parse::<Uuid>().is_ok());
}
