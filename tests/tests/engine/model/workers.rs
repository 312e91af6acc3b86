//! What workers do to a task.

use super::{
    actions::Outcome,
    graph::{Inputs, Key},
    machine::{Held, Machine, Row, Said, State},
};

/// As in the settings of the model's database.
pub const MAX_LOSSES: i32 = 4;
/// The same.
pub const MAX_DEATHS: i32 = 3;

impl Machine {
    /// One of all claims ever made.
    pub fn held(&self, which: usize) -> Option<Held> {
        (!self.claims.is_empty()).then(|| self.claims[which % self.claims.len()])
    }

    /// The claims that count.
    pub fn holding(&self) -> Vec<Held> {
        self.claims.iter().copied().filter(|held| self.counts(held)).collect()
    }

    /// All claims that count, and how each of them ends; some go on.
    pub fn all(&self, number: u16) -> Vec<(Held, Outcome)> {
        let end = |held: Held| {
            let Key { node, instance } = held.key;
            let mixed =
                (usize::from(number) * 997 + node * 31 + instance).wrapping_mul(2_654_435_761);
            // What a batch does about failures is seen only where instances fail.
            let sides = if instance > 0 { 9 } else { 17 };
            let outcome = match (mixed >> 8) % sides {
                0 => Outcome::Permanent,
                1 => Outcome::Retryable,
                2 => Outcome::Checkpoint((number % 7) as u8),
                3 => Outcome::Plain,
                4 | 5 => return None,
                _ => Outcome::Fitting(number),
            };
            Some((held, outcome))
        };
        self.holding().into_iter().filter_map(end).collect()
    }

    /// A batch names a step once; what a batch with a step twice does is another test's.
    pub fn distinct(&self, results: &[(usize, Outcome)]) -> Vec<(Held, Outcome)> {
        let mut batch: Vec<(Held, Outcome)> = Vec::new();
        for (which, outcome) in results {
            if let Some(held) = self.held(*which)
                && !batch.iter().any(|(other, _)| other.key == held.key)
            {
                batch.push((held, *outcome));
            }
        }
        batch
    }

    pub fn counts(&self, held: &Held) -> bool {
        let row = &self.rows[&held.key];
        row.state == State::InProgress && row.claim_no == held.claim_no
    }

    pub fn give_back(&mut self, key: Key) {
        let row = self.row(key);
        row.state = State::Enqueued;
        row.attempt -= 1;
        row.expired = false;
    }

    /// Taken back by an outage: counted, and not as an attempt.
    pub fn lose(&mut self, key: Key) {
        self.give_back(key);
        let row = self.row(key);
        row.losses += 1;
        if row.losses >= MAX_LOSSES {
            row.state = State::Submitted(Said::Permanent);
        }
    }

    /// None: its inputs cannot be made.
    fn take(&mut self, key: Key) -> Option<String> {
        let inputs = self.graph.0[key.node].inputs;
        let row = self.row(key);
        row.expired = false;
        row.alone = false;
        row.claim_no += 1;
        if inputs == Inputs::Missing {
            row.state = State::Submitted(Said::Permanent);
            return None;
        }
        row.state = State::InProgress;
        row.has_inputs |= inputs == Inputs::Made;
        row.attempt += 1;
        let Row { claim_no, attempt, .. } = *row;
        self.claims.push(Held { key, claim_no });
        Some(format!("{key} claimed as {claim_no}, attempt {attempt}"))
    }

    pub fn claim(&mut self) -> Vec<String> {
        let mut answers = Vec::new();
        for key in self.keys() {
            let row = self.row(key);
            let lost = row.state == State::InProgress && row.expired;
            if row.state != State::Enqueued && !lost {
                continue;
            }
            if lost {
                row.attempt -= 1;
                row.losses += 1;
                row.deaths += i32::from(row.alone || row.deaths < 2);
            }
            if lost && (row.losses >= MAX_LOSSES || row.deaths >= MAX_DEATHS) {
                row.state = State::Submitted(Said::Permanent);
                row.claim_no += 1;
            } else {
                answers.extend(self.take(key));
            }
        }
        answers
    }

    pub fn submit(&mut self, held: Held, outcome: Outcome) -> String {
        let key = held.key;
        let said = self.said(key.node, outcome);
        let status = match said {
            _ if !self.counts(&held) => self.refusal(&held, &said),
            // The one before: no progress.
            Said::Checkpoint(cursor) if self.rows[&key].checkpoint == Some(cursor) => {
                self.fail(key, Said::Refused);
                "rejected"
            }
            Said::Checkpoint(cursor) => {
                let row = self.row(key);
                row.state = State::Enqueued;
                // Attempts count from the last progress.
                row.attempt = 0;
                (row.losses, row.deaths) = (0, 0);
                row.expired = false;
                row.failed_before = false;
                row.checkpoint = Some(cursor);
                "accepted"
            }
            said @ (Said::Refused | Said::Permanent | Said::Retryable) => {
                let status = if said == Said::Refused { "rejected" } else { "accepted" };
                self.fail(key, said);
                status
            }
            said => {
                self.row(key).state = State::Submitted(said);
                "accepted"
            }
        };
        format!("{key} {status}")
    }

    /// Its handler said so: its worker lived.
    fn fail(&mut self, key: Key, said: Said) {
        let row = self.row(key);
        row.state = State::Submitted(said);
        (row.losses, row.deaths) = (0, 0);
    }

    /// A claim that no longer counts: has it been heard before?
    fn refusal(&self, held: &Held, said: &Said) -> &'static str {
        let row = &self.rows[&held.key];
        let stored = match row.state {
            State::Submitted(_) | State::Complete | State::Error | State::Pending => true,
            State::Enqueued => {
                matches!(said, Said::Checkpoint(cursor) if row.checkpoint == Some(*cursor))
            }
            _ => false,
        };
        if stored && row.claim_no == held.claim_no { "duplicate" } else { "stale" }
    }

    /// Successes and decisions settle at once, unless an orchestrator must decide what is sent; the
    /// rest goes by the queue.
    pub fn complete(&mut self, results: Vec<(Held, Outcome)>, claim: usize) -> Vec<String> {
        let direct = |machine: &Self, held: &Held, outcome: Outcome| {
            !machine.paused
                && machine.ended.is_none()
                && matches!(machine.said(held.key.node, outcome), Said::Success | Said::Chosen(_))
                && machine.counts(held)
        };
        let (done, rest): (Vec<_>, Vec<_>) =
            results.into_iter().partition(|(held, outcome)| direct(self, held, *outcome));
        let mut answers: Vec<String> =
            done.iter().map(|(held, _)| format!("{} accepted", held.key)).collect();
        for (held, outcome) in done {
            let said = self.said(held.key.node, outcome);
            let row = self.row(held.key);
            row.state = State::Complete;
            row.decided = Some(said);
        }
        for (n, key) in self.count_down().into_iter().enumerate() {
            if n < claim {
                answers.extend(self.take(key));
            } else {
                self.send(key);
            }
        }
        self.grow(false);
        self.settle();
        answers.extend(rest.into_iter().map(|(held, outcome)| self.submit(held, outcome)));
        answers.sort();
        answers
    }
}
