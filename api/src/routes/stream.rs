//! The audit of one task as it grows. Rows become visible in another order than that of their
//! numbers where transactions overlap, so each look goes back behind the newest row and leaves out
//! what was sent.

use crate::{problem::Result, state::App};
use serde_json::Value;
use sqlx::FromRow;
use std::{
    collections::BTreeMap,
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long a row may become visible after one with a higher number. The engine's transactions are
/// short.
const OVERLAP: Duration = Duration::from_secs(60);
/// Rows of one look.
const ROWS: i64 = 500;

const LOOK: &str = "\
    select * from (\
    (select 'task' as kind, t.transition_id, to_jsonb(t) - 'task_id' as data from \
    tasker.task_audit t \
      where t.task_id = $1 and t.transition_id > $2 and not t.transition_id = any ($3) order by \
      t.transition_id limit $6) \
    union all \
    (select 'step', s.transition_id, to_jsonb(s) - 'task_id' from tasker.step_audit s \
      where s.task_id = $1 and s.transition_id > $4 and not s.transition_id = any ($5) order by \
      s.transition_id limit $6)) v \
    order by (v.data ->> 'at')::timestamptz, v.kind, v.transition_id";

/// Where a resumed stream begins: a little before what the client saw last.
const BEFORE: &str = "\
    select coalesce((select max(t.transition_id) from tasker.task_audit t where t.task_id = $1 \
    and t.transition_id <= $2 \
                      and t.at < (select l.at from tasker.task_audit l where l.task_id = $1 and \
                      l.transition_id = $2) - interval '5 s'), 0), \
           coalesce((select max(s.transition_id) from tasker.step_audit s where s.task_id = $1 \
           and s.transition_id <= $3 \
                      and s.at < (select l.at from tasker.step_audit l where l.task_id = $1 and \
                      l.transition_id = $3) - interval '5 s'), 0)";

/// The id of an event: the highest numbers sent so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cursor {
    task: i64,
    step: i64,
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.task, self.step)
    }
}

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (task, step) = text.split_once('.').ok_or(())?;
        let number =
            |text: &str| text.parse::<u64>().ok().and_then(|n| i64::try_from(n).ok()).ok_or(());
        Ok(Self { task: number(task)?, step: number(step)? })
    }
}

/// One hop of the task or of a step.
#[derive(Debug, FromRow)]
pub struct Row {
    /// `task` or `step`.
    pub kind: String,
    /// Its number.
    pub transition_id: i64,
    /// What the audit says.
    pub data: Value,
}

/// Numbers of one kind that were sent.
#[derive(Debug, Default)]
struct Sent {
    /// Not below this one again.
    floor: i64,
    /// Those above it, and when they were sent.
    recent: BTreeMap<i64, Instant>,
}

impl Sent {
    fn add(&mut self, number: i64) {
        self.recent.insert(number, Instant::now());
    }

    fn numbers(&mut self) -> Vec<i64> {
        while let Some(first) = self.recent.first_entry() {
            if first.get().elapsed() < OVERLAP {
                break;
            }
            self.floor = first.remove_entry().0;
        }
        self.recent.keys().copied().collect()
    }
}

/// One client's view of a task's audit.
#[derive(Debug)]
pub struct Follower {
    task_id: Uuid,
    task: Sent,
    step: Sent,
    cursor: Cursor,
}

impl Follower {
    /// From the beginning, or after what a client saw last.
    ///
    /// # Errors
    /// The database.
    pub async fn begin(app: &App, task_id: Uuid, last: Option<Cursor>) -> Result<Self> {
        let cursor = last.unwrap_or_default();
        let (task, step) = match last {
            Some(last) => {
                let query = sqlx::query_as(BEFORE).bind(task_id).bind(last.task).bind(last.step);
                app.call(async { query.fetch_one(app.client().executor()).await.map_err(of_sqlx) })
                    .await?
            }
            None => (0, 0),
        };
        let sent = |floor| Sent { floor, ..Sent::default() };
        Ok(Self { task_id, task: sent(task), step: sent(step), cursor })
    }

    /// What is new, and whether there is more.
    ///
    /// # Errors
    /// The database.
    pub async fn look(&mut self, app: &App) -> Result<(Vec<Row>, bool)> {
        let (tasks, steps) = (self.task.numbers(), self.step.numbers());
        let query = sqlx::query_as::<_, Row>(LOOK)
            .bind(self.task_id)
            .bind(self.task.floor)
            .bind(&tasks)
            .bind(self.step.floor)
            .bind(&steps)
            .bind(ROWS);
        let rows = app
            .call(async { query.fetch_all(app.client().executor()).await.map_err(of_sqlx) })
            .await?;
        let full = |kind: &str| {
            rows.iter().filter(|row| row.kind == kind).count() >= usize::try_from(ROWS).unwrap_or(1)
        };
        let more = full("task") || full("step");
        Ok((rows, more))
    }

    /// The id of the event for a row that is sent now.
    pub fn sent(&mut self, row: &Row) -> Cursor {
        match row.kind.as_str() {
            "task" => {
                self.task.add(row.transition_id);
                self.cursor.task = self.cursor.task.max(row.transition_id);
            }
            _ => {
                self.step.add(row.transition_id);
                self.cursor.step = self.cursor.step.max(row.transition_id);
            }
        }
        self.cursor
    }
}

fn of_sqlx(error: sqlx::Error) -> pgtasker_client::Error {
    pgtasker_client::Error::Database(pgtasker_core::Error::Database(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_is_written() {
        let cursor = Cursor { task: 7, step: 0 };
        assert_eq!(cursor.to_string().parse(), Ok(cursor));
        for text in ["", "7", "7.", "-1.2", "a.b", "1.99999999999999999999"] {
            assert_eq!(text.parse::<Cursor>(), Err(()), "{text}");
        }
    }
}
