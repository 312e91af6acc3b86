//! TemplateCacheActor: the handler configuration of every step of a template, read once per template.
//! Requests that come while it is being read wait for the same answer.

use serde_json::{Map, Value};
use sqlx::PgPool;
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use tasker_core::{breaker::Breaker, connection::OwnConnection, pooler::DbConnection};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Templates never change, so nothing expires; this only bounds the memory of a worker that meets
/// endlessly many.
const MAX_TEMPLATES: usize = 1_000;

type Configs = HashMap<String, Arc<Value>>;

/// A cell per template. It has no task and no mailbox of its own: asking it must cost nothing once a
/// template is known, and the cell makes one reader out of many.
pub(crate) struct TemplateCacheActor {
    pool: PgPool,
    breaker: Breaker,
    pooled: bool,
    templates: RwLock<HashMap<Uuid, Arc<OnceCell<Configs>>>>,
    empty: Arc<Value>,
}

impl TemplateCacheActor {
    pub(crate) fn new(pool: PgPool, breaker: Breaker, pooled: bool) -> Self {
        Self {
            pool,
            breaker,
            pooled,
            templates: RwLock::default(),
            empty: Arc::new(Value::Object(Map::new())),
        }
    }

    /// The configuration of one step's handler, `{}` where there is none.
    pub(crate) async fn config(&self, template_id: Uuid, step: &str) -> tasker_core::Result<Arc<Value>> {
        let cell = self.cell(template_id);
        let configs = cell.get_or_try_init(|| self.read(template_id)).await?;
        Ok(Arc::clone(configs.get(step).unwrap_or(&self.empty)))
    }

    fn cell(&self, template_id: Uuid) -> Arc<OnceCell<Configs>> {
        let known = self.templates.read().unwrap_or_else(PoisonError::into_inner).get(&template_id).cloned();
        known.unwrap_or_else(|| {
            let mut all = self.templates.write().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MAX_TEMPLATES {
                all.clear();
            }
            Arc::clone(all.entry(template_id).or_default())
        })
    }

    async fn read(&self, template_id: Uuid) -> tasker_core::Result<Configs> {
        // Ends with the step that asks.
        let stop = CancellationToken::new();
        let mut connection =
            OwnConnection::new(self.pool.clone(), self.breaker.clone(), false, stop).pooled(self.pooled);
        let read = async |connection: &mut DbConnection<'_>| {
            sqlx::query_as("select template_step, config from tasker.template_handlers($1)")
                .bind(template_id)
                .fetch_all(connection)
                .await
        };
        let rows: Vec<(String, Option<Value>)> = connection.call(read).await?;
        let some = |(step, config): (String, Option<Value>)| {
            Some((step, Arc::new(config.filter(|c| !c.is_null())?)))
        };
        Ok(rows.into_iter().filter_map(some).collect())
    }
}
