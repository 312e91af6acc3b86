//! Runs one scenario with the workers of one language. Its script has a word and what it is about
//! on each line:
//!
//! - `enqueue N`: the Nth input; without such a line all are enqueued at the beginning
//! - `start W`, `term W`, `int W`, `kill W`: a worker's process; `exit W`: it has ended; `terms W`:
//!   signals one after the other until it has
//! - `serving N`: N workers have said that they serve the namespace
//! - `note TEXT`, `notes N TEXT`: handlers have said it once, or N times
//! - `within MS TEXT`: as `note`, at most this long after the line before
//! - `state STEP STATE`: a step has reached it; `quiet MS STEP STATE`: it stays there for that time
//! - `extended STEP`: its lease has been extended; `expire STEP`: its lease runs out now
//! - `open GATE`: lets handlers go on that wait for it; `cancel`: all tasks
//! - `ended`: all tasks have; `consumed`: no event waits

use crate::{
    answer,
    language::Language,
    process::{Notes, Process},
    scenario::Scenario,
};
use sqlx::{AssertSqlSafe, PgPool};
use std::{
    collections::BTreeMap,
    path::PathBuf,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// For everything that is waited for. Workers of other projects share the machine.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two signals.
const AGAIN: Duration = Duration::from_millis(200);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(10);

/// Where a scenario runs.
#[derive(Clone)]
pub struct Place {
    pub pool: PgPool,
    pub url: String,
    /// The service that handlers call.
    pub web: String,
    /// Files by which handlers are let go on: `<task id>.<gate>`.
    pub gates: PathBuf,
    pub notes: Notes,
    pub language: Language,
    /// By their families, for scenarios of several.
    pub languages: BTreeMap<&'static str, Language>,
}

impl Place {
    /// The variables of a worker's process.
    pub fn env(&self, namespaces: &[String]) -> BTreeMap<String, String> {
        let pairs = [
            ("DATABASE_URL", self.url.clone()),
            ("TASKER_WORKER_NAMESPACE", namespaces.join(",")),
            ("CONFORMANCE_GATES", self.gates.display().to_string()),
            ("CONFORMANCE_WEB", self.web.clone()),
            ("RUST_LOG", "info".to_owned()),
            ("NO_COLOR", "1".to_owned()),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

struct Run<'a> {
    scenario: &'a Scenario,
    place: &'a Place,
    namespace: &'a str,
    tasks: Vec<Uuid>,
    processes: BTreeMap<String, Process>,
    exits: Vec<String>,
    line_began: Instant,
}

/// What has come of a scenario.
pub struct Ran {
    /// Or what did not happen, with the state of things.
    pub answer: Result<String, String>,
    /// The ends of the logs of its own workers.
    pub log: String,
}

/// Runs it.
pub async fn run(scenario: &Scenario, place: &Place, namespace: &str) -> Ran {
    let mut run = Run {
        scenario,
        place,
        namespace,
        tasks: Vec::new(),
        processes: BTreeMap::new(),
        exits: Vec::new(),
        line_began: Instant::now(),
    };
    let mut ran = run.all().await;
    let told = run.processes.iter().map(|(name, one)| format!("log of {name}\n{}", one.told()));
    let log = told.collect::<Vec<_>>().join("\n");
    if let Err(problem) = run.end_processes().await {
        ran = ran.and(Err(problem));
    }
    let seen = answer::gather(run.scenario, place, namespace, &run.tasks, &run.exits).await;
    let answer = match (ran, seen) {
        (Ok(()), seen) => seen,
        (Err(problem), Ok(seen) | Err(seen)) => Err(format!("{problem}\n{seen}")),
    };
    Ran { answer, log }
}

impl Run<'_> {
    async fn all(&mut self) -> Result<(), String> {
        let scenario = self.scenario;
        for (name, worker) in &scenario.workers {
            if !worker.later {
                self.start(name)?;
            }
        }
        if !scenario.script.iter().any(|line| line.starts_with("enqueue")) {
            for input in scenario.inputs() {
                self.enqueue(input).await?;
            }
        }
        for line in &scenario.script {
            let began = Instant::now();
            let done = self.line(line).await;
            done.map_err(|problem| format!("{line}: {problem}"))?;
            self.line_began = began;
        }
        self.ended().await
    }

    async fn line(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split(' ');
        let (what, rest) = (words.next().unwrap_or_default(), words.collect::<Vec<_>>());
        match (what, &rest[..]) {
            ("enqueue", [n]) => {
                let n: usize = number(n)?;
                let input = self.scenario.inputs()[n - 1];
                self.enqueue(input).await
            }
            ("start", [name]) => self.start(name),
            ("term", [name]) => self.signal(name, "TERM").await,
            ("int", [name]) => self.signal(name, "INT").await,
            ("kill", [name]) => self.signal(name, "KILL").await,
            ("exit", [name]) => self.exit(name).await,
            ("terms", [name]) => self.insist(name).await,
            ("serving", [count]) => self.serving(number(count)?).await,
            ("notes", [count, text @ ..]) => self.noted(number(count)?, &text.join(" ")).await,
            ("note", text) => self.noted(1, &text.join(" ")).await,
            ("within", [ms, text @ ..]) => self.within(number(ms)?, &text.join(" ")).await,
            ("state", [step, state]) => self.reaches(step, state).await,
            ("quiet", [ms, step, state]) => self.stays(number(ms)?, step, state).await,
            ("extended", [step]) => self.extended(step).await,
            ("expire", [step]) => self.expire(step).await,
            ("open", [gate]) => self.open(gate),
            ("cancel", []) => self.cancel().await,
            ("ended", []) => self.ended().await,
            ("consumed", []) => self.consumed().await,
            _ => Err("there is no such line".to_owned()),
        }
    }

    fn start(&mut self, name: &str) -> Result<(), String> {
        let worker = self.scenario.workers.get(name).ok_or(format!("there is no worker {name}"))?;
        let mut env = self.place.env(&[self.namespace.to_owned()]);
        env.extend(worker.env.clone());
        // The reference of a scenario of several languages has Rust in the place of each.
        let language = match &worker.language {
            Some(name) if self.place.language.label != "rust" => {
                self.place.languages.get(name.as_str()).ok_or(format!("no workers of {name}"))?
            }
            _ => &self.place.language,
        };
        if let Some(other) = &worker.language {
            env.insert("CONFORMANCE_AS".to_owned(), other.clone());
        }
        let process = Process::start(language, worker.consumer, &env, &self.place.notes)?;
        self.processes.insert(name.to_owned(), process);
        Ok(())
    }

    async fn enqueue(&mut self, input: &str) -> Result<(), String> {
        let with = &self.scenario.with;
        let task = sqlx::query_scalar(
            "select tasker.enqueue_task($1, 'flow', $2::text::jsonb, p_traceparent => $3, \
             p_correlation_id => $4::text::uuid)",
        )
        .bind(self.namespace)
        .bind(input)
        .bind(&with.traceparent)
        .bind(&with.correlation_id)
        .fetch_one(&self.place.pool)
        .await
        .map_err(|error| format!("enqueue_task: {error}"))?;
        self.tasks.push(task);
        Ok(())
    }

    async fn signal(&mut self, name: &str, signal: &str) -> Result<(), String> {
        let process = self.processes.get(name).ok_or(format!("{name} does not run"))?;
        process.signal(signal).await;
        Ok(())
    }

    /// A second signal may come too soon after the first to be seen as another one.
    async fn insist(&mut self, name: &str) -> Result<(), String> {
        let process = self.processes.get_mut(name).ok_or(format!("{name} does not run"))?;
        let deadline = Instant::now() + PATIENCE;
        while process.ended().is_none() {
            if Instant::now() > deadline {
                return Err("it does not end".to_owned());
            }
            process.signal("TERM").await;
            tokio::time::sleep(AGAIN).await;
        }
        Ok(())
    }

    async fn exit(&mut self, name: &str) -> Result<(), String> {
        let mut process = self.processes.remove(name).ok_or(format!("{name} does not run"))?;
        let code = process.end().await?;
        self.exits.push(format!("exit {name} {code}"));
        Ok(())
    }

    async fn serving(&mut self, count: i64) -> Result<(), String> {
        let sql = "select count(*) from tasker.worker_overview where $1 = any (namespaces)";
        let namespace = self.namespace.to_owned();
        let pool = self.place.pool.clone();
        self.until(async || {
            let seen: i64 = sqlx::query_scalar(sql).bind(&namespace).fetch_one(&pool).await?;
            Ok((seen >= count).then_some(()))
        })
        .await
    }

    async fn noted(&mut self, count: usize, text: &str) -> Result<(), String> {
        let notes = self.place.notes.clone();
        let tasks: Vec<String> = self.tasks.iter().map(Uuid::to_string).collect();
        self.until(async || {
            let notes = notes.lock().unwrap();
            let said = notes.iter().filter(|(task, _)| tasks.contains(task));
            Ok((said.filter(|(_, said)| said.starts_with(text)).count() >= count).then_some(()))
        })
        .await
    }

    async fn within(&mut self, ms: u64, text: &str) -> Result<(), String> {
        let began = self.line_began;
        self.noted(1, text).await?;
        let took = began.elapsed();
        match took <= Duration::from_millis(ms) {
            true => Ok(()),
            false => Err(format!("it took {} ms", took.as_millis())),
        }
    }

    async fn reaches(&mut self, step: &str, state: &str) -> Result<(), String> {
        let (pool, tasks) = (self.place.pool.clone(), self.tasks.clone());
        self.until(async || Ok(is_in(&pool, &tasks, step, state).await?.then_some(()))).await
    }

    /// Something must not happen, which only time can show.
    async fn stays(&mut self, ms: u64, step: &str, state: &str) -> Result<(), String> {
        self.reaches(step, state).await?;
        let until = Instant::now() + Duration::from_millis(ms);
        while Instant::now() < until {
            let is_there = is_in(&self.place.pool, &self.tasks, step, state).await;
            if !is_there.map_err(|error| error.to_string())? {
                return Err("it did not stay".to_owned());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    async fn extended(&mut self, step: &str) -> Result<(), String> {
        let sql = self.of_message("extract(epoch from q.vt)::float8", step);
        let (pool, tasks) = (self.place.pool.clone(), self.tasks.clone());
        let mut first = None;
        self.until(async || {
            let query = sqlx::query_scalar(AssertSqlSafe(sql.clone())).bind(&tasks);
            let end: Option<f64> = query.fetch_optional(&pool).await?;
            let began = *first.get_or_insert(end.unwrap_or_default());
            Ok(end.filter(|end| *end > began + 1.0).map(drop))
        })
        .await
    }

    /// As if the time of a worker that is gone had passed.
    async fn expire(&mut self, step: &str) -> Result<(), String> {
        let queue = format!("worker_{}_queue", self.namespace);
        let sql = self.of_message(&format!("pgmq.set_vt('{queue}', q.msg_id, 0) is null"), step);
        let query = sqlx::query(AssertSqlSafe(sql)).bind(&self.tasks);
        match query.execute(&self.place.pool).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Selects something of the message that a step's lease is.
    fn of_message(&self, what: &str, step: &str) -> String {
        format!(
            "select {what} from pgmq.q_worker_{}_queue q join tasker.steps s using (msg_id) \
             where s.task_id = any ($1) and s.name = '{step}'",
            self.namespace
        )
    }

    fn open(&mut self, gate: &str) -> Result<(), String> {
        for task in &self.tasks {
            let path = self.place.gates.join(format!("{task}.{gate}"));
            std::fs::write(path, "").map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn cancel(&mut self) -> Result<(), String> {
        for task in &self.tasks {
            sqlx::query("select tasker.cancel_task($1, 'conformance')")
                .bind(task)
                .execute(&self.place.pool)
                .await
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    async fn ended(&mut self) -> Result<(), String> {
        let (pool, tasks) = (self.place.pool.clone(), self.tasks.clone());
        let sql = "select count(*) = cardinality($1) from tasker.tasks where task_id = any ($1) \
                   and state in ('complete', 'error', 'cancelled', 'blocked_by_failures')";
        self.until(async || {
            let ended: bool = sqlx::query_scalar(sql).bind(&tasks).fetch_one(&pool).await?;
            Ok(ended.then_some(()))
        })
        .await
        .map_err(|problem| format!("the tasks' end: {problem}"))
    }

    async fn consumed(&mut self) -> Result<(), String> {
        let pool = self.place.pool.clone();
        let sql = format!("select count(*) = 0 from pgmq.q_{}_domain_events", self.namespace);
        self.until(async || {
            let sql = AssertSqlSafe(sql.clone());
            let is_empty: bool = sqlx::query_scalar(sql).fetch_one(&pool).await?;
            Ok(is_empty.then_some(()))
        })
        .await
    }

    async fn until<T>(
        &mut self,
        mut look: impl AsyncFnMut() -> Result<Option<T>, sqlx::Error>,
    ) -> Result<T, String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look().await.map_err(|error| error.to_string())? {
                return Ok(found);
            }
            if let Some((name, code)) = self.lost() {
                return Err(format!("the worker {name} has ended: {code}"));
            }
            if Instant::now() >= deadline {
                return Err(format!("it did not happen within {PATIENCE:?}"));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// A process that has ended although the script does not ask for its exit.
    fn lost(&mut self) -> Option<(String, String)> {
        let script = &self.scenario.script;
        self.processes.iter_mut().find_map(|(name, process)| {
            let may_end = script.iter().any(|line| *line == format!("exit {name}"));
            let code = process.ended().filter(|_| !may_end)?;
            Some((name.clone(), code))
        })
    }

    async fn end_processes(&mut self) -> Result<(), String> {
        for process in self.processes.values() {
            process.signal("KILL").await;
        }
        for process in self.processes.values_mut() {
            process.end().await?;
        }
        Ok(())
    }
}

async fn is_in(pool: &PgPool, tasks: &[Uuid], step: &str, state: &str) -> sqlx::Result<bool> {
    let sql = "select exists (select from tasker.steps where task_id = any ($1) and name = $2 \
               and state::text = $3)";
    sqlx::query_scalar(sql).bind(tasks).bind(step).bind(state).fetch_one(pool).await
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, String> {
    word.parse().map_err(|_| format!("{word} is no number"))
}
