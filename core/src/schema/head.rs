//! What stands in the comments above the first statement of a file of `sql/`:
//!
//! - `-- requires:` the files whose objects must be made before this one's,
//! - `-- for:` the roles that may call its function, without their prefix `tasker_`,
//! - `-- planner:` the planner's settings while its function runs.

use super::object::Object;
use crate::{Error, Result};
use serde_json::{Map, Value};

const KEYS: [&str; 3] = ["requires", "for", "planner"];
const ROLES: [&str; 6] = ["client", "consumer", "worker", "orchestrator", "operator", "readonly"];

/// The values of all lines `-- KEY: value, value` of a file.
pub(super) fn values(object: &Object, key: &str) -> Result<Vec<String>> {
    let start = format!("-- {key}:");
    let mut values = Vec::new();
    // Most files have none, and line by line takes a debug build long.
    if !object.sql.contains(&start) {
        return Ok(values);
    }
    let mut at_top = true;
    for line in object.sql.lines().map(str::trim) {
        at_top = at_top && (line.is_empty() || line.starts_with("--"));
        let Some(list) = line.strip_prefix(&start) else { continue };
        if !at_top {
            let path = &object.path;
            let message = format!("sql/{path}: `{start}` must stand above the first statement");
            return Err(Error::Schema(message));
        }
        values.extend(
            list.split(',').map(str::trim).filter(|value| !value.is_empty()).map(str::to_owned),
        );
    }
    Ok(values)
}

/// What the heads of all files say.
#[derive(Debug, Clone, Default)]
pub(super) struct Heads {
    /// Each role with the functions it may call.
    pub grants: Map<String, Value>,
    /// Each function with its settings of the planner.
    planner: Map<String, Value>,
}

impl Heads {
    pub(super) fn read(objects: &[Object]) -> Result<Self> {
        let mut heads = Self::default();
        for role in ROLES {
            heads.grants.insert(format!("tasker_{role}"), Value::Array(Vec::new()));
        }
        for object in objects {
            refuse_unknown_keys(object)?;
            let function = object.path.rsplit('/').next().unwrap_or_default();
            let function = function.trim_end_matches(".sql");
            for role in values(object, "for")? {
                match heads.grants.get_mut(&format!("tasker_{role}")) {
                    Some(Value::Array(functions)) => functions.push(function.into()),
                    _ => {
                        let path = &object.path;
                        let known = ROLES.join(", ");
                        return Err(Error::Schema(format!(
                            "sql/{path} is for {role}, which is no role: {known}"
                        )));
                    }
                }
            }
            let planner = values(object, "planner")?;
            if !planner.is_empty() {
                heads.planner.insert(function.to_owned(), planner.into());
            }
        }
        Ok(heads)
    }

    /// Hands them to `grants.sql`, for the transaction.
    pub(super) fn sql(&self) -> String {
        let quoted = |map: &Map<String, Value>| {
            format!("'{}'", Value::Object(map.clone()).to_string().replace('\'', "''"))
        };
        format!(
            "set local tasker.grants = {};\nset local tasker.planner = {};",
            quoted(&self.grants),
            quoted(&self.planner)
        )
    }
}

/// A key with a slip of the pen would grant nothing, silently.
fn refuse_unknown_keys(object: &Object) -> Result<()> {
    for line in object.sql.lines().take_while(|line| line.starts_with("--")) {
        let key = line.trim_start_matches("-- ").split_once(':').map_or("", |(key, _)| key);
        let is_key = !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase());
        if is_key && !KEYS.contains(&key) {
            let (path, known) = (&object.path, KEYS.join(", "));
            return Err(Error::Schema(format!(
                "sql/{path} has `-- {key}:` at its head; the keys are {known}"
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(path: &str, sql: &str) -> Object {
        Object { path: path.to_owned(), sql: sql.to_owned() }
    }

    #[test]
    fn a_head_names_the_roles_and_the_settings() {
        let heads = Heads::read(&[
            object("api/a.sql", "-- for: worker, client\n-- planner: jit = off\nselect 1;"),
            object("lib/b.sql", "-- Why it is so: a reason.\nselect 1;"),
        ])
        .unwrap();
        assert_eq!(heads.grants["tasker_worker"], serde_json::json!(["a"]));
        assert_eq!(heads.grants["tasker_readonly"], serde_json::json!([]));
        assert!(heads.sql().contains(r#"{"a":["jit = off"]}"#), "{}", heads.sql());
    }

    #[test]
    fn a_key_below_the_first_statement_is_refused() {
        let error = values(&object("a.sql", "select 1;\n-- requires: b.sql"), "requires");
        assert!(error.unwrap_err().to_string().contains("above the first statement"));
    }

    #[test]
    fn unknown_roles_and_keys_are_refused() {
        let refused = |sql: &str| Heads::read(&[object("a.sql", sql)]).unwrap_err().to_string();
        assert!(refused("-- for: nobody\nselect 1;").contains("which is no role"));
        assert!(refused("-- planer: jit = off\nselect 1;").contains("the keys are"));
    }
}
