//! The input schemas of templates, compiled once: a template version never changes.

use serde_json::Value;
use std::collections::{HashMap, hash_map::Entry};
use tasker_core::{json_schema::InputSchema, pooler::DbConnection};
use uuid::Uuid;

/// Compiled schemas kept before all are dropped and loaded again as needed.
const KEPT: usize = 1_000;

/// By template; a schema that does not compile is kept as its error.
#[derive(Default)]
pub(crate) struct InputSchemas(HashMap<Uuid, Checker>);

/// What checks the contexts of one template.
enum Checker {
    Schema(Box<InputSchema>),
    Nothing,
    Broken(String),
}

/// Why a task is refused; stored as its error.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) code: &'static str,
}

impl InputSchemas {
    /// Makes sure that [`InputSchemas::check`] knows `template`.
    pub(crate) async fn load(
        &mut self,
        connection: &mut DbConnection<'_>,
        template: Uuid,
    ) -> Result<(), sqlx::Error> {
        if self.0.len() >= KEPT && !self.0.contains_key(&template) {
            self.0.clear();
        }
        if let Entry::Vacant(place) = self.0.entry(template) {
            let schema: Option<Value> = sqlx::query_scalar("select tasker.template_input_schema($1)")
                .bind(template)
                .fetch_one(connection)
                .await?;
            place.insert(Checker::new(schema));
        }
        Ok(())
    }

    /// The verdict on a task's context.
    pub(crate) fn check(&self, template: Uuid, context: &Value) -> Result<(), Refusal> {
        match self.0.get(&template) {
            Some(Checker::Schema(schema)) => schema
                .check(context)
                .map_err(|violation| Refusal { message: violation.message, code: "invalid_context" }),
            Some(Checker::Broken(message)) => {
                Err(Refusal { message: message.clone(), code: "invalid_input_schema" })
            }
            Some(Checker::Nothing) | None => Ok(()),
        }
    }
}

impl Checker {
    fn new(schema: Option<Value>) -> Self {
        match schema {
            None | Some(Value::Null) => Self::Nothing,
            Some(schema) => match InputSchema::compile(&schema) {
                Ok(schema) => Self::Schema(Box::new(schema)),
                Err(message) => Self::Broken(message),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(schema: Option<Value>, context: Value) -> Result<(), Refusal> {
        let schemas = InputSchemas(HashMap::from([(Uuid::nil(), Checker::new(schema))]));
        schemas.check(Uuid::nil(), &context)
    }

    #[test]
    fn a_refusal_names_the_failing_field() {
        let schema = json!({"required": ["order_id"], "properties": {"order_id": {"type": "integer"}}});
        assert_eq!(check(Some(schema.clone()), json!({"order_id": 1})), Ok(()));
        let refusal = check(Some(schema), json!({"order_id": "x"})).unwrap_err();
        assert!(refusal.message.contains("order_id"), "{}", refusal.message);
        assert_eq!(refusal.code, "invalid_context");
    }

    #[test]
    fn a_schema_that_does_not_compile_refuses_every_context() {
        let refusal = check(Some(json!({"type": "nonsense"})), json!({})).unwrap_err();
        assert_eq!(refusal.code, "invalid_input_schema");
        assert!(!refusal.message.is_empty());
    }

    #[test]
    fn no_schema_refuses_nothing() {
        assert_eq!(check(None, json!(1)), Ok(()));
        assert_eq!(check(Some(Value::Null), json!(1)), Ok(()));
    }
}
