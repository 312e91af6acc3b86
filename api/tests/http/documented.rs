//! What is written about the API: docs/http-api.md and the document's own examples.

use crate::server::serve;
use pgtasker_core::bounds;
use pgtasker_tests::engine::Engine;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const PAGE: &str = include_str!("../../../docs/http-api.md");
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "PATCH", "DELETE"];

/// The rows of the page's table: a route, and what stands beside it.
fn rows() -> Vec<(&'static str, &'static str)> {
    let row = |line: &'static str| {
        let (route, rest) = line.strip_prefix("| `")?.split_once("` |")?;
        METHODS.contains(&route.split(' ').next()?).then_some((route, rest))
    };
    PAGE.lines().filter_map(row).collect()
}

async fn document(engine: &Engine) -> Value {
    serve(engine).await.get("/openapi.json").await.json()
}

/// Every operation under /v1, as the page names it.
fn operations(document: &Value) -> Vec<(String, &Value)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .filter(|(path, _)| path.starts_with("/v1/"))
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().iter();
            methods.map(move |(method, operation)| {
                (format!("{} {path}", method.to_uppercase()), operation)
            })
        })
        .collect()
}

#[tokio::test]
async fn the_document_names_the_defaults_and_ranges() {
    let document = document(&Engine::new().await).await;
    let mut found = BTreeSet::new();
    for (route, operation) in operations(&document) {
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let bounds = match parameter["name"].as_str().unwrap() {
                "limit" => bounds::PAGE,
                "max_tasks" => bounds::SAMPLED,
                _ => continue,
            };
            let schema = &parameter["schema"];
            assert_eq!(schema["minimum"], bounds.least, "{route}");
            assert_eq!(schema["maximum"], bounds.most, "{route}");
            // Some lists have pages of their own.
            if !["GET /v1/tasks", "GET /v1/dead-letters"].contains(&&*route)
                && !route.contains("/analytics/")
                && !route.ends_with("/transitions")
                || parameter["name"] == "max_tasks"
            {
                assert_eq!(schema["default"], bounds.default, "{route}");
            }
            found.insert(parameter["name"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(found.len(), 2);
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["Prune"]["properties"]["max"]["default"], bounds::PRUNED.default);
}

#[tokio::test]
async fn the_page_has_every_route_and_every_parameter() {
    let document = document(&Engine::new().await).await;
    let operations = operations(&document);
    let routes: BTreeSet<&str> = operations.iter().map(|(route, _)| route.as_str()).collect();
    let written: BTreeSet<&str> = rows().into_iter().map(|(route, _)| route).collect();
    assert_eq!(written, routes);
    for (route, operation) in &operations {
        let (_, row) = rows().into_iter().find(|(written, _)| written == route).unwrap();
        if row.contains("as slowest-steps") || row.contains("as retry") {
            continue;
        }
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let body = &operation["requestBody"]["content"]["application/json"]["schema"];
        let named = body["$ref"].as_str().or_else(|| body["oneOf"][1]["$ref"].as_str());
        let schema = named.and_then(|name| name.rsplit('/').next());
        let fields = schema
            .map_or(&Value::Null, |name| &document["components"]["schemas"][name]["properties"]);
        let names = parameters
            .filter(|parameter| parameter["in"] == "query")
            .filter_map(|parameter| parameter["name"].as_str())
            .chain(fields.as_object().into_iter().flatten().map(|(name, _)| name.as_str()));
        for name in names {
            let is_there =
                row.contains(&format!("`{name}`")) || row.contains(&format!("\"{name}\""));
            assert!(is_there, "{route}: {name} is not in: {row}");
        }
    }
}

#[tokio::test]
async fn the_request_of_the_page_enqueues() {
    let engine = Engine::new().await;
    let template = json!({"namespace": "orders", "name": "fulfil", "version": "1",
        "steps": [{"name": "ship", "handler": {"callable": "noop"}}]});
    engine.apply(template).await;
    let line = PAGE.lines().find(|line| line.starts_with("curl -i ")).unwrap();
    let (before, body) = line.split_once(" -d '").unwrap();
    assert!(before.starts_with("curl -i http://127.0.0.1:8410/v1/tasks "), "{before}");
    assert!(before.contains("-H 'Content-Type: application/json'"), "{before}");
    let api = serve(&engine).await;
    for status in [201, 200] {
        let request = api
            .request(reqwest::Method::POST, "/v1/tasks")
            .header("content-type", "application/json")
            .body(body.trim_end_matches('\''));
        let answer = api.send(request).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
}

#[tokio::test]
async fn every_example_is_one() {
    let engine = Engine::new().await;
    let document = document(&engine).await;
    let mut wrong = Vec::new();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let Some(example) = property.get("example") else { continue };
            let schema = json!({"$schema": "https://json-schema.org/draft/2020-12/schema",
                "components": document["components"], "allOf": [property]});
            let validator =
                jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
            if !validator.is_valid(example) {
                wrong.push(format!("{name}.{key}: {example}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    for (route, operation) in operations(&document) {
        let mut parameters = operation["parameters"].as_array().unwrap().iter();
        let id = parameters.find(|parameter| parameter["name"] == "X-Correlation-Id").unwrap();
        assert_eq!(id["schema"]["format"], "uuid", "{route}");
    }
    // What dead letters may be, as the table itself says it.
    let filter = &document["components"]["schemas"]["DeadLetterSelection"]["properties"];
    for key in ["reason", "status"] {
        let values = filter[key]["enum"].as_array().unwrap().iter().filter_map(Value::as_str);
        let known: BTreeSet<String> = values.map(str::to_owned).collect();
        let checked: String = sqlx::query_scalar(
            "select string_agg(pg_get_constraintdef(oid), ' ') from pg_constraint
              where conrelid = 'tasker.dead_letters'::regclass and conname = $1",
        )
        .bind(format!("dead_letters_{key}_check"))
        .fetch_one(engine.pool())
        .await
        .unwrap();
        let checked: BTreeSet<String> =
            checked.split('\'').skip(1).step_by(2).map(str::to_owned).collect();
        assert_eq!(known, checked, "{key}");
    }
}
