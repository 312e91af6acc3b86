//! What operators may do to a task.

use super::{
    actions::{Action, Outcome},
    graph::{Key, When},
    machine::{Machine, Row, Said, State},
};

impl Machine {
    pub fn operate(&mut self, action: &Action) -> String {
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
            Action::ResolveStep(which, outcome) => self.resolve_step(self.target(*which), *outcome),
            Action::RetryStep(which) => self.retry_step(self.target(*which)),
            other => unreachable!("{other:?} is no operator's"),
        }
    }

    /// One of all rows, or of the steps that have none.
    pub fn target(&self, which: usize) -> Key {
        let none = |node: &usize| !self.rows.keys().any(|key| key.node == *node);
        let missing = (0..self.graph.0.len()).filter(none).map(|node| Key { node, instance: 0 });
        let all: Vec<Key> = self.rows.keys().copied().chain(missing).collect();
        all[which % all.len()]
    }

    fn finish(&mut self, state: &'static str) -> String {
        let finishes = self.ended.is_none();
        if finishes {
            self.end(state);
        }
        finishes.to_string()
    }

    fn resolve_step(&mut self, key: Key, outcome: Option<Outcome>) -> String {
        let Some(row) = self.rows.get(&key) else { return "TK032".to_owned() };
        if self.satisfied(key, row) {
            return "false".to_owned();
        }
        if !matches!(self.ended, None | Some("error")) {
            return "TK031".to_owned();
        }
        let decided = match outcome.map(|outcome| self.said(key.node, outcome)) {
            Some(said @ (Said::Chosen(_) | Said::Cursors(..) | Said::Skip)) => Some(said),
            None if !self.graph.decides(key.node) => None,
            _ => return "TK035".to_owned(),
        };
        let row = self.row(key);
        row.state = State::Resolved;
        row.decided = decided;
        if self.ended.is_none() {
            for child in self.count_down() {
                // Sent by the sweep.
                self.row(child).timed = true;
            }
            self.grow(true);
            self.settle();
        }
        "true".to_owned()
    }

    fn retry_step(&mut self, key: Key) -> String {
        let Some(row) = self.rows.get(&key) else { return "TK032".to_owned() };
        let failed =
            matches!(row.state, State::Error | State::Cancelled) && !self.satisfied(key, row);
        if self.ended == Some("error") && failed {
            self.replay();
            return "true".to_owned();
        }
        if self.ended.is_some() {
            return "TK031".to_owned();
        }
        match row.state {
            _ if self.satisfied(key, row) => "TK033".to_owned(),
            State::Error | State::Cancelled => {
                let begun = |(child, row): (&Key, &Row)| {
                    self.graph.0[child.node].parents.contains(&key.node)
                        && !matches!(row.state, State::Pending | State::Cancelled | State::Resolved)
                };
                if self.rows.iter().any(begun) {
                    return "TK033".to_owned();
                }
                self.restart(key);
                "true".to_owned()
            }
            _ => "false".to_owned(),
        }
    }

    fn replay(&mut self) {
        self.ended = None;
        for key in self.keys() {
            let row = &self.rows[&key];
            if matches!(row.state, State::Error | State::Cancelled) && !self.satisfied(key, row) {
                self.restart(key);
            }
        }
        self.grow(true);
        self.settle();
    }

    fn restart(&mut self, key: Key) {
        let waiting_on = self.unsatisfied_parents(key);
        let row = self.row(key);
        row.state = State::Pending;
        row.attempt = 0;
        (row.losses, row.deaths) = (0, 0);
        row.claim_no += 1;
        row.waiting_on = waiting_on;
        row.timed = waiting_on == 0;
        row.failed_before = false;
        row.has_inputs = false;
        if self.graph.0[key.node].when == When::Neither {
            self.cannot_be_judged(key);
        }
    }
}
