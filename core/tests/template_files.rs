//! Template files: YAML to JSON, positions, and what is refused. No database.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pgtasker_core::template::{Diagnostic, Position, TemplateFile};
use serde_json::json;

fn parse(text: &str) -> TemplateFile {
    TemplateFile::parse("t.yaml", text).unwrap()
}

fn problems(text: &str) -> Vec<String> {
    let problems = TemplateFile::parse("t.yaml", text).unwrap_err();
    problems.iter().map(Diagnostic::to_string).collect()
}

fn at(line: usize, column: usize) -> Position {
    Position { line, column }
}

const ORDERS: &str = r#"# Fulfilment.
namespace: orders
name: fulfil
version: "1.0.0"
input_schema: { type: object, required: [order_id], properties: { order_id: { type: integer } } }
on_failure: block            # block | fail
steps:
  - name: reserve
    handler: { callable: sql, config: { function: shop.reserve } }
  - name: charge
    dependencies: [reserve]
    handler:
      callable: charge_card
      config: { currency: EUR }
    retry: { retryable: true, max_attempts: 3, jitter: true }
    timeout_seconds: 300
"#;

#[test]
fn yaml_becomes_the_same_json() {
    let expected = json!({
        "namespace": "orders",
        "name": "fulfil",
        "version": "1.0.0",
        "input_schema": {
            "type": "object",
            "required": ["order_id"],
            "properties": {"order_id": {"type": "integer"}},
        },
        "on_failure": "block",
        "steps": [
            {
                "name": "reserve",
                "handler": {"callable": "sql", "config": {"function": "shop.reserve"}},
            },
            {
                "name": "charge",
                "dependencies": ["reserve"],
                "handler": {"callable": "charge_card", "config": {"currency": "EUR"}},
                "retry": {"retryable": true, "max_attempts": 3, "jitter": true},
                "timeout_seconds": 300,
            },
        ],
    });
    assert_eq!(*parse(ORDERS).definition(), expected);
    for text in [expected.to_string(), serde_json::to_string_pretty(&expected).unwrap()] {
        assert_eq!(*parse(&text).definition(), expected);
    }
}

#[test]
fn every_part_is_located() {
    let file = parse(ORDERS);
    for (pointer, expected) in [
        ("", at(2, 1)),
        ("/name", at(3, 7)),
        ("/version", at(4, 10)),
        ("/steps", at(7, 1)),
        ("/steps/0", at(8, 5)),
        ("/steps/0/name", at(8, 11)),
        ("/steps/1/dependencies/0", at(11, 20)),
        ("/steps/1/handler", at(12, 5)),
        ("/steps/1/handler/config/currency", at(14, 27)),
        ("/steps/1/timeout_seconds", at(16, 22)),
    ] {
        assert_eq!(file.locate(pointer), expected, "{pointer}");
    }
}

#[test]
fn what_is_missing_is_where_its_nearest_ancestor_stands() {
    let file = parse(ORDERS);
    assert_eq!(file.locate("/steps/1/handler/nothing/here"), at(12, 5));
    assert_eq!(file.locate("/steps/9"), at(7, 1));
    assert_eq!(file.locate("/on_failure/x"), at(6, 1));
    assert_eq!(file.locate("no pointer"), at(2, 1));
}

#[test]
fn a_diagnostic_names_file_line_and_column() {
    let file = parse("name: x\nstepz: 3\n");
    assert_eq!(
        file.diagnostic("/stepz", "unknown_key", "no").to_string(),
        "t.yaml:2:1: no [unknown_key]"
    );
    assert_eq!(file.diagnostic("/stepz", "type", "no").to_string(), "t.yaml:2:8: no [type]");
    let json = serde_json::to_value(file.diagnostic("/name", "c", "m")).unwrap();
    let expected = json!({
        "file": "t.yaml",
        "line": 1,
        "column": 7,
        "path": "/name",
        "code": "c",
        "message": "m",
    });
    assert_eq!(json, expected);
}

#[test]
fn keys_with_slashes_and_tildes_are_escaped() {
    let file = parse("a/b: 1\nc~d:\n  x: 2\n");
    assert_eq!(file.locate("/a~1b"), at(1, 6));
    assert_eq!(file.locate("/c~0d/x"), at(3, 6));
}

#[test]
fn an_empty_value_stands_at_its_key() {
    let file = parse("name:\nversion: 1.0\n");
    assert_eq!(*file.definition(), json!({"name": null, "version": 1.0}));
    assert_eq!(file.locate("/name"), at(1, 1));
}

#[test]
fn columns_count_characters() {
    let file = parse("{ \"größe\": \"ä\", name: x }");
    assert_eq!(file.locate("/name"), at(1, 23));
}

#[test]
fn a_byte_order_mark_and_windows_lines_do_no_harm() {
    let file = parse("\u{feff}name: x\r\nsteps:\r\n  - name: y\r\n");
    assert_eq!(*file.definition(), json!({"name": "x", "steps": [{"name": "y"}]}));
    assert_eq!(file.locate("/steps/0/name"), at(3, 11));
}

