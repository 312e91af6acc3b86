//! The context of a task, or a result, from the command line, a file, or standard input.

use crate::error::{Error, Result};
use serde_json::Value;
use std::io::Read;

/// Reads `text`: JSON, or `@file`, or `-` for standard input. `what` it is: the option's name.
///
/// # Errors
/// The file cannot be read, or what it holds is not JSON. Whether it is an object the engine
/// checks.
pub fn read(text: &str, what: &str) -> Result<Value> {
    let (from, json) = match text {
        "-" => {
            let mut json = String::new();
            std::io::stdin().read_to_string(&mut json)?;
            (format!("the {what} on standard input"), json)
        }
        _ => match text.strip_prefix('@') {
            Some(file) => match std::fs::read_to_string(file) {
                Ok(json) => (file.to_owned(), json),
                Err(error) => return Err(Error::from(error).context(format!("cannot read {file}"))),
            },
            None => (format!("the {what}"), text.to_owned()),
        },
    };
    serde_json::from_str(&json).map_err(|error| {
        let example = match what {
            "outcome" => r#"{"type": "decision", "create_steps": ["ship"]}"#,
            _ => r#"{"order_id": 7}"#,
        };
        Error::new(format!("{from} is not JSON: {error}")).or_hint(format!(
            "--{what} takes JSON such as '{example}', or @FILE, or - for standard input"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_comes_from_the_line_or_a_file() {
        assert_eq!(read("{\"a\": 1}", "context").unwrap()["a"], 1);
        let file =
            std::env::temp_dir().join(format!("tasker-context-{}.json", uuid::Uuid::new_v4()));
        std::fs::write(&file, "{\"b\": 2}").unwrap();
        assert_eq!(read(&format!("@{}", file.display()), "context").unwrap()["b"], 2);
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        let message = |text: &str| format!("{:?}", read(text, "context").unwrap_err());
        assert!(
            message("{a: 1}")
                .contains("the context is not JSON: key must be a string at line 1 column 2")
        );
        assert!(message("@/nowhere/x.json").contains("cannot read /nowhere/x.json: No such file"));
    }
}
