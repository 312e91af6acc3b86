//! The model: what the engine is supposed to do, said once more in the plainest way: no queue, no
//! counter, no batch.

use super::{
    actions::{Action, Case, Outcome},
    graph::{Graph, Key, Kind, When},
    rule::Presence,
};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Clone, PartialEq)]
pub enum State {
    Pending,
    Enqueued,
    InProgress,
    /// With a result to process.
    Submitted(Said),
    Complete,
    Error,
    Cancelled,
    Resolved,
}

/// What an outcome means for the step that gave it.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Success,
    /// These children.
    Chosen(Vec<usize>),
    /// So many instances of this step.
    Cursors(usize, usize),
    Checkpoint(u8),
    /// There was nothing to do.
    Skip,
    Retryable,
    Permanent,
    /// Permanent too: it may not say so.
    Refused,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub state: State,
    pub attempt: i32,
    pub claim_no: i32,
    /// Claims lost in a row.
    pub losses: i32,
    /// Those of them whose lease ran out, each with its worker as far as the engine can tell here.
    pub deaths: i32,
    /// Its worker says that nothing runs beside it.
    pub alone: bool,
    pub waiting_on: usize,
    /// Waits for its time, and not for its turn in a paused namespace.
    pub timed: bool,
    /// Keeps the error of a failed attempt.
    pub failed_before: bool,
    /// Its lease has run out: the next claim takes it.
    pub expired: bool,
    /// How far it has come.
    pub checkpoint: Option<u8>,
    /// What it chose.
    pub decided: Option<Said>,
    /// Whether the template has made its inputs.
    pub has_inputs: bool,
}

/// A claim that was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// The step.
    pub key: Key,
    /// Its fence.
    pub claim_no: i32,
}

/// A task.
#[derive(Debug, Clone)]
pub struct Machine {
    pub graph: Graph,
    pub rows: BTreeMap<Key, Row>,
    fail: bool,
    pub paused: bool,
    /// Set when it has finished.
    pub ended: Option<&'static str>,
    /// The steps whose condition has been judged.
    pub judged: BTreeSet<usize>,
    /// All claims ever made.
    pub claims: Vec<Held>,
}

impl Machine {
    pub fn new(case: &Case) -> Self {
        let mut machine = Self {
            graph: case.graph.clone(),
            rows: BTreeMap::new(),
            fail: case.fail,
            paused: false,
            ended: None,
            judged: BTreeSet::new(),
            claims: Vec::new(),
        };
        machine.grow(false);
        machine.settle();
        machine
    }

    /// Whether anything is left that workers, orchestrators, and time can do.
    pub fn can_move(&self) -> bool {
        !matches!(
            self.task_state(),
            "complete" | "error" | "cancelled" | "resolved_manually" | "blocked_by_failures"
        )
    }

    /// As the database side says it.
    pub fn state(&self) -> Vec<String> {
        let line = |(key, row): (&Key, &Row)| {
            let state = match row.state {
                State::Pending => "pending",
                State::Enqueued => "enqueued",
                State::InProgress => "in_progress",
                State::Submitted(_) => "enqueued_for_orchestration",
                State::Complete => "complete",
                State::Error => "error",
                State::Cancelled => "cancelled",
                State::Resolved => "resolved_manually",
            };
            let Row { attempt, claim_no, losses, deaths, waiting_on, .. } = row;
            let cursor = match key.instance {
                0 if row.has_inputs => r#"{"x": null}"#.to_owned(),
                0 => "-".to_owned(),
                n => n.to_string(),
            };
            let checkpoint = row.checkpoint.map_or("-".to_owned(), |cursor| cursor.to_string());
            format!(
                "{key} {state} attempt {attempt} claim_no {claim_no} losses {losses} {deaths} \
                 waiting_on {waiting_on} cursor {cursor} checkpoint {checkpoint}"
            )
        };
        let task = std::iter::once(format!("task {}", self.task_state()));
        task.chain(self.rows.iter().map(line)).collect()
    }

