//! What exists, said in the plainest way: from the graph and what was decided, from scratch each
//! time.

use super::{
    graph::{Key, Kind, MAX_DECISION_DEPTH, Node, On, When, node_name},
    machine::{Machine, Said, State},
};
use std::collections::HashMap;

/// Whether a template's step is in a task.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Presence {
    /// It is there.
    Exists,
    /// It is not and will not be.
    Absent,
    /// That depends on what others are still to say.
    Unknown,
}

/// How a dependency stands.
#[derive(Clone, Copy, PartialEq)]
enum Edge {
    Live,
    Dead,
    Unknown,
}

impl Machine {
    /// Every step of the template.
    pub fn presences(&self) -> Vec<Presence> {
        let mut known = HashMap::new();
        (0..self.graph.0.len()).map(|node| self.presence(node, &mut known)).collect()
    }

    fn presence(&self, node: usize, known: &mut HashMap<usize, Presence>) -> Presence {
        if let Some(presence) = known.get(&node) {
            return *presence;
        }
        let parents = &self.graph.0[node].parents;
        let edges: Vec<Edge> =
            parents.iter().map(|parent| self.edge(*parent, node, known)).collect();
        let some = |edge: Edge| edges.contains(&edge);
        let presence = if parents.is_empty() {
            Presence::Exists
        } else if self.graph.0[node].kind == Kind::Deferred {
            match () {
                () if some(Edge::Unknown) => Presence::Unknown,
                () if some(Edge::Live) => Presence::Exists,
                () => Presence::Absent,
            }
        } else {
            match () {
                () if some(Edge::Dead) => Presence::Absent,
                () if some(Edge::Unknown) => Presence::Unknown,
                () => Presence::Exists,
            }
        };
        let presence = match presence {
            Presence::Exists if self.graph.0[node].when == When::Always => presence,
            Presence::Exists if !self.judged.contains(&node) => Presence::Unknown,
            // Left out, it is there and done, where the template says so.
            Presence::Exists if !self.graph.0[node].when_false && !self.holds(node) => {
                Presence::Absent
            }
            presence => presence,
        };
        known.insert(node, presence);
        presence
    }

    /// The steps whose condition can be judged: all that they wait for has ended, and they do not
    /// lack one of them.
    pub fn ready(&self) -> Vec<usize> {
        let mut known = HashMap::new();
        let mut ready = |node: &usize| {
            let Node { kind, parents, when, .. } = &self.graph.0[*node];
            let edges: Vec<Edge> =
                parents.iter().map(|parent| self.edge(*parent, *node, &mut known)).collect();
            let some = |edge: Edge| edges.contains(&edge);
            let there = match kind {
                Kind::Deferred => edges.is_empty() || some(Edge::Live),
                _ => !some(Edge::Dead),
            };
            *when != When::Always && there && !some(Edge::Unknown)
        };
        (0..self.graph.0.len()).filter(|node| ready(node)).collect()
    }

    /// Whether its condition holds, or is neither true nor false.
    fn holds(&self, node: usize) -> bool {
        match self.graph.0[node].when {
            When::Always | When::Neither => true,
            When::Is(holds) => holds,
            When::First => {
                let first = self.graph.0[node].parents[0];
                !self.has_failed(first)
                    && self.presence(first, &mut HashMap::new()) == Presence::Exists
            }
            When::Otherwise => self
                .graph
                .sisters(node)
                .into_iter()
                .all(|sister| self.judged.contains(&sister) && !self.holds(sister)),
        }
    }

    /// Whether it is there without having run.
    pub fn is_left_out(&self, node: usize) -> bool {
        !self.holds(node)
    }

    fn edge(&self, parent: usize, child: usize, known: &mut HashMap<usize, Presence>) -> Edge {
        match self.presence(parent, known) {
            Presence::Absent => return Edge::Dead,
            Presence::Unknown => return Edge::Unknown,
            Presence::Exists => {}
        }
        let ended = self.has_ended(parent);
        let on = self.graph.on(parent, child);
        if self.graph.handled(parent) {
            match () {
                () if !ended => return Edge::Unknown,
                () if !self.has_failed(parent) => {}
                () if on == On::Complete && !self.graph.0[parent].goes_on => return Edge::Dead,
                () => return Edge::Live,
            }
        }
        if on == On::Failed {
            return Edge::Dead;
        }
        if self.graph.0[parent].may_skip {
            match self.decided(parent) {
                _ if !ended => return Edge::Unknown,
                Some(Said::Skip) if !self.graph.0[parent].when_false => return Edge::Dead,
                _ => {}
            }
        }
        if self.graph.0[child].when != When::Always && !ended {
            return Edge::Unknown;
        }
        match (self.graph.0[parent].kind, self.graph.0[child].kind, self.decided(parent)) {
            (Kind::Decision, _, None) | (Kind::Batchable, Kind::Worker(_), None) => Edge::Unknown,
            (Kind::Decision, Kind::Deferred, Some(_)) => Edge::Live,
            (Kind::Decision, _, Some(Said::Chosen(chosen)))
                if on == On::Complete && !chosen.contains(&child) =>
            {
                Edge::Dead
            }
            _ => Edge::Live,
        }
    }

    fn has_failed(&self, node: usize) -> bool {
        self.rows.get(&Key { node, instance: 0 }).is_some_and(|row| row.state == State::Error)
    }

    /// Whether all of its rows are there and have ended well.
    fn has_ended(&self, node: usize) -> bool {
        let satisfied = |instance: usize| {
            let key = Key { node, instance };
            self.rows.get(&key).is_some_and(|row| self.satisfied(key, row))
        };
        match self.graph.0[node].kind {
            Kind::Worker(_) => {
                self.decided(self.graph.0[node].parents[0]).is_some()
                    && self.instances(node).into_iter().all(satisfied)
            }
            _ => satisfied(0),
        }
    }

    /// How many rows a step of the template has once it exists.
    pub fn instances(&self, node: usize) -> Vec<usize> {
        match self.graph.0[node].kind {
            Kind::Worker(_) => match self.decided(self.graph.0[node].parents[0]) {
                Some(Said::Cursors(worker, n)) if *worker == node => (1..=*n).collect(),
                _ => Vec::new(),
            },
            _ => vec![0],
        }
    }

    /// What stands in the graph of a task beside its rows.
    pub fn without_rows(&self) -> Vec<String> {
        let presences = self.presences().into_iter().enumerate();
        let missing = presences.filter(|(node, _)| !self.rows.keys().any(|key| key.node == *node));
        let line = |(node, presence)| {
            let word = match presence {
                Presence::Exists => "exists",
                Presence::Absent => "not_chosen",
                Presence::Unknown => "undecided",
            };
            format!("{} {word}", node_name(node))
        };
        missing.map(line).collect()
    }

    /// Whether a choice would stand too deep below others.
    pub fn too_deep(&self, node: usize) -> bool {
        self.depth(node) > MAX_DECISION_DEPTH
    }

    /// Decisions on the longest path to it, itself included.
    fn depth(&self, node: usize) -> usize {
        let mut depths: Vec<usize> = Vec::new();
        for node in &self.graph.0[..=node] {
            let above = node.parents.iter().map(|parent| depths[*parent]).max().unwrap_or(0);
            depths.push(above + usize::from(node.kind == Kind::Decision));
        }
        depths[node]
    }
}
