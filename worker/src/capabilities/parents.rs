//! The results of a step's parents by pages, for more of them than a claim hands out.

use crate::{StepContext, StepError, fields::typed};
use pgtasker_core::{bounds::RESULTS, connection::OwnConnection, db::Retry, pooler::DbConnection};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use sqlx::{Row, postgres::PgRow, types::Json};
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// What is read at once; pages of large results are shorter.
const PAGE: i32 = RESULTS.default as i32;

/// Made by [`StepContext::parent_pages`].
pub struct ParentPages {
    /// None outside of a worker.
    connection: Option<OwnConnection>,
    task_id: Uuid,
    step: String,
    /// The last parent read.
    after: Option<String>,
    cancelled: CancellationToken,
}

impl StepContext {
    /// The results of all parents by name, a page at a time, so that no more than a page is in
    /// memory; for handlers registered by [`crate::WorkerBuilder::paged_handler`]. Results of a
    /// batch come by [`crate::Batchable`].
    pub fn parent_pages(&self) -> ParentPages {
        ParentPages::new(self)
    }
}

impl ParentPages {
    pub(crate) fn new(ctx: &StepContext) -> Self {
        let cancelled = ctx.cancelled();
        Self {
            connection: ctx.worker.as_ref().map(|worker| worker.connection(false, &cancelled)),
            task_id: ctx.task_id(),
            step: ctx.step().to_owned(),
            after: None,
            cancelled,
        }
    }

    /// Begins behind the parent of this name; None: with the first.
    pub fn after(mut self, parent: Option<String>) -> Self {
        self.after = parent;
        self
    }

    /// The next parents with their results; None: there are no more. Waits while the database is
    /// away.
    ///
    /// # Errors
    /// A permanent one that names the parent, when its result does not fit `T`. A retryable one,
    /// when the step is cancelled meanwhile.
    pub async fn next_page<T: DeserializeOwned>(
        &mut self,
    ) -> Result<Option<Vec<(String, T)>>, StepError> {
        let rows = self.read().await?;
        let page = rows.iter().map(parent).collect::<Result<Vec<_>, StepError>>()?;
        let Some((last, _)) = page.last() else { return Ok(None) };
        self.after = Some(last.clone());
        Ok(Some(page))
    }

    async fn read(&mut self) -> Result<Vec<PgRow>, StepError> {
        let Some(connection) = &mut self.connection else {
            return Err(StepError::permanent("only a step that a worker runs can read results"));
        };
        let mut retry = Retry::new(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            let read = async |connection: &mut DbConnection<'_>| {
                sqlx::query("select parent, result from tasker.parent_results($1, $2, $3, $4)")
                    .bind(self.task_id)
                    .bind(&self.step)
                    .bind(self.after.as_deref())
                    .bind(PAGE)
                    .fetch_all(connection)
                    .await
            };
            let error = match connection.call(read).await {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            if !error.is_transient() || self.cancelled.is_cancelled() {
                return Err(StepError::from(error));
            }
            // Reading changes nothing: no attempt is spent on a database that is away for a moment.
            self.cancelled.run_until_cancelled(sleep(retry.failed(&error).0)).await;
        }
    }
}

fn parent<T: DeserializeOwned>(row: &PgRow) -> Result<(String, T), StepError> {
    let name: String = row.try_get(0)?;
    let Json(result): Json<Box<RawValue>> = row.try_get(1)?;
    let result = typed(&format!("parents.{name}"), &result)?;
    Ok((name, result))
}
