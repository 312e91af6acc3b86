//! The input schemas of templates, compiled once: a template version never changes.

use pgtasker_core::{
    json_schema::{InputSchema, apart},
    pooler::DbConnection,
};
use serde_json::Value;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};
use uuid::Uuid;

/// Compiled schemas kept before all are dropped and loaded again as needed.
const KEPT: usize = 1_000;

/// By template; a schema that does not compile is kept as its error.
#[derive(Default)]
pub(crate) struct InputSchemas(HashMap<Uuid, Checker>);

/// What checks the contexts of one template.
enum Checker {
    Schema(Arc<InputSchema>),
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
            // As text: what serde_json does not read is this template's problem and no other's.
            let schema: Option<String> =
                sqlx::query_scalar("select tasker.template_input_schema($1)::text")
                    .bind(template)
                    .fetch_one(connection)
                    .await?;
            // Compiling takes a while where a schema is large.
            if let Some(checker) = apart(move || Checker::read(schema.as_deref())).await {
                place.insert(checker);
            }
        }
        Ok(())
    }

    /// The verdict on a task's context.
    pub(crate) async fn check(&self, template: Uuid, context: Value) -> Result<(), Refusal> {
        match self.0.get(&template) {
            Some(Checker::Schema(schema)) => {
                schema.check_apart(context).await.map_err(|violation| Refusal {
                    message: violation.message,
                    code: "invalid_context",
                })
            }
            Some(Checker::Broken(message)) => {
                Err(Refusal { message: message.clone(), code: "invalid_input_schema" })
            }
            Some(Checker::Nothing) => Ok(()),
            None => {
                let message =
                    "the context could not be checked: the process can have no more threads"
                        .to_owned();
                Err(Refusal { message, code: "invalid_context" })
            }
        }
    }
}

impl Checker {
    fn read(schema: Option<&str>) -> Self {
        match schema.map(serde_json::from_str::<Value>) {
            None | Some(Ok(Value::Null)) => Self::Nothing,
            Some(Ok(schema)) => match InputSchema::compile(&schema) {
                Ok(schema) => Self::Schema(Arc::new(schema)),
                Err(message) => Self::Broken(message),
            },
            Some(Err(error)) => Self::Broken(format!("input_schema cannot be read: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    async fn check(schema: Option<Value>, context: Value) -> Result<(), Refusal> {
        let schema = schema.map(|schema| schema.to_string());
        let schemas =
            InputSchemas(HashMap::from([(Uuid::nil(), Checker::read(schema.as_deref()))]));
        schemas.check(Uuid::nil(), context).await
    }

    #[tokio::test]
    async fn a_refusal_names_the_failing_field() {
        let schema =
            json!({"required": ["order_id"], "properties": {"order_id": {"type": "integer"}}});
        assert_eq!(check(Some(schema.clone()), json!({"order_id": 1})).await, Ok(()));
        let refusal = check(Some(schema), json!({"order_id": "x"})).await.unwrap_err();
        assert!(refusal.message.contains("order_id"), "{}", refusal.message);
        assert_eq!(refusal.code, "invalid_context");
    }

    #[tokio::test]
    async fn a_schema_that_does_not_compile_refuses_every_context() {
        let refusal = check(Some(json!({"type": "nonsense"})), json!({})).await.unwrap_err();
        assert_eq!(refusal.code, "invalid_input_schema");
        assert!(!refusal.message.is_empty());
    }

    #[tokio::test]
    async fn no_schema_refuses_nothing() {
        assert_eq!(check(None, json!(1)).await, Ok(()));
        assert_eq!(check(Some(Value::Null), json!(1)).await, Ok(()));
    }
}
