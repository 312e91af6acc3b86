//! A workflow's worth of calls, every answer against the schema that the document gives it.

use crate::server::{Answer, Api, serve};
use pgtasker_tests::engine::{Engine, pick, publishing_flow};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Asked elsewhere.
const STREAMS: [&str; 2] = ["GET /v1/tasks/{task_id}/events", "GET /v1/events"];

/// Asks as the document says, and looks whether the answer is as it says.
struct Contract {
    api: Api,
    document: Value,
    asked: BTreeSet<String>,
}

impl Contract {
    async fn new(engine: &Engine) -> Self {
        let api = serve(engine).await;
        let document = api.get("/openapi.json").await.json();
        Self { api, document, asked: BTreeSet::new() }
    }

    /// `path` as the document names it, with what stands for its parts.
    async fn ask(
        &mut self,
        method: &str,
        path: &str,
        parts: &[&str],
        query: &str,
        body: Option<Value>,
        status: u16,
    ) -> Answer {
        let mut at = path.to_owned();
        for part in parts {
            let (from, to) = (at.find('{').unwrap(), at.find('}').unwrap());
            at.replace_range(from..=to, part);
        }
        let answer = self.api.call(method, &format!("{at}{query}"), body).await;
        let name = format!("{method} {path}");
        assert_eq!(answer.status, status, "{name}: {}", answer.text);
        let told = &self.document["paths"][path][method.to_lowercase()]["responses"]
            [answer.status.as_str()];
        let kind = answer.headers["content-type"].to_str().unwrap();
        let schema = &told["content"][kind]["schema"];
        assert!(schema.is_object(), "{name} {status} {kind}: {told}");
        let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": self.document["components"], "allOf": [schema]});
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let value = answer.json();
        let wrong: Vec<String> = validator
            .iter_errors(&value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
        self.asked.insert(name);
        answer
    }

    async fn get(&mut self, path: &str, parts: &[&str], query: &str) -> Value {
        self.ask("GET", path, parts, query, None, 200).await.json()
    }

    async fn post(&mut self, path: &str, parts: &[&str], body: Value) -> Value {
        self.ask("POST", path, parts, "", Some(body), 200).await.json()
    }

    /// What the document has and nobody asked.
    fn not_asked(&self) -> Vec<String> {
        let paths = self.document["paths"].as_object().unwrap();
        let all = paths.iter().flat_map(|(path, item)| {
            item.as_object()
                .unwrap()
                .keys()
                .map(move |method| format!("{} {path}", method.to_uppercase()))
        });
        all.filter(|name| !self.asked.contains(name) && !STREAMS.contains(&name.as_str())).collect()
    }
}

#[tokio::test]
async fn every_answer_of_a_workflow_is_as_the_document_says() {
    let engine = Engine::new().await;
    let mut c = Contract::new(&engine).await;
    let template = pgtasker_tests::engine::flow(&[("a", &[]), ("b", &["a"])]);
    c.ask("POST", "/v1/templates", &[], "", Some(template.clone()), 201).await;
    c.ask("POST", "/v1/templates", &[], "", Some(template.clone()), 200).await;
    let version = Some(json!({"version": template["version"]}));
    let at = [template["namespace"].as_str().unwrap(), template["name"].as_str().unwrap()];
    c.ask("POST", "/v1/templates/{namespace}/{name}/use", &at, "", version, 200).await;
    assert_eq!(c.post("/v1/templates/validate", &[], template).await["problems"], json!([]));
    assert_eq!(c.get("/v1/templates", &[], "?namespace=test").await.as_array().unwrap().len(), 1);
    let stored = c.get("/v1/templates/{namespace}/{name}", &["test", "flow"], "").await;
    assert_eq!(stored["definition"]["name"], "flow");

    let new = json!({
        "namespace": "test",
        "name": "flow",
        "context": {"order_id": 7},
        "idempotency_key": "k",
    });
    let created = c.ask("POST", "/v1/tasks", &[], "", Some(new.clone()), 201).await;
    let id = created.json()["task_id"].as_str().unwrap().to_owned();
    assert_eq!(created.headers["location"], format!("/v1/tasks/{id}").as_str());
    // The correlation id of the second request does not make it another task.
    assert_eq!(
        c.ask("POST", "/v1/tasks", &[], "", Some(new), 200).await.json()["task_id"],
        id.as_str()
    );
    engine.initialize().await;
    tasks(&mut c, &engine, &id).await;
    steps(&mut c, &engine, &id).await;
    dead_letters(&mut c, &id).await;
    many_dead_letters_and_settings(&mut c, &id).await;
    ends(&mut c, &engine, &id).await;
    system(&mut c).await;
    domain_events(&mut c, &engine).await;
    assert_eq!(c.not_asked(), Vec::<String>::new());
}

async fn tasks(c: &mut Contract, engine: &Engine, id: &str) {
    let other = engine.enqueue(json!({})).await.to_string();
    let first = c
        .get("/v1/tasks", &[], "?limit=1&namespace=test&state=pending&state=steps_in_process")
        .await;
    assert_eq!(first["items"][0]["task_id"], other.as_str());
    let next = format!("?limit=1&after={}", first["next"].as_str().unwrap());
    let second = c.get("/v1/tasks", &[], &next).await;
    assert_eq!((&second["items"][0]["task_id"], second.get("next")), (&json!(id), None));
    assert_eq!(c.get("/v1/tasks/{task_id}", &[id], "").await["state"], "steps_in_process");
    assert_eq!(c.get("/v1/tasks/{task_id}/status", &[id], "").await["steps"]["enqueued"], 1);
    assert_eq!(
        c.get("/v1/tasks/{task_id}/result", &[id], "").await,
        json!({"state": "steps_in_process", "result": null})
    );
    assert_eq!(
        c.get("/v1/tasks/{task_id}/graph", &[id], "?instances=all").await["dag"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert!(
        !c.get("/v1/tasks/{task_id}/transitions", &[id], "").await["task"]
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert_eq!(c.get("/v1/tasks/{task_id}/batches", &[id], "").await, json!([]));
    assert_eq!(
        c.post("/v1/tasks/count", &[], json!({"filter": {"namespace": "test"}})).await["tasks"],
        2
    );
    let only = json!({"filter": {"task_ids": [other]}, "reason": "not needed", "max": 5});
    assert_eq!(c.post("/v1/tasks/cancel", &[], only).await["tasks"], 1);
}

async fn steps(c: &mut Contract, engine: &Engine, id: &str) {
    let claim = pick(&engine.claim(1).await, "a");
    engine.submit(&claim, json!({"type": "failure", "message": "boom", "retryable": false})).await;
    engine.process().await;
    assert_eq!(
        c.get("/v1/tasks/{task_id}/steps", &[id], "?state=error").await["items"][0]["step"],
        "a"
    );
    assert_eq!(
        c.get("/v1/tasks/{task_id}/steps/{step}", &[id, "a"], "").await["error"]["message"],
        "boom"
    );
    let moves = c.get("/v1/tasks/{task_id}/steps/{step}/transitions", &[id, "a"], "").await;
    assert_eq!(moves.as_array().unwrap().last().unwrap()["to_state"], "error");
    assert_eq!(c.post("/v1/tasks/{task_id}/reset", &[id], json!({})).await["changed"], false);
    assert_eq!(
        c.post("/v1/tasks/{task_id}/steps/{step}/retry", &[id, "a"], json!({"by": "ana"})).await,
        json!({"changed": true})
    );
    assert_eq!(
        c.post("/v1/tasks/{task_id}/steps/{step}/resolve", &[id, "a"], json!({"result": 1})).await,
        json!({"changed": true})
    );
    assert_eq!(
        c.post("/v1/tasks/retry", &[], json!({"filter": {"namespace": "test"}})).await,
        json!({"tasks": 0})
    );
}

async fn many_dead_letters_and_settings(c: &mut Contract, id: &str) {
    assert!(c.get("/v1/tasks/{task_id}/context", &[id], "").await.is_object());
    let which = json!({"filter": {"step": "nothing"}});
    assert_eq!(c.post("/v1/dead-letters/count", &[], which.clone()).await, json!({"entries": 0}));
    for action in ["/v1/dead-letters/retry", "/v1/dead-letters/update"] {
        assert_eq!(c.post(action, &[], which.clone()).await["done"], 0);
    }
    let path = "/v1/settings/{name}";
    let days = Some(json!({"value": "90", "by": "ana"}));
    assert_eq!(c.ask("PUT", path, &["retention_days"], "", days, 200).await.json()["value"], "90");
    let refused = c.ask("PUT", path, &["colour"], "", Some(json!({"value": "red"})), 422).await;
    assert_eq!(refused.json()["code"], "TK058");
    assert!(c.get("/v1/settings", &[], "").await.as_array().unwrap().len() > 10);
}

async fn dead_letters(c: &mut Contract, id: &str) {
    let new = json!({"task_id": id, "notes": "look", "by": "ana"});
    let entry = c.ask("POST", "/v1/dead-letters", &[], "", Some(new), 201).await.json()["entry_id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(
        c.get("/v1/dead-letters", &[], "?reason=permanent_failure").await["items"][0]["entry_id"],
        entry.as_str()
    );
    assert!(
        c.get("/v1/dead-letters/counts", &[], "")
            .await
            .as_array()
            .unwrap()
            .iter()
            .any(|count| count["reason"] == "permanent_failure")
    );
    assert_eq!(c.get("/v1/dead-letters/{entry_id}", &[&entry], "").await["status"], "pending");
    let refused =
        c.ask("POST", "/v1/dead-letters/{entry_id}/retry", &[&entry], "", None, 409).await;
    assert_eq!(refused.json()["code"], "TK042");
    let change = json!({"status": "manually_resolved", "notes": "done"});
    let changed = c
        .ask("PATCH", "/v1/dead-letters/{entry_id}", &[&entry], "", Some(change), 200)
        .await
        .json();
    assert_eq!(
        (&changed["status"], changed["notes"].as_str().unwrap().contains("done")),
        (&json!("manually_resolved"), true)
    );
}

async fn ends(c: &mut Contract, engine: &Engine, id: &str) {
    let settled = c.post("/v1/tasks/{task_id}/resolve", &[id], json!({"result": {"n": 1}})).await;
    assert_eq!(settled, json!({"changed": true, "state": "resolved_manually"}));
    assert_eq!(c.get("/v1/tasks/{task_id}/result", &[id], "").await["result"], json!({"n": 1}));
    assert_eq!(
        c.post("/v1/tasks/{task_id}/cancel", &[id], json!({})).await,
        json!({"changed": false, "state": "resolved_manually"})
    );
    c.ask("GET", "/v1/tasks/{task_id}", &[&Uuid::nil().to_string()], "", None, 404).await;
    // One that a worker has measured, for the analytics.
    engine.start().await;
    let claim = pick(&engine.claim(1).await, "a");
    let result = json!([{
        "task_id": claim.task_id,
        "step": "a",
        "claim_no": claim.claim_no,
        "duration_ms": 12,
        "outcome": {"type": "success", "result": 1},
    }]);
    let submit =
        sqlx::query("select * from tasker.submit_results($1, $2)").bind(engine.worker).bind(result);
    submit.execute(engine.pool()).await.unwrap();
    engine.process().await;
    engine.drain().await;
}

async fn domain_events(c: &mut Contract, engine: &Engine) {
    const PATH: &str = "/v1/namespaces/{namespace}/events";
    assert_eq!(c.get(PATH, &["test"], "").await, json!([]));
    let mut template = publishing_flow(&["payment.processed"]);
    template["version"] = json!("2");
    engine.apply(template).await;
    engine.start().await;
    // The namespace is limited.
    engine.enqueue_ready().await;
    let claim = pick(&engine.claim(1).await, "pay");
    let events = json!([
        {"name": "payment.processed", "payload": {"n": 1}},
        {"name": "payment.processed", "payload": null},
    ]);
    assert_eq!(engine.announce(&claim, events).await, "accepted");
    let all = c.get(PATH, &["test"], "").await;
    assert_eq!((all.as_array().unwrap().len(), &all[0]["event"]["payload"]), (2, &json!({"n": 1})));
    let after = format!("?after={}&limit=5", all[0]["msg_id"]);
    assert_eq!(c.get(PATH, &["test"], &after).await, json!([all[1]]));
    assert_eq!(c.get(PATH, &["test"], "?limit=1").await, json!([all[1]]));
}

async fn system(c: &mut Contract) {
    assert!(
        c.get("/v1/queues", &[], "")
            .await
            .as_array()
            .unwrap()
            .iter()
            .any(|queue| queue["namespace"] == "test")
    );
    assert_eq!(c.get("/v1/namespaces", &[], "").await, json!(["test"]));
    assert_eq!(
        c.post("/v1/namespaces/{namespace}/pause", &["test"], json!({"reason": "x"})).await,
        json!({"changed": true})
    );
    assert_eq!(
        c.post("/v1/namespaces/{namespace}/resume", &["test"], json!({})).await,
        json!({"changed": true})
    );
    let limit = c
        .ask(
            "PUT",
            "/v1/namespaces/{namespace}/limit",
            &["test"],
            "",
            Some(json!({"max_depth": 7})),
            200,
        )
        .await;
    assert_eq!(limit.json(), json!({"namespace": "test", "max_depth": 7}));
    c.get("/v1/workers", &[], "").await;
    assert_eq!(c.post("/v1/prune", &[], json!({})).await["busy"], false);
    c.get("/v1/staleness", &[], "?staleness=healthy").await;
    assert!(
        !c.get("/v1/analytics/slowest-steps", &[], "?namespace=test")
            .await
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(
        !c.get("/v1/analytics/throughput", &[], "?bucket_seconds=3600")
            .await
            .as_array()
            .unwrap()
            .is_empty()
    );
    assert!(!c.get("/v1/analytics/failure-rates", &[], "").await.as_array().unwrap().is_empty());
    assert_eq!(c.get("/v1/health", &[], "").await["healthy"], true);
    for path in ["/health", "/health/live", "/health/ready"] {
        c.get(path, &[], "").await;
    }
}

#[tokio::test]
async fn the_page_that_describes_it_needs_no_internet() {
    let api = serve(&Engine::new().await).await;
    let page = api.get("/docs/").await;
    let names =
        page.text.split(['"', '\'']).filter(|word| word.ends_with(".js") || word.ends_with(".css"));
    let names: Vec<&str> = names.collect();
    assert!(names.len() >= 3, "{}", page.text);
    for name in names {
        assert!(!name.contains("//"), "{name} is elsewhere");
        assert_eq!(
            api.get(&format!("/docs/{}", name.trim_start_matches("./"))).await.status,
            200,
            "{name}"
        );
    }
    assert!(api.get("/docs/swagger-initializer.js").await.text.contains("/openapi.json"));
}
