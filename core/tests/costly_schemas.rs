//! What a schema and a context may cost together: a verdict comes soon and takes little memory,
//! whatever they are.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pgtasker_core::json_schema::{InputSchema, apart};
use serde_json::{Map, Value, json};
use std::time::{Duration, Instant};

fn compile(schema: &Value) -> Result<InputSchema, String> {
    let begun = Instant::now();
    let compiled = InputSchema::compile(schema);
    assert!(begun.elapsed() < Duration::from_secs(20), "compiled in {:?}", begun.elapsed());
    compiled
}

/// The verdict, as the orchestrator has it.
async fn check(schema: &Value, context: Value) -> Option<String> {
    let schema = compile(schema).unwrap();
    let begun = Instant::now();
    let verdict = apart(move || schema.violation(&context).map(|(_, text)| text)).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(20), "checked in {:?}", begun.elapsed());
    verdict
}

/// Most memory that this process has taken so far, in MB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB").trim();
    line.split(' ').next().unwrap().parse::<u64>().unwrap() / 1_024
}

/// A definition that refers to the next one, `levels` times.
fn chain(levels: usize, level: impl Fn(Value) -> Value) -> Value {
    let reference = |n: usize| json!({"$ref": format!("#/$defs/d{n}")});
    let mut defs: Map<String, Value> =
        (0..levels).map(|n| (format!("d{n}"), level(reference(n + 1)))).collect();
    defs.insert(format!("d{levels}"), json!({"type": "integer"}));
    json!({"$ref": "#/$defs/d0", "$defs": defs})
}

fn expression() -> Value {
    let operation = |op: &str| {
        json!({
            "type": "object",
            "required": ["op", "left"],
            "properties": {"op": {"const": op}, "left": {"$ref": "#/$defs/e"}},
        })
    };
    json!({"type": "object", "$ref": "#/$defs/e",
           "$defs": {"e": {"anyOf": [{"type": "number"}, operation("and"), operation("or")]}}})
}

fn nested(depth: usize) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!({"op": "xor", "left": inner}))
}

/// In a process of its own: others would add to its memory.
#[test]
fn a_recursive_schema_is_checked_in_little_time_and_memory() {
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let done = alone.args(["--ignored", "--exact", "recursive_schema_alone"]).output().unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && text.contains("1 passed"), "{text}");
}

#[tokio::test]
#[ignore = "the test above runs it, in a process of its own: it measures the memory of all of it"]
async fn recursive_schema_alone() {
    let before = most_memory();
    for depth in [28, 100] {
        let text = check(&expression(), nested(depth)).await.unwrap();
        assert!(text.contains("does not fit"), "{text}");
    }
    assert!(most_memory() < before + 50, "{} MB, before {before} MB", most_memory());
    let fits = serde_json::from_str(&nested(60).to_string().replace("xor", "or")).unwrap();
    assert_eq!(check(&expression(), fits).await, None);
}

#[test]
fn a_schema_whose_references_multiply_is_refused_as_such() {
    let twice = |key: &'static str| move |next: Value| json!({key: [next.clone(), next]});
    let schemas = [
        chain(40, twice("allOf")),
        chain(40, twice("anyOf")),
        chain(40, twice("oneOf")),
        chain(40, |next| json!({"if": next.clone(), "then": next})),
        chain(40, |next| json!({"not": next.clone(), "else": next})),
        chain(40, |next| json!({"dependentSchemas": {"a": next.clone(), "b": next}})),
        chain(40, |next| json!({"allOf": [next.clone()], "unevaluatedProperties": next})),
        chain(40, |next| json!({"allOf": [next.clone(), next.clone()], "unevaluatedItems": next})),
        chain(3_000, |next| next),
    ];
    for schema in schemas {
        let error = compile(&schema).unwrap_err();
        assert!(error.contains("references and combinations"), "{error}");
    }
    for kind in ["properties", "patternProperties"] {
        compile(&chain(200, |next| json!({kind: {"a": next.clone(), "b": next}}))).unwrap();
    }
    let error = compile(&json!({"pattern": "((a{100}){100}){100}"})).unwrap_err();
    assert!(error.contains("patterns are too large") || error.contains("pattern"), "{error}");
    let many: Map<String, Value> =
        (0..5_000).map(|n| (format!("p{n}"), json!({"pattern": r"^\p{L}{1,100}$"}))).collect();
    assert!(compile(&json!({"properties": many})).unwrap_err().contains("patterns are too large"));
    assert!(compile(&json!({"description": "x".repeat(2_000_000)})).unwrap_err().contains("bytes"));
}

#[tokio::test]
async fn what_cannot_be_told_within_the_budget_is_refused_by_name() {
    let wide = json!({
        "type": "array",
        "items": {"enum": (0..20_000).map(|n| json!({"a": n})).collect::<Vec<_>>()},
    });
    let text = check(&wide, json!(vec![json!({"a": 19_999}); 20_000])).await.unwrap();
    assert!(text.contains("could not be checked within"), "{text}");
    let text = check(&wide, json!(vec![json!({"a": -1}); 20_000])).await.unwrap();
    assert!(text.starts_with("/0: ") && text.ends_with("and many more"), "{text}");
    let backtracking = json!({"items": {"pattern": "^(?=.*x)(a+)+$"}});
    let text = check(&backtracking, json!(vec!["a".repeat(30) + "!x"; 2_000])).await.unwrap();
    assert!(!text.is_empty());
    // Each letter goes through hundreds of states.
    let wide = json!({"pattern": "^(?:[ab]?[ac]?){100}[a-z]{0,100}[xy]$"});
    assert!(check(&wide, json!("ab".repeat(500_000))).await.is_some());
}

#[tokio::test]
async fn large_and_deep_values_are_checked_as_others_are() {
    let numbers: Vec<u32> = (0..100_000).collect();
    let schema =
        json!({"type": "array", "uniqueItems": true, "items": {"type": "integer", "minimum": 0}});
    assert_eq!(check(&schema, json!(numbers)).await, None);
    let mut twice = numbers;
    twice.push(0);
    assert!(check(&schema, json!(twice)).await.is_some());
    let lists_of_numbers = json!({"additionalProperties": {"items": {"type": "integer"}}});
    let far = json!({"k".repeat(300_000): vec![json!("x"); 50_000]});
    assert!(check(&lists_of_numbers, far).await.is_some());
    let deep = (0..120).fold(json!([]), |inner, _| json!([inner]));
    let lists = json!({
        "$ref": "#/$defs/l",
        "$defs": {"l": {"type": "array", "items": {"$ref": "#/$defs/l"}}},
    });
    assert_eq!(check(&lists, deep).await, None);
}
