//! JSON Schema checks of a task's context. No database.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pgtasker_core::json_schema::InputSchema;
use serde_json::{Value, json};

fn schema() -> InputSchema {
    let schema = json!({
        "type": "object",
        "required": ["order_id"],
        "properties": {
            "order_id": {"type": "integer"},
            "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
        },
        "additionalProperties": false,
        "$defs": {"line": {"type": "object", "required": ["sku"]}},
    });
    InputSchema::compile(&schema).unwrap()
}

fn violation(context: &Value) -> (String, String) {
    let violation = schema().check(context).unwrap_err();
    (violation.field, violation.message)
}

#[test]
fn a_fitting_context_passes() {
    schema().check(&json!({"order_id": 7, "lines": [{"sku": "a"}]})).unwrap();
}

#[test]
fn the_failing_field_is_named() {
    let (field, message) = violation(&json!({"order_id": "x"}));
    assert_eq!(field, "/order_id");
    assert_eq!(
        message,
        "context does not fit the template's input_schema: /order_id: \"x\" is not of \
         type \"integer\""
    );
}

#[test]
fn a_missing_field_is_named_where_it_should_be() {
    assert_eq!(violation(&json!({})).0, "/order_id");
    let (field, message) = violation(&json!({"order_id": 1, "lines": [{"sku": "a"}, {}]}));
    assert_eq!(field, "/lines/1/sku");
    assert!(message.ends_with("/lines/1/sku: is required"), "{message}");
}

#[test]
fn an_unexpected_field_is_named() {
    let (_, message) = violation(&json!({"order_id": 1, "extra": 2}));
    assert!(message.contains("'extra' was unexpected"), "{message}");
}

#[test]
fn only_a_handful_of_violations_is_listed_and_values_are_cut() {
    let (_, message) =
        violation(&json!({"order_id": "x".repeat(100_000), "lines": vec![json!({}); 50]}));
    assert!(message.len() < 1_000, "{}", message.len());
    assert!(message.ends_with("and 46 more"), "{message}");
}

#[test]
fn nothing_outside_the_schema_is_fetched() {
    for uri in ["https://example.com/order.json", "file:///etc/hostname", "other.json"] {
        let error = InputSchema::compile(&json!({"properties": {"a": {"$ref": uri}}})).unwrap_err();
        assert!(error.contains("never fetched") && error.contains("$defs"), "{error}");
    }
}

#[test]
fn a_schema_that_is_none_is_refused() {
    for schema in
        [json!({"type": "intger"}), json!({"required": "a"}), json!({"pattern": "("}), json!(7)]
    {
        let error = InputSchema::compile(&schema).unwrap_err();
        assert!(error.starts_with("input_schema is not a valid JSON Schema: "), "{error}");
    }
    let error = InputSchema::compile(&json!({"$schema": "https://example.com/mine"})).unwrap_err();
    assert!(error.contains("example.com/mine"), "{error}");
}
