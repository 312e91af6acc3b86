//! TemplateCacheActor: the handler configuration of every step of a template, read once per
//! template. Requests that come while it is being read wait for the same answer.

use crate::events::{Declared, EventRow};
use pgtasker_core::{
    breaker::Breaker, connection::OwnConnection, json_schema::apart, pooler::DbConnection,
};
use serde_json::value::RawValue;
use sqlx::{PgPool, types::Json};
use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Templates never change, so nothing expires; this only bounds the memory of a worker that meets
/// endlessly many.
const MAX_TEMPLATES: usize = 1_000;

/// What is known of a template.
#[derive(Default)]
pub(crate) struct Template {
    pub(crate) namespace: String,
    pub(crate) name: String,
    steps: HashMap<String, TemplateStep>,
}

/// What is known of a step of a template.
pub(crate) struct TemplateStep {
    /// The handler's config.
    config: Arc<RawValue>,
    pub(crate) max_attempts: i32,
    pub(crate) events: Vec<Declared>,
}

impl Template {
    /// The configuration of a step's handler, `{}` where it has none.
    pub(crate) fn config(&self, step: &str) -> Arc<RawValue> {
        self.step(step)
            .map_or_else(|| RawValue::NULL.to_owned().into(), |step| Arc::clone(&step.config))
    }

    /// The step of this name in the template.
    pub(crate) fn step(&self, name: &str) -> Option<&TemplateStep> {
        self.steps.get(name)
    }
}

/// Step, config, namespace, name, attempts, and events.
type Row = (String, Json<Box<RawValue>>, String, String, i32, Option<Json<Vec<EventRow>>>);

/// A cell per template. It has no task and no mailbox of its own: asking it must cost nothing once
/// a template is known, and the cell makes one reader out of many.
pub(crate) struct TemplateCacheActor {
    pool: PgPool,
    breaker: Breaker,
    pooled: bool,
    templates: RwLock<HashMap<Uuid, Arc<OnceCell<Arc<Template>>>>>,
}

impl TemplateCacheActor {
    pub(crate) fn new(pool: PgPool, breaker: Breaker, pooled: bool) -> Self {
        Self { pool, breaker, pooled, templates: RwLock::default() }
    }

    /// The template.
    pub(crate) async fn template(&self, template_id: Uuid) -> pgtasker_core::Result<Arc<Template>> {
        let cell = self.cell(template_id);
        if let Some(template) = cell.get() {
            return Ok(Arc::clone(template));
        }
        // Boxed: else every step's future has room for a call of the database, and is moved with it
        // [16 of 33 KB, a quarter of a worker's CPU].
        Box::pin(cell.get_or_try_init(|| self.read(template_id))).await.cloned()
    }

    fn cell(&self, template_id: Uuid) -> Arc<OnceCell<Arc<Template>>> {
        let known = self
            .templates
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&template_id)
            .cloned();
        known.unwrap_or_else(|| {
            let mut all = self.templates.write().unwrap_or_else(PoisonError::into_inner);
            if all.len() >= MAX_TEMPLATES {
                all.clear();
            }
            Arc::clone(all.entry(template_id).or_default())
        })
    }

    async fn read(&self, template_id: Uuid) -> pgtasker_core::Result<Arc<Template>> {
        // Ends with the step that asks.
        let stop = CancellationToken::new();
        let mut connection =
            OwnConnection::new(self.pool.clone(), self.breaker.clone(), false, stop)
                .pooled(self.pooled);
        let read = async |connection: &mut DbConnection<'_>| {
            sqlx::query_as(
                "select template_step, coalesce(nullif(config, 'null'), '{}'), namespace, \
                 template, max_attempts, events \
                 from tasker.template_handlers($1)",
            )
            .bind(template_id)
            .fetch_all(connection)
            .await
        };
        let rows: Vec<Row> = connection.call(read).await?;
        let mut template = Template::default();
        for (step, config, namespace, name, max_attempts, events) in rows {
            (template.namespace, template.name) = (namespace, name);
            let config = config.0.into();
            let events = match events {
                None => Vec::new(),
                // Compiling a schema takes a while where it is large.
                Some(Json(rows)) => {
                    let declared =
                        apart(move || rows.into_iter().map(Declared::from).collect()).await;
                    let no_thread = || {
                        sqlx::Error::Io(std::io::Error::other(
                            "the process can have no more threads",
                        ))
                    };
                    declared.ok_or_else(no_thread)?
                }
            };
            template.steps.insert(step, TemplateStep { config, max_attempts, events });
        }
        Ok(Arc::new(template))
    }
}
