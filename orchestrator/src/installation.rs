//! Checks the installation: a queue that was dropped, or that a restored dump lacked, is created
//! again. A problem that only the database's administrator can fix makes this process unhealthy,
//! and its log says what to do.

use crate::actor::{Actor, Called};
use pgtasker_core::{
    Result,
    connection::OwnConnection,
    health::{Health, Problem},
};
use std::time::Duration;

/// Between two looks at the catalogs.
const EVERY: Duration = Duration::from_secs(15);

/// The actor; any number of orchestrators may look.
pub(crate) struct Installation {
    connection: OwnConnection,
    health: Health,
    /// The last text logged, so that it is not logged at every look.
    told: String,
}

impl Installation {
    pub(crate) fn new(connection: OwnConnection, health: Health) -> Self {
        Self { connection, health, told: String::new() }
    }

    fn tell(&mut self, problems: &[(String, String, String)]) {
        let texts: Vec<String> = problems
            .iter()
            .take(3)
            .map(|(_, problem, remedy)| format!("{problem}: {remedy}"))
            .collect();
        let text = texts.join("; ");
        if text == self.told {
            return;
        }
        if text.is_empty() {
            tracing::info!("the installation is whole again");
            self.health.clear(Problem::Installation);
        } else {
            tracing::error!(problems = problems.len(), "the installation cannot work: {text}");
            self.health.set(Problem::Installation, text.clone());
        }
        self.told = text;
    }
}

impl Actor for Installation {
    const NAME: &'static str = "installation";

    async fn call(&mut self) -> Result<Called> {
        let mut problems: Vec<(String, String, String)> = self
            .connection
            .call(async |connection| {
                sqlx::query_as("select code, problem, remedy from tasker.installation_problems()")
                    .fetch_all(connection)
                    .await
            })
            .await?;
        let all = problems.len();
        problems.retain(|(code, ..)| code != "queue");
        let missing = all > problems.len();
        self.tell(&problems);
        if missing && problems.is_empty() {
            let created: Vec<String> = self
                .connection
                .call(async |connection| {
                    sqlx::query_scalar("select tasker.create_queues()").fetch_all(connection).await
                })
                .await?;
            for queue in created {
                tracing::warn!(queue, "created a missing queue; its messages are sent again");
            }
        }
        Ok(Called { handled: 0, more: false })
    }

    async fn wait(&mut self) {
        tokio::time::sleep(EVERY).await;
    }
}
