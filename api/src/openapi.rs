//! The OpenAPI document: what the routes say of themselves, and what holds for all of them. Who may
//! do what is read from it, so that what is documented is what is checked.

use crate::{
    access::Permission,
    layers::Rules,
    problem::{PROBLEM_JSON, ProblemDetails},
};
use axum::http::Method;
use pgtasker_client::{DeadLetterReason, DeadLetterStatus};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

/// What the document begins with.
#[derive(Debug, OpenApi)]
#[openapi(
    info(
        title = "Tasker",
        description = "Tasks of steps, run over message queues in PostgreSQL. Errors are problem \
            details (RFC 9457) with a stable `code`. \
                       Every answer has the header X-Correlation-Id; send one to find a request \
                       in the log and on its task.",
        license(name = "MIT", identifier = "MIT"),
    ),
    tags(
        (name = "tasks", description = "Enqueue, follow, retry, and cancel tasks"),
        (name = "steps", description = "The steps of a task"),
        (name = "templates", description = "The graphs that tasks run"),
        (name = "events", description = "Domain events; server-sent events about tasks and queues"),
        (name = "dead letters", description = "Messages and tasks that people have to look at"),
        (name = "system", description = "Queues, namespaces, workers, retention"),
        (name = "analytics", description = "Durations, throughput, and failure rates"),
        (name = "health", description = "Whether Tasker can be used"),
    ),
    components(schemas(
        ProblemDetails,
        pgtasker_client::HowStale,
        pgtasker_client::DomainEvent,
    ))
)]
pub struct Document;

/// Statuses that any operation under /v1 may answer.
const OF_ALL: &[(&str, &str)] = &[
    ("400", "The request is not well formed"),
    ("401", "A valid key or token is needed"),
    ("403", "The key, or the server's database role, does not allow this"),
    ("404", "It is not there"),
    ("408", "The request did not arrive in time"),
    ("409", "It cannot be done in the present state"),
    ("422", "The content cannot be used"),
    ("500", "Something went wrong in the server"),
    ("503", "The database is away, or there are too many requests"),
    ("504", "The database took too long"),
];
/// And those with a body.
const OF_BODIES: &[(&str, &str)] =
    &[("413", "The body is too large"), ("415", "The body must be JSON")];

/// What may be asked for of dead letters; in an answer, a newer database may have another word.
const DEAD_LETTERS: &[(&str, &[&str])] =
    &[("reason", DeadLetterReason::NAMES), ("status", DeadLetterStatus::NAMES)];

const METHODS: &[&str] = &["get", "put", "post", "patch", "delete"];

/// The finished document. Without keys it wants none.
pub fn finish(document: utoipa::openapi::OpenApi, closed: bool) -> Value {
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["info"]["version"] = json!(env!("CARGO_PKG_VERSION"));
    if let Some(paths) = document["paths"].as_object_mut() {
        for (path, item) in paths {
            for (_, operation) in operations(item) {
                complete(operation, path, closed);
            }
        }
    }
    refine(&mut document);
    if closed {
        let permissions: Vec<String> =
            Permission::ALL.iter().map(|p| format!("`{p}`: {}", p.explain().trim())).collect();
        document["components"]["securitySchemes"]["key"] = json!({
            "type": "http",
            "scheme": "bearer",
            "description": format!(
                "An API key (tk_…) or a JWT. Permissions: {}; `*`: all.",
                permissions.join("; "),
            ),
        });
    }
    document
}

/// What derived schemas cannot say.
fn refine(document: &mut Value) {
    // PostgreSQL stores every character but this one, wherever it stands.
    const STORABLE: &str = "^[^\u{0}]*$";
    let schemas = &mut document["components"]["schemas"];
    schemas["Json"] = json!({"description": "Any JSON without the character \\u0000", "anyOf": [
        {"type": ["null", "boolean", "number"]},
        {"type": "string", "pattern": STORABLE},
        {"type": "array", "items": {"$ref": "#/components/schemas/Json"}},
        {"$ref": "#/components/schemas/JsonObject"},
    ]});
    schemas["JsonObject"] = json!({"type": "object", "propertyNames": {"pattern": STORABLE},
        "additionalProperties": {"$ref": "#/components/schemas/Json"}});
    schemas["NewTask"]["properties"]["context"] =
        json!({"description": "The input of the task.", "$ref": "#/components/schemas/JsonObject"});
    for (name, property) in
        [("Settle", "result"), ("SettleStep", "result"), ("SettleStep", "outcome")]
    {
        let said = schemas[name]["properties"][property]["description"].clone();
        schemas[name]["properties"][property] =
            json!({"description": said, "$ref": "#/components/schemas/Json"});
    }
    let definition = json!({"$ref": "#/components/schemas/JsonObject"});
    schemas["Definition"]["allOf"] = json!([definition]);
    let filters =
        schemas["TaskSelection"]["properties"].as_object().into_iter().flat_map(Map::keys);
    let one_of: Vec<Value> = filters
        .map(|key| {
            json!({"required": [key], "properties": {key.as_str(): {"not": {"type": "null"}}}})
        })
        .collect();
    schemas["TaskSelection"]["anyOf"] = json!(one_of);
    name_dead_letters(document);
    let schemas = &mut document["components"]["schemas"];
    for name in [
        "NewTask",
        "TaskSelection",
        "Act",
        "Bulk",
        "Settle",
        "SettleStep",
        "NewDeadLetter",
        "DeadLetterChange",
        "BulkDeadLetters",
        "DeadLetterSelection",
        "NewValue",
        "Limit",
        "Prune",
    ] {
        for (key, property) in schemas[name]["properties"].as_object_mut().into_iter().flatten() {
            storable(property, STORABLE);
            exemplary(key, property);
        }
    }
    for item in document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        for (_, operation) in operations(item) {
            // Not by index, which would set missing ones to null.
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                // One that is not there is not null.
                if let Value::Array(types) = &parameter["schema"]["type"] {
                    parameter["schema"]["type"] = types[0].clone();
                }
                storable(&mut parameter["schema"], STORABLE);
            }
        }
    }
    name_streams(document);
}

