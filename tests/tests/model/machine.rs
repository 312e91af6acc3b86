//! The model: what the engine is supposed to do, said once more in the plainest way: no queue, no counter, no batch.

use crate::actions::{Action, Case, Outcome};

#[derive(Debug, Clone, Copy, PartialEq)]
enum State {
    Pending,
    Enqueued,
    InProgress,
    /// With a result to process.
    Submitted(Outcome),
    Complete,
    Error,
    Cancelled,
    Resolved,
}

#[derive(Debug, Clone)]
struct Step {
    state: State,
    attempt: i32,
    max_attempts: i32,
    claim_no: i32,
    waiting_on: usize,
    /// Waits for its time, and not for its turn in a paused namespace.
    timed: bool,
    /// Keeps the error of a failed attempt.
    failed_before: bool,
    /// Its lease has run out: whoever claims next takes it.
    expired: bool,
    parents: Vec<usize>,
}

/// A claim that was made.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Held {
    /// Of which step.
    pub step: usize,
    /// Its fence.
    pub claim_no: i32,
}

/// A task.
#[derive(Debug, Clone)]
pub struct Machine {
    steps: Vec<Step>,
    fail: bool,
    paused: bool,
    /// Set when it has finished.
    ended: Option<&'static str>,
    /// All claims ever made.
    claims: Vec<Held>,
}

/// Names that sort like their numbers.
pub fn step_name(n: usize) -> String {
    format!("s{n:02}")
}

impl Machine {
    pub fn new(case: &Case) -> Self {
        let steps = case.parents.iter().zip(&case.max_attempts).map(|(parents, max_attempts)| Step {
            state: State::Pending,
            attempt: 0,
            max_attempts: *max_attempts,
            claim_no: 0,
            waiting_on: parents.len(),
            timed: false,
            failed_before: false,
            expired: false,
            parents: parents.clone(),
        });
        let mut machine =
            Self { steps: steps.collect(), fail: case.fail, paused: false, ended: None, claims: Vec::new() };
        for n in 0..machine.len() {
            if machine.steps[n].waiting_on == 0 {
                machine.send(n);
            }
        }
        machine
    }

    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// One of all claims ever made.
    pub fn held(&self, which: usize) -> Option<Held> {
        (!self.claims.is_empty()).then(|| self.claims[which % self.claims.len()])
    }

    /// The claims that count.
    pub fn holding(&self) -> Vec<Held> {
        self.claims.iter().copied().filter(|held| self.counts(held)).collect()
    }

    /// A batch names a step once; what a batch with a step twice does is another test's.
    pub fn distinct(&self, results: &[(usize, Outcome)]) -> Vec<(Held, Outcome)> {
        let mut batch: Vec<(Held, Outcome)> = Vec::new();
        for (which, outcome) in results {
            if let Some(held) = self.held(*which)
                && !batch.iter().any(|(other, _)| other.step == held.step)
            {
                batch.push((held, *outcome));
            }
        }
        batch
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
        let steps = self.steps.iter().enumerate().map(|(n, s)| {
            let state = match s.state {
                State::Pending => "pending",
                State::Enqueued => "enqueued",
                State::InProgress => "in_progress",
                State::Submitted(_) => "enqueued_for_orchestration",
                State::Complete => "complete",
                State::Error => "error",
                State::Cancelled => "cancelled",
                State::Resolved => "resolved_manually",
            };
            let Step { attempt, claim_no, waiting_on, .. } = s;
            format!("{} {state} attempt {attempt} claim_no {claim_no} waiting_on {waiting_on}", step_name(n))
        });
        std::iter::once(format!("task {}", self.task_state())).chain(steps).collect()
    }

