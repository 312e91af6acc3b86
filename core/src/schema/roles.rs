//! Which roles may execute which function, as `sql/grants.sql` says it.

use super::Bundle;
use serde_json::Value;

/// The roles of Tasker that may execute a function, by name; none where it is not one of Tasker's.
pub fn roles_that_may(function: &str) -> Vec<String> {
    let Ok(bundle) = Bundle::embedded() else { return Vec::new() };
    let Some(grants) = bundle.last.iter().find(|object| object.path == "grants.sql") else {
        return Vec::new();
    };
    let list = grants.sql.split_once("'{").and_then(|(_, rest)| rest.split_once("}'"));
    let Some((list, _)) = list else { return Vec::new() };
    let Ok(Value::Object(roles)) = serde_json::from_str(&format!("{{{list}}}")) else { return Vec::new() };
    let has = |functions: &Value| {
        functions.as_array().is_some_and(|functions| functions.iter().any(|name| name == function))
    };
    roles.into_iter().filter(|(_, functions)| has(functions)).map(|(role, _)| role).collect()
}

/// What to do about `permission denied for function …` (SQLSTATE 42501); none: the error is of something else.
pub fn grant_for(message: &str) -> Option<String> {
    let function = message.strip_prefix("permission denied for function ")?;
    let roles = roles_that_may(function);
    if roles.is_empty() {
        return None;
    }
    Some(format!("grant the database role one that may call {function}: {}", roles.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_that_is_missing_names_the_roles_that_have_it() {
        assert_eq!(roles_that_may("claim_steps"), ["tasker_worker"]);
        assert!(roles_that_may("no_such_function").is_empty());
        let hint = grant_for("permission denied for function list_tasks").unwrap();
        assert!(hint.ends_with("list_tasks: tasker_operator, tasker_readonly"), "{hint}");
        assert_eq!(grant_for("permission denied for table orders"), None);
    }
}