    pub fn task_state(&self) -> &'static str {
        let any = |test: &dyn Fn(&Row) -> bool| self.rows.values().any(test);
        let ready = |s: &Row| s.state == State::Pending && s.waiting_on == 0;
        let waits_for_retry = |s: &Row| ready(s) && s.timed && s.failed_before;
        match self.ended {
            Some(state) => state,
            None if self.all_satisfied() => "complete",
            None if any(&|s| {
                matches!(s.state, State::Enqueued | State::InProgress | State::Submitted(_))
            }) =>
            {
                "steps_in_process"
            }
            None if any(&|s| ready(s) && !waits_for_retry(s)) => "waiting_for_dependencies",
            None if any(&waits_for_retry) => "waiting_for_retry",
            None => "blocked_by_failures",
        }
    }

    /// A failure counts like an end where its batch goes on after it, or the template says what
    /// follows.
    pub fn satisfied(&self, key: Key, row: &Row) -> bool {
        match row.state {
            State::Complete | State::Resolved => true,
            State::Error => {
                self.graph.0[key.node].kind == Kind::Worker(true) || self.graph.handled(key.node)
            }
            _ => false,
        }
    }

    fn all_satisfied(&self) -> bool {
        self.rows.iter().all(|(key, row)| self.satisfied(*key, row))
    }

    /// What a step has chosen, once that counts.
    pub fn decided(&self, node: usize) -> Option<&Said> {
        let key = Key { node, instance: 0 };
        self.rows
            .get(&key)
            .filter(|row| self.satisfied(key, row))
            .and_then(|row| row.decided.as_ref())
    }

    /// What an outcome means from a step.
    pub fn said(&self, node: usize, outcome: Outcome) -> Said {
        match (outcome, self.graph.0[node].kind) {
            (Outcome::Retryable, _) => Said::Retryable,
            (Outcome::Permanent, _) => Said::Permanent,
            (Outcome::Checkpoint(cursor), _) => Said::Checkpoint(cursor),
            (Outcome::Fitting(number), Kind::Decision) => match self.graph.chosen(node, number) {
                chosen if !chosen.is_empty() && self.too_deep(node) => Said::Refused,
                chosen => Said::Chosen(chosen),
            },
            (Outcome::Fitting(number), Kind::Batchable) => {
                Said::Cursors(self.graph.worker(node, number), Graph::cursors(number))
            }
            (Outcome::Plain, Kind::Decision | Kind::Batchable) | (Outcome::Foreign(_), _) => {
                Said::Refused
            }
            (Outcome::Fitting(number), _) if self.graph.skips(node, number) => Said::Skip,
            (Outcome::Fitting(_) | Outcome::Plain, _) => Said::Success,
        }
    }

    pub fn keys(&self) -> Vec<Key> {
        self.rows.keys().copied().collect()
    }

    pub fn row(&mut self, key: Key) -> &mut Row {
        self.rows.get_mut(&key).unwrap()
    }

    /// Does it, and answers as the engine should.
    pub fn act(&mut self, action: &Action) -> Vec<String> {
        match action {
            Action::Claim => self.claim(),
            Action::Submit(which, outcome) => match self.held(*which) {
                Some(held) => vec![self.submit(held, *outcome)],
                None => Vec::new(),
            },
            Action::Complete(results, claim) => self.complete(self.distinct(results), *claim),
            Action::CompleteAll(number) => self.complete(self.all(*number), 0),
            Action::Release(which) => match self.held(*which) {
                Some(held) if self.counts(&held) => {
                    self.give_back(held.key);
                    vec!["released".to_owned()]
                }
                Some(_) => vec!["stale".to_owned()],
                None => Vec::new(),
            },
            Action::Lose(which) => match self.held(*which) {
                Some(held) if self.counts(&held) => {
                    self.lose(held.key);
                    vec!["released".to_owned()]
                }
                Some(_) => vec!["stale".to_owned()],
                None => Vec::new(),
            },
            Action::RunAlone(which) => match self.held(*which) {
                Some(held) if self.counts(&held) => {
                    self.row(held.key).alone = true;
                    vec!["alone".to_owned()]
                }
                Some(_) => vec!["stale".to_owned()],
                None => Vec::new(),
            },
            Action::Expire => {
                self.rows
                    .values_mut()
                    .filter(|s| s.state == State::InProgress)
                    .for_each(|s| s.expired = true);
                Vec::new()
            }
            Action::Process => {
                self.process();
                Vec::new()
            }
            Action::Sweep => {
                self.sweep();
                Vec::new()
            }
            other => vec![self.operate(other)],
        }
    }

    /// Ready: into the queue, or held while the namespace is paused.
    pub fn send(&mut self, key: Key) {
        let paused = self.paused;
        let row = self.row(key);
        row.timed = false;
        if !paused {
            row.state = State::Enqueued;
        }
    }

    fn process(&mut self) {
        let mut failed = Vec::new();
        for key in self.keys() {
            let (ended, max_attempts) = (self.ended.is_some(), self.graph.0[key.node].max_attempts);
            let row = self.row(key);
            let State::Submitted(said) = row.state.clone() else { continue };
            row.state = match said {
                _ if ended => State::Cancelled,
                Said::Retryable if row.attempt < max_attempts => {
                    row.timed = true;
                    row.failed_before = true;
                    State::Pending
                }
                Said::Retryable | Said::Permanent | Said::Refused => {
                    row.failed_before = true;
                    failed.push(key);
                    State::Error
                }
                said => {
                    row.decided = Some(said);
                    State::Complete
                }
            };
        }
        failed.retain(|key| !self.satisfied(*key, &self.rows[key]));
        if self.fail && !failed.is_empty() {
            self.end("error");
        }
        for key in self.count_down() {
            self.send(key);
        }
        self.grow(false);
        failed.into_iter().for_each(|key| self.stop_batch(key));
        self.settle();
    }

    /// fail_fast: the others that have not ended are cancelled.
    fn stop_batch(&mut self, failed: Key) {
        if self.ended.is_some() || self.graph.0[failed.node].kind != Kind::Worker(false) {
            return;
        }
        for (key, row) in &mut self.rows {
            if key.node == failed.node
                && matches!(row.state, State::Pending | State::Enqueued | State::InProgress)
            {
                row.state = State::Cancelled;
            }
        }
    }

    /// What exists by now and has no row gets one. What is left out and done may bring more.
    pub fn grow(&mut self, later: bool) {
        while self.ended.is_none() && self.grow_once(later) {}
    }

    fn grow_once(&mut self, later: bool) -> bool {
        // What one leaves out lets others be judged.
        loop {
            let judged = self.judged.len();
            self.judged.extend(self.ready());
            if self.judged.len() == judged {
                break;
            }
        }
        let mut new = Vec::new();
        for (node, presence) in self.presences().into_iter().enumerate() {
            if presence == Presence::Exists {
                new.extend(self.instances(node).into_iter().map(|instance| Key { node, instance }));
            }
        }
        new.retain(|key| !self.rows.contains_key(key));
        for key in &new {
            let row = Row {
                state: State::Pending,
                attempt: 0,
                claim_no: 0,
                losses: 0,
                deaths: 0,
                alone: false,
                waiting_on: 0,
                timed: false,
                failed_before: false,
                expired: false,
                checkpoint: None,
                decided: None,
                has_inputs: false,
            };
            self.rows.insert(*key, row);
        }
        for key in new.iter().filter(|key| self.is_left_out(key.node)).copied().collect::<Vec<_>>()
        {
            self.row(key).state = State::Complete;
        }
        let grows = !new.is_empty();
        // Once all that was left out is done.
        for key in new {
            self.row(key).waiting_on = self.unsatisfied_parents(key);
            if self.rows[&key].waiting_on > 0 || self.rows[&key].state == State::Complete {
            } else if self.graph.0[key.node].when == When::Neither {
                self.cannot_be_judged(key);
            } else if later {
                self.row(key).timed = true;
            } else {
                self.send(key);
            }
        }
        grows
    }

    /// Its condition is neither true nor false: that is its result.
    pub fn cannot_be_judged(&mut self, key: Key) {
        let row = self.row(key);
        row.state = State::Submitted(Said::Permanent);
        row.claim_no += 1;
        row.timed = false;
    }

    pub fn unsatisfied_parents(&self, key: Key) -> usize {
        let parents = &self.graph.0[key.node].parents;
        let waits = |(parent, row): &(&Key, &Row)| {
            parents.contains(&parent.node) && !self.satisfied(**parent, row)
        };
        self.rows.iter().filter(waits).count()
    }

    /// Recounts what pending steps wait for; returns those that wait for nothing any more.
    pub fn count_down(&mut self) -> Vec<Key> {
        let mut ready = Vec::new();
        if self.ended.is_some() {
            return ready;
        }
        for key in self.keys() {
            let waiting_on = self.unsatisfied_parents(key);
            let row = self.row(key);
            if row.state == State::Pending && row.waiting_on > waiting_on {
                row.waiting_on = waiting_on;
                if waiting_on == 0 {
                    ready.push(key);
                }
            }
        }
        ready
    }

    pub fn settle(&mut self) {
        if self.ended.is_none() && self.all_satisfied() {
            self.ended = Some("complete");
        }
    }

    fn sweep(&mut self) {
        if self.ended.is_some() {
            return;
        }
        for key in self.keys() {
            if self.rows[&key].state == State::Pending && self.rows[&key].waiting_on == 0 {
                self.send(key);
            }
        }
    }

    pub fn end(&mut self, state: &'static str) {
        self.ended = Some(state);
        for row in self.rows.values_mut() {
            if matches!(
                row.state,
                State::Pending | State::Enqueued | State::InProgress | State::Submitted(_)
            ) {
                row.state = State::Cancelled;
            }
        }
    }
}
