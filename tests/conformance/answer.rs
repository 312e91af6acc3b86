//! What a scenario has led to, in lines of text: states, attempts, errors, results, events, dead
//! letters, what the handlers have said and written, and how processes have ended.

use crate::{
    rules,
    scenario::{ExitRule, NoteRule, Scenario},
    script::Place,
};
use sqlx::{AssertSqlSafe, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

/// Longer results that are the task's context are told so.
const LONG: usize = 400;
/// Longer ones are told by their length and checksum.
const LONGEST: usize = 2_000;

/// Reads everything; what differs from run to run has a name in its place.
///
/// # Errors
/// The database does not answer.
pub async fn gather(
    scenario: &Scenario,
    place: &Place,
    namespace: &str,
    tasks: &[Uuid],
    exits: &[String],
) -> Result<String, String> {
    let reader = Reader { scenario, pool: &place.pool, namespace };
    let mut lines = Vec::new();
    for (n, task) in tasks.iter().enumerate() {
        let read = reader.task(*task).await.map_err(|error| error.to_string())?;
        let number = if tasks.len() > 1 { format!("{}: ", n + 1) } else { String::new() };
        lines.extend(read.into_iter().map(|line| format!("{number}{line}")));
    }
    lines.extend(reader.events(tasks).await.map_err(|error| error.to_string())?);
    let tasks: Vec<String> = tasks.iter().map(Uuid::to_string).collect();
    let notes = place.notes.lock().unwrap();
    let mut said: Vec<String> = notes
        .iter()
        .filter(|(task, _)| tasks.contains(task))
        .map(|(_, text)| format!("note {}", rules::note(text)))
        .collect();
    if scenario.rules.notes == Some(NoteRule::Sorted) {
        said.sort();
    }
    lines.extend(said);
    lines.extend(exits.iter().map(|exit| match (scenario.rules.exits, exit.rsplit_once(' ')) {
        (Some(ExitRule::Any), Some((ended, _))) => ended.to_owned(),
        _ => exit.clone(),
    }));
    let mut text = lines.join("\n").replace(namespace, "<namespace>");
    text = text.replace(&place.web, "<web>");
    for task in &tasks {
        text = text.replace(task, "<task>");
    }
    Ok(text)
}

struct Reader<'a> {
    scenario: &'a Scenario,
    pool: &'a PgPool,
    namespace: &'a str,
}

impl Reader<'_> {
    async fn task(&self, task: Uuid) -> sqlx::Result<Vec<String>> {
        let sql = "select state::text from tasker.tasks where task_id = $1";
        let state: String = sqlx::query_scalar(sql).bind(task).fetch_one(self.pool).await?;
        let mut lines = vec![format!("task {state}")];
        let steps = sqlx::query(
            "select name, state::text as state, attempt, coalesce(error ->> 'code', '-') as code, \
             error ->> 'message' as message, result::text as result, checkpoint::text as saved, \
             md5(result::text) as sum, result::text = tasker.task_context(task_id)::text as same \
             from tasker.steps where task_id = $1 order by name collate \"C\"",
        );
        let steps = steps.bind(task).fetch_all(self.pool).await?;
        for step in &steps {
            lines.push(self.step(step));
        }
        let written: i64 =
            sqlx::query_scalar("select count(*) from conformance_effects where task_id = $1")
                .bind(task)
                .fetch_one(self.pool)
                .await?;
        if written > 0 {
            lines.push(format!("written {written}"));
        }
        if let Some(delay) = &self.scenario.rules.delay {
            let sql = "select extract(epoch from max(at) - min(at)) * 1000 >= $3 \
                       from tasker.step_transitions where task_id = $1 and name = $2 \
                       and to_state = 'in_progress'";
            let query = sqlx::query_scalar(sql).bind(task).bind(&delay.step);
            let ms = i32::try_from(delay.ms).unwrap();
            let waited: Option<bool> = query.bind(ms).fetch_one(self.pool).await?;
            lines.push(format!("waited {} ms: {}", delay.ms, waited == Some(true)));
        }
        Ok(lines)
    }

    fn step(&self, row: &PgRow) -> String {
        let rules = &self.scenario.rules;
        let text = |column: &str| row.get::<Option<String>, _>(column);
        let (name, state) = (row.get::<String, _>("name"), row.get::<String, _>("state"));
        let mut line = format!("step {name} {state} attempt {}", row.get::<i32, _>("attempt"));
        // An error of an earlier attempt stays beside the result.
        if let Some(message) = text("message").filter(|_| state != "complete") {
            let code = row.get::<String, _>("code");
            line += &format!(" {code}: {}", rules::message(rules, &message));
        }
        if let Some(result) = text("result") {
            let result = rules::result(rules, &result);
            let is_context = row.get::<Option<bool>, _>("same") == Some(true);
            line += &match result.len() {
                LONG.. if is_context => " = the context".to_owned(),
                LONGEST.. => {
                    let sum = text("sum").unwrap_or_default();
                    format!(" = {} characters, {sum}", result.chars().count())
                }
                _ => format!(" = {result}"),
            };
        }
        if let Some(saved) = text("saved") {
            line += &format!(" saved {saved}");
        }
        line
    }

    async fn events(&self, tasks: &[Uuid]) -> sqlx::Result<Vec<String>> {
        let queue = format!("{}_domain_events", self.namespace);
        let mut lines = Vec::new();
        let exists: bool = sqlx::query_scalar("select to_regclass($1) is not null")
            .bind(format!("pgmq.q_{queue}"))
            .fetch_one(self.pool)
            .await?;
        if exists {
            let sql = format!(
                "select format('event %s v%s %s claim %s %s %s', message ->> 'name', \
                 message ->> 'version', message ->> 'step', message ->> 'claim_no', \
                 message -> 'payload', message -> 'metadata') from pgmq.q_{queue} order by \
                 array_position($1, (message ->> 'task_id')::uuid), msg_id"
            );
            let query = sqlx::query_scalar::<_, String>(AssertSqlSafe(sql)).bind(tasks);
            lines.extend(query.fetch_all(self.pool).await?);
        }
        let dead: Vec<(String, String)> = sqlx::query_as(
            "select reason, detail from tasker.dead_letters where queue = $1 \
             order by array_position($2, task_id), entry_id",
        )
        .bind(&queue)
        .bind(tasks)
        .fetch_all(self.pool)
        .await?;
        let rules = &self.scenario.rules;
        let dead = dead.iter().map(|(reason, detail)| {
            format!("dead letter {reason}: {}", rules::message(rules, detail))
        });
        lines.extend(dead);
        Ok(lines)
    }
}