/// Says what the elements of an event stream are.
fn name_streams(document: &mut Value) {
    let stream = json!({
        "type": "object",
        "required": ["event", "data"],
        "properties": {
            "id": {"type": "string"},
            "event": {"type": "string"},
            "data": {"type": "string", "contentMediaType": "application/json"},
        },
    });
    for path in ["/v1/tasks/{task_id}/events", "/v1/events"] {
        let answer = &mut document["paths"][path]["get"]["responses"]["200"];
        answer["content"]["text/event-stream"]["schema"] = stream.clone();
    }
}

/// Says what may be asked for in place of any text, and so what an example of it is.
fn name_dead_letters(document: &mut Value) {
    let which = &mut document["components"]["schemas"]["DeadLetterSelection"]["properties"];
    for (property, values) in DEAD_LETTERS {
        which[*property]["enum"] =
            values.iter().map(|value| json!(value)).chain([Value::Null]).collect();
        which[*property]["example"] = json!(values[0]);
    }
    let listed = document["paths"]["/v1/dead-letters"]["get"]["parameters"].as_array_mut();
    for parameter in listed.into_iter().flatten() {
        let known = DEAD_LETTERS.iter().find(|(property, _)| parameter["name"] == *property);
        if let Some((_, values)) = known {
            parameter["schema"] = json!({"type": "string", "enum": values});
        }
    }
}

/// A text of any form must be one that can be stored.
fn storable(schema: &mut Value, pattern: &str) {
    let is_text = match &schema["type"] {
        Value::Array(types) => types.contains(&json!("string")),
        kind => kind == "string",
    };
    if is_text && ["format", "enum", "pattern"].iter().all(|key| schema.get(key).is_none()) {
        schema["pattern"] = json!(pattern);
    }
}

/// What a page of this document fills in to try it out: without an example it makes one up from the
/// pattern.
fn exemplary(key: &str, property: &mut Value) {
    let example = match key {
        "namespace" => "orders",
        "name" => "fulfil",
        "version" => "1.0.0",
        "idempotency_key" => "order-7",
        "traceparent" => "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "reason" => "the card network was down",
        "by" => "ana",
        "notes" => "asked the bank",
        "error_code" => "card_network",
        "id_prefix" => "0198f3c2",
        "step" => "charge",
        "queue" => "worker_orders_queue",
        _ => return,
    };
    if property.get("pattern").is_some() && property.get("example").is_none() {
        property["example"] = json!(example);
    }
}

fn operations(item: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    item.as_object_mut()
        .into_iter()
        .flatten()
        .filter(|(method, _)| METHODS.contains(&method.as_str()))
}

fn complete(operation: &mut Value, path: &str, closed: bool) {
    let has_body = operation.get("requestBody").is_some();
    let statuses = OF_ALL.iter().chain(OF_BODIES.iter().filter(|_| has_body));
    if let Some(responses) = operation["responses"].as_object_mut() {
        for (status, description) in statuses.filter(|_| path.starts_with("/v1/")) {
            responses.entry(*status).or_insert_with(|| problem(status, description));
        }
        for response in responses.values_mut() {
            if response["description"].as_str().is_none_or(str::is_empty) {
                response["description"] = json!("Done");
            }
            response["headers"]["X-Correlation-Id"] = json!({
                "description": "The id of this request",
                "schema": {"type": "string", "format": "uuid"},
            });
        }
    }
    if path.starts_with("/v1/") {
        let parameter = json!({"name": "X-Correlation-Id", "in": "header", "required": false,
            "schema": {"type": "string", "format": "uuid"}, "description": "A uuid for the log \
             and the answer; a missing or malformed one is replaced by a new one"});
        match operation.get_mut("parameters").and_then(Value::as_array_mut) {
            Some(parameters) => parameters.push(parameter),
            None => operation["parameters"] = json!([parameter]),
        }
    }
    if let (false, Some(operation)) = (closed, operation.as_object_mut()) {
        operation.remove("security");
    }
}

fn problem(status: &str, description: &str) -> Value {
    let text =
        |description: &str| json!({"description": description, "schema": {"type": "string"}});
    let mut headers = Map::new();
    match status {
        "401" => headers.insert("WWW-Authenticate".to_owned(), text("How to log in")),
        "503" => headers.insert("Retry-After".to_owned(), text("Seconds")),
        _ => None,
    };
    json!({"description": description, "headers": headers,
        "content": {(PROBLEM_JSON): {"schema": {"$ref": "#/components/schemas/ProblemDetails"}}}})
}

/// Who may do what, as the document of the routes says it before [`finish`].
pub fn rules(document: &utoipa::openapi::OpenApi) -> Result<Rules, String> {
    let mut document = serde_json::to_value(document).map_err(|error| error.to_string())?;
    let mut rules = Rules::default();
    for (path, item) in document["paths"].as_object_mut().into_iter().flatten() {
        for (method, operation) in operations(item) {
            let method: Method =
                method.to_uppercase().parse().map_err(|_| format!("{method} is no method"))?;
            let security = operation["security"][0].as_object();
            let security =
                security.ok_or_else(|| format!("{method} {path} does not say who may do it"))?;
            let need = match security.get("key") {
                Some(words) => Some(words[0].as_str().unwrap_or_default().parse::<Permission>()?),
                None => None,
            };
            rules.needs.insert((method, path.clone()), need);
        }
    }
    Ok(rules)
}
