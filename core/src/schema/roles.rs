//! Which roles may execute which function, as the heads of the files in `sql/` say it.

use super::Bundle;
use crate::Result;
use serde_json::Value;
use sqlx::PgConnection;

/// The roles of Tasker that may execute a function, by name; none where it is not one of Tasker's.
pub fn roles_that_may(function: &str) -> Vec<String> {
    let Ok(bundle) = Bundle::embedded() else { return Vec::new() };
    let has = |functions: &Value| {
        functions.as_array().is_some_and(|functions| functions.iter().any(|name| name == function))
    };
    let roles = bundle.heads.grants.iter().filter(|(_, functions)| has(functions));
    roles.map(|(role, _)| role.clone()).collect()
}

impl Bundle {
    /// Those of its roles that the cluster does not have.
    pub(super) async fn missing_roles(&self, connection: &mut PgConnection) -> Result<Vec<String>> {
        let roles: Vec<&String> = self.heads.grants.keys().collect();
        let missing = sqlx::query_scalar(
            "select r from pg_catalog.unnest($1) r where pg_catalog.to_regrole(r) is null order \
             by r",
        )
        .persistent(false)
        .bind(roles)
        .fetch_all(connection)
        .await?;
        Ok(missing)
    }
}

/// What to do about `permission denied for function …` (SQLSTATE 42501); none: the error is of
/// something else.
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