    fn task_state(&self) -> &'static str {
        let any = |test: &dyn Fn(&Step) -> bool| self.steps.iter().any(test);
        let ready = |s: &Step| s.state == State::Pending && s.waiting_on == 0;
        let waits_for_retry = |s: &Step| ready(s) && s.timed && s.failed_before;
        match self.ended {
            Some(state) => state,
            None if !any(&|s| !satisfied(s)) => "complete",
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

    fn counts(&self, held: &Held) -> bool {
        let step = &self.steps[held.step];
        step.state == State::InProgress && step.claim_no == held.claim_no
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
            Action::CompleteAll => {
                let all = self.holding().into_iter().map(|held| (held, Outcome::Success)).collect();
                self.complete(all, 0)
            }
            Action::Release(which) => match self.held(*which) {
                Some(held) if self.counts(&held) => {
                    let step = &mut self.steps[held.step];
                    step.state = State::Enqueued;
                    step.attempt -= 1;
                    step.expired = false;
                    vec!["released".to_owned()]
                }
                Some(_) => vec!["stale".to_owned()],
                None => Vec::new(),
            },
            Action::Expire => {
                self.steps.iter_mut().filter(|s| s.state == State::InProgress).for_each(|s| s.expired = true);
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
    fn send(&mut self, n: usize) {
        self.steps[n].timed = false;
        if !self.paused {
            self.steps[n].state = State::Enqueued;
        }
    }

    fn take(&mut self, n: usize) -> String {
        let step = &mut self.steps[n];
        step.state = State::InProgress;
        step.expired = false;
        step.claim_no += 1;
        step.attempt += 1;
        let Step { claim_no, attempt, .. } = *step;
        self.claims.push(Held { step: n, claim_no });
        format!("{} claimed as {claim_no}, attempt {attempt}", step_name(n))
    }

    fn claim(&mut self) -> Vec<String> {
        let mut answers = Vec::new();
        for n in 0..self.len() {
            let step = &mut self.steps[n];
            let lost = step.state == State::InProgress && step.expired;
            if step.state != State::Enqueued && !lost {
                continue;
            }
            if step.attempt >= step.max_attempts {
                step.state = State::Submitted(Outcome::Permanent);
                step.claim_no += 1;
            } else {
                answers.push(self.take(n));
            }
        }
        answers
    }

    fn refusal(&self, held: &Held) -> &'static str {
        let step = &self.steps[held.step];
        let stored =
            matches!(step.state, State::Submitted(_) | State::Complete | State::Error | State::Pending);
        if stored && step.claim_no == held.claim_no { "duplicate" } else { "stale" }
    }

    fn submit(&mut self, held: Held, outcome: Outcome) -> String {
        let status = if self.counts(&held) {
            self.steps[held.step].state = State::Submitted(outcome);
            "accepted"
        } else {
            self.refusal(&held)
        };
        format!("{} {status}", step_name(held.step))
    }

    /// Successes settle at once, unless an orchestrator must decide what is sent; the rest goes by the queue.
    fn complete(&mut self, results: Vec<(Held, Outcome)>, claim: usize) -> Vec<String> {
        let direct = |machine: &Self, held: &Held, outcome: Outcome| {
            !machine.paused && machine.ended.is_none() && outcome == Outcome::Success && machine.counts(held)
        };
        let (done, rest): (Vec<_>, Vec<_>) =
            results.into_iter().partition(|(held, outcome)| direct(self, held, *outcome));
        let mut answers: Vec<String> =
            done.iter().map(|(held, _)| format!("{} accepted", step_name(held.step))).collect();
        let steps: Vec<usize> = done.iter().map(|(held, _)| held.step).collect();
        for step in &steps {
            self.steps[*step].state = State::Complete;
        }
        let ready = self.count_down(&steps);
        for (n, step) in ready.into_iter().enumerate() {
            if n < claim {
                answers.push(self.take(step));
            } else {
                self.send(step);
            }
        }
        self.settle();
        answers.extend(rest.into_iter().map(|(held, outcome)| self.submit(held, outcome)));
        answers.sort();
        answers
    }

    fn process(&mut self) {
        let submitted: Vec<(usize, Outcome)> = self
            .steps
            .iter()
            .enumerate()
            .filter_map(|(n, s)| match s.state {
                State::Submitted(outcome) => Some((n, outcome)),
                _ => None,
            })
            .collect();
        let mut done = Vec::new();
        let mut failed = false;
        for (n, outcome) in submitted {
            let step = &mut self.steps[n];
            match outcome {
                _ if self.ended.is_some() => step.state = State::Cancelled,
                Outcome::Success => {
                    step.state = State::Complete;
                    done.push(n);
                }
                Outcome::Retryable if step.attempt < step.max_attempts => {
                    step.state = State::Pending;
                    step.timed = true;
                    step.failed_before = true;
                }
                _ => {
                    step.state = State::Error;
                    step.failed_before = true;
                    failed = true;
                }
            }
        }
        let ends = self.fail && failed && self.ended.is_none();
        if ends {
            self.end("error");
        }
        for n in self.count_down(&done) {
            self.send(n);
        }
        self.settle();
    }

    /// Children that wait for nothing any more.
    fn count_down(&mut self, done: &[usize]) -> Vec<usize> {
        let mut ready = Vec::new();
        for (n, child) in self.steps.iter_mut().enumerate() {
            let satisfied = child.parents.iter().filter(|p| done.contains(p)).count();
            if child.state == State::Pending && satisfied > 0 {
                child.waiting_on -= satisfied;
                if child.waiting_on == 0 {
                    ready.push(n);
                }
            }
        }
        ready
    }

    fn settle(&mut self) {
        if self.ended.is_none() && self.steps.iter().all(satisfied) {
            self.ended = Some("complete");
        }
    }

    fn sweep(&mut self) {
        if self.ended.is_some() {
            return;
        }
        for n in 0..self.len() {
            if self.steps[n].state == State::Pending && self.steps[n].waiting_on == 0 {
                self.send(n);
            }
        }
    }

    fn end(&mut self, state: &'static str) {
        self.ended = Some(state);
        for step in &mut self.steps {
            if matches!(
                step.state,
                State::Pending | State::Enqueued | State::InProgress | State::Submitted(_)
            ) {
                step.state = State::Cancelled;
            }
        }
    }

    fn operate(&mut self, action: &Action) -> String {
        match action {
            Action::Pause => (!std::mem::replace(&mut self.paused, true)).to_string(),
            Action::Resume => std::mem::replace(&mut self.paused, false).to_string(),
            Action::Cancel => self.finish("cancelled"),
            Action::ResolveTask => self.finish("resolved_manually"),
            Action::Reset => match self.ended {
                None => "false".to_owned(),
                Some("error") => {
                    self.replay();
                    "true".to_owned()
                }
                Some(_) => "TK031".to_owned(),
            },
            Action::RetryTasks => match self.task_state() {
                "error" | "blocked_by_failures" => {
                    self.replay();
                    "1".to_owned()
                }
                _ => "0".to_owned(),
            },
            Action::ResolveStep(n) => self.resolve_step(n % self.len()),
            Action::RetryStep(n) => self.retry_step(n % self.len()),
            other => unreachable!("{other:?} is no operator's"),
        }
    }

    fn finish(&mut self, state: &'static str) -> String {
        let finishes = self.ended.is_none();
        if finishes {
            self.end(state);
        }
        finishes.to_string()
    }

    fn resolve_step(&mut self, n: usize) -> String {
        if satisfied(&self.steps[n]) {
            return "false".to_owned();
        }
        if !matches!(self.ended, None | Some("error")) {
            return "TK031".to_owned();
        }
        self.steps[n].state = State::Resolved;
        if self.ended.is_none() {
            for child in self.count_down(&[n]) {
                // Sent by the sweep.
                self.steps[child].timed = true;
            }
            self.settle();
        }
        "true".to_owned()
    }

    fn retry_step(&mut self, n: usize) -> String {
        if self.ended.is_some() {
            return "TK031".to_owned();
        }
        match self.steps[n].state {
            State::Complete | State::Resolved => "TK033".to_owned(),
            State::Error | State::Cancelled => {
                let begun = |s: &Step| {
                    s.parents.contains(&n) && !matches!(s.state, State::Pending | State::Cancelled)
                };
                if self.steps.iter().any(begun) {
                    return "TK033".to_owned();
                }
                self.restart(n);
                "true".to_owned()
            }
            _ => "false".to_owned(),
        }
    }

    fn replay(&mut self) {
        self.ended = None;
        for n in 0..self.len() {
            if matches!(self.steps[n].state, State::Error | State::Cancelled) {
                self.restart(n);
            }
        }
        self.settle();
    }

    fn restart(&mut self, n: usize) {
        let waiting_on = self.steps[n].parents.iter().filter(|p| !satisfied(&self.steps[**p])).count();
        let step = &mut self.steps[n];
        step.state = State::Pending;
        step.attempt = 0;
        step.claim_no += 1;
        step.waiting_on = waiting_on;
        step.timed = waiting_on == 0;
        step.failed_before = false;
    }
}

fn satisfied(step: &Step) -> bool {
    matches!(step.state, State::Complete | State::Resolved)
}
