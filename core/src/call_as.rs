//! On whose behalf a process calls the database, which knows only the process's own login: the HTTP
//! API says here who asks.

use sqlx::PgConnection;
use std::sync::Arc;

/// Who asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CallAs {
    /// The namespaces they are limited to; none: no limit. It only narrows what the login may do.
    pub namespaces: Option<Arc<[String]>>,
    /// Who they are, for the audit, where a call does not say so: `key:ci`.
    pub by: Option<String>,
}

tokio::task_local! {
    static CALLER: Arc<CallAs>;
}

/// Runs the calls of a future by [`crate::pooler::InTransaction`] as those of a caller.
pub async fn call_as<T>(caller: Arc<CallAs>, calls: impl Future<Output = T>) -> T {
    CALLER.scope(caller, calls).await
}

/// Tells the database, for the transaction that has just begun, who asks.
pub(crate) async fn tell(transaction: &mut PgConnection) -> Result<(), sqlx::Error> {
    let Ok(caller) = CALLER.try_with(Arc::clone) else { return Ok(()) };
    if *caller == CallAs::default() {
        return Ok(());
    }
    // A list of none must not read as no limit.
    let namespaces = match caller.namespaces.as_deref() {
        None => String::new(),
        Some([]) => ",".to_owned(),
        Some(names) => names.join(","),
    };
    sqlx::query(
        "select set_config('tasker.namespaces', $1, true), set_config('tasker.by', $2, true)",
    )
    .persistent(false)
    .bind(namespaces)
    .bind(caller.by.as_deref().unwrap_or_default())
    .execute(transaction)
    .await
    .map(|_| ())
}