#[test]
fn json_with_tabs_and_escapes_is_read() {
    let text = "{\n\t\"name\": \"a\\/b \\u00e4\",\n\t\"steps\": [\n\t\t{\"name\": \"y\"}\n\t]\n}";
    let file = parse(text);
    assert_eq!(file.definition()["name"], json!("a/b ä"));
    assert_eq!(file.locate("/steps/0/name"), at(4, 12));
    assert!(problems("{\"a\": \"\\ud83d\\ude00\"}")[0].contains("write the character itself"));
}

#[test]
fn duplicate_keys_are_all_reported_at_the_second_one() {
    let found = problems("name: a\nsteps:\n  - name: b\n    name: c\nname: d\n");
    assert_eq!(
        found,
        [
            "t.yaml:4:5: the key \"name\" is there twice, first in line 3 [yaml_duplicate_key]",
            "t.yaml:5:1: the key \"name\" is there twice, first in line 1 [yaml_duplicate_key]",
        ]
    );
}

#[test]
fn what_has_no_counterpart_in_json_is_refused() {
    for (text, expected) in [
        ("1: x\n", "t.yaml:1:1: a key must be a string: write \"1\" in quotes [yaml_key]"),
        ("true: x\n", "t.yaml:1:1: a key must be a string: write \"true\" in quotes [yaml_key]"),
        ("? [a]\n: x\n", "t.yaml:1:3: a key must be a string [yaml_key]"),
        (
            "a: !!str 1\n",
            "t.yaml:1:4: tags (!…) are not supported: quote a value to make it a string [yaml_tag]",
        ),
        (
            "a: .nan\n",
            "t.yaml:1:4: .nan has no place in JSON: write a finite number, or quote it \
             [yaml_number]",
        ),
        (
            "a: 1e131073\n",
            "t.yaml:1:4: 1e131073 has more digits than PostgreSQL's jsonb holds: quote it to make \
             it a string [yaml_number]",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "t.yaml:2:1: a second document starts here: a file holds one template, put the other \
             in its own file [yaml_documents]",
        ),
        (
            "",
            "t.yaml:1:1: the file is empty: a template has at least namespace, name, version, and \
             steps [yaml_empty]",
        ),
        (
            "# only this\n",
            "t.yaml:1:1: the file is empty: a template has at least namespace, name, version, and \
             steps [yaml_empty]",
        ),
    ] {
        assert_eq!(problems(text), [expected], "{text}");
    }
}

#[test]
fn syntax_errors_have_a_position() {
    for text in
        ["a: [1, 2\nb: 3\n", "a: b: c\n", "a:\n\t- b\n", "\"a", "a: *nowhere\n", "{", "a: 'x\n"]
    {
        let found = TemplateFile::parse("t.yaml", text).unwrap_err();
        assert_eq!(found.len(), 1, "{text}: {found:?}");
        assert_eq!(found[0].code, "yaml_syntax", "{text}: {found:?}");
    }
}

#[test]
fn problems_before_a_syntax_error_are_kept() {
    let found = problems("a: 1\na: 2\nb: [\n");
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].contains("yaml_duplicate_key"));
}

#[test]
fn aliases_repeat_a_value() {
    let file = parse("a: &retry { max_attempts: 3 }\nb: *retry\nc: &n 5\nd: [*n, *n]\n");
    let expected = json!({"a": {"max_attempts": 3}, "b": {"max_attempts": 3}, "c": 5, "d": [5, 5]});
    assert_eq!(*file.definition(), expected);
    assert_eq!(file.locate("/b/max_attempts"), at(2, 1));
    assert_eq!(file.locate("/d/1"), at(4, 9));
}

#[test]
fn aliases_that_explode_or_bite_their_tail_are_refused() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..9 {
        let item = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [item.as_str(); 10].join(", ")));
    }
    assert!(problems(&bomb)[0].contains("the aliases grow too large"));
    assert!(problems("a: &a [*a]\n")[0].contains("inside its own anchor"));
    assert!(problems("a: &a b\n*a : c\n")[0].contains("not an alias"));
    assert!(problems("a: &a {b: c}\nd:\n  <<: *a\n")[0].contains("merge keys"));
}

#[test]
fn deep_nesting_is_refused_without_exhausting_the_stack() {
    for text in
        ["- ".repeat(100_000), "[".repeat(200), "a: &a [[[x]]]\n".to_owned() + &"[".repeat(64)]
    {
        assert_eq!(TemplateFile::parse("t.yaml", &text).unwrap_err().len(), 1);
    }
}

#[test]
fn a_document_that_is_no_mapping_is_left_to_the_database() {
    assert_eq!(*parse("just text\n").definition(), json!("just text"));
    assert_eq!(*parse("[1, 2]\n").definition(), json!([1, 2]));
}
