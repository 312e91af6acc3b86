//! The template of a case: steps with types, and what a handler of each may answer.

use super::actions::Outcome;
use proptest::{collection::vec, prelude::*};
use serde_json::{Value, json};
use std::fmt;

/// The engine's limit in these runs; in some graphs more decisions stand on one path.
pub const MAX_DECISION_DEPTH: usize = 3;

/// The type of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Exists with its parents.
    Standard,
    /// Chooses among its children.
    Decision,
    /// Waits for those of its parents that exist.
    Deferred,
    /// Gives the cursors of the step after it.
    Batchable,
    /// One instance for each cursor; true: continue_on_failure.
    Worker(bool),
}

/// Inputs that a template makes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Inputs {
    /// It has none.
    None,
    /// A parent's, if that exists.
    Made,
    /// One is required that no parent gives: every claim fails the step.
    Missing,
}

/// What a template asks before a step exists.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum When {
    /// Nothing.
    Always,
    /// What is true, or false.
    Is(bool),
    /// Whether its first parent is there.
    First,
    /// What is neither true nor false.
    Neither,
    /// Whether no other with the same parents exists.
    Otherwise,
}

/// How a parent must have ended.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum On {
    /// Well.
    Complete,
    /// Failed for good.
    Failed,
    /// Either.
    Ended,
}

/// What every step announces with each result.
pub const EVENT: &str = "step.said";

/// A step of the template.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its type.
    pub kind: Kind,
    /// The steps before it that it waits for.
    pub parents: Vec<usize>,
    /// How each of them must have ended.
    pub on: Vec<On>,
    /// on_error: continue.
    pub goes_on: bool,
    /// How often it is tried.
    pub max_attempts: i32,
    /// What the template makes of its parents for it.
    pub inputs: Inputs,
    /// What it depends on whether it exists.
    pub when: When,
    /// Its handler may skip it.
    pub may_skip: bool,
    /// Left out or skipped, it counts as done.
    pub when_false: bool,
}

/// The steps of a template, each after its parents.
#[derive(Debug, Clone)]
pub struct Graph(pub Vec<Node>);

/// A row: a step of the template, or one of its instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its place in the template.
    pub node: usize,
    /// From 1; 0 is a step that has none.
    pub instance: usize,
}

impl fmt::Display for Key {
    /// Names that sort like their numbers.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.instance {
            0 => write!(f, "s{:02}", self.node),
            n => write!(f, "s{:02}_{n:03}", self.node),
        }
    }
}

/// The name of a step of the template.
pub fn node_name(node: usize) -> String {
    Key { node, instance: 0 }.to_string()
}

impl Graph {
    /// Its direct children.
    pub fn children(&self, node: usize) -> Vec<usize> {
        (0..self.0.len()).filter(|child| self.0[*child].parents.contains(&node)).collect()
    }

    /// How a parent must have ended for this child.
    pub fn on(&self, parent: usize, child: usize) -> On {
        let Node { parents, on, .. } = &self.0[child];
        on[parents.iter().position(|other| *other == parent).unwrap()]
    }

    /// Whether the template says what follows when it fails.
    pub fn handled(&self, node: usize) -> bool {
        let handles = |child: usize| self.on(node, child) != On::Complete;
        self.0[node].goes_on || self.children(node).into_iter().any(handles)
    }

    /// Whether its outcome says what else is to exist.
    pub fn decides(&self, node: usize) -> bool {
        matches!(self.0[node].kind, Kind::Decision | Kind::Batchable)
    }

    /// The children that a decision chooses by this number.
    pub fn chosen(&self, node: usize, number: u16) -> Vec<usize> {
        let bit = |n: usize| number >> (n % 16) & 1 == 1;
        self.children(node)
            .into_iter()
            .enumerate()
            .filter(|(n, _)| bit(*n))
            .map(|(_, child)| child)
            .collect()
    }

    /// Whose cursors a batchable gives by this number.
    pub fn worker(&self, node: usize, number: u16) -> usize {
        let workers = self.workers(node);
        workers[usize::from(number / 5) % workers.len()]
    }

    fn workers(&self, node: usize) -> Vec<usize> {
        let is_worker = |child: &usize| matches!(self.0[*child].kind, Kind::Worker(_));
        self.children(node).into_iter().filter(is_worker).collect()
    }

    /// How many cursors a batchable gives by this number: few, and once in a while a dozen.
    pub fn cursors(number: u16) -> usize {
        if number.is_multiple_of(29) { 12 } else { usize::from(number % 5) }
    }

    /// Whether its handler skips it by this number.
    pub fn skips(&self, node: usize, number: u16) -> bool {
        self.0[node].may_skip && number.is_multiple_of(3)
    }

    /// Those that exist where this one does not, or the other way round.
    pub fn sisters(&self, node: usize) -> Vec<usize> {
        let sister = |other: &usize| {
            let Node { kind, parents, on, when, .. } = &self.0[*other];
            let own = &self.0[node];
            (parents, on) == (&own.parents, &own.on)
                && (*kind == Kind::Deferred) == (own.kind == Kind::Deferred)
                && !matches!(when, When::Always | When::Otherwise)
        };
        (0..self.0.len()).filter(sister).collect()
    }

    /// As the handler of a step would return it.
    pub fn outcome_json(&self, node: usize, outcome: Outcome) -> Value {
        let kind = self.0[node].kind;
        match outcome {
            Outcome::Fitting(number) if kind == Kind::Decision => {
                let chosen: Vec<String> =
                    self.chosen(node, number).into_iter().map(node_name).collect();
                json!({"type": "decision", "create_steps": chosen, "result": 1})
            }
            Outcome::Fitting(number) if kind == Kind::Batchable => {
                let cursors: Vec<usize> = (1..=Self::cursors(number)).collect();
                let mut outcome = json!({"type": "batches", "cursors": cursors});
                // A single one need not be said.
                if self.workers(node).len() > 1 || number.is_multiple_of(2) {
                    outcome["worker_step"] = json!(node_name(self.worker(node, number)));
                }
                outcome
            }
            Outcome::Fitting(number) if self.skips(node, number) => json!({"type": "skip"}),
            Outcome::Fitting(_) | Outcome::Plain => json!({"type": "success", "result": 1}),
            Outcome::Foreign(name) if kind == Kind::Batchable => {
                json!({"type": "batches", "worker_step": name, "cursors": [1]})
            }
            Outcome::Foreign(name) => json!({"type": "decision", "create_steps": [name]}),
            Outcome::Checkpoint(cursor) => {
                json!({"type": "checkpoint", "cursor": cursor, "items_processed": cursor})
            }
            Outcome::Retryable => json!({"type": "failure", "message": "again"}),
            Outcome::Permanent => {
                json!({"type": "failure", "message": "never", "retryable": false})
            }
        }
    }

    /// The template.
    pub fn definition(&self, version: u32, fail: bool) -> Value {
        let steps: Vec<Value> = (0..self.0.len()).map(|n| self.step(n)).collect();
        json!({"namespace": "test", "name": "flow", "version": version.to_string(),
               "on_failure": if fail { "fail" } else { "block" }, "steps": steps})
    }

    fn step(&self, n: usize) -> Value {
        let Node { kind, max_attempts, inputs, when, may_skip, when_false, .. } = &self.0[n];
        let parents: Vec<String> = self.0[n].parents.iter().copied().map(node_name).collect();
        let dependency = |(name, on): (&String, &On)| match on {
            On::Complete => json!(name),
            On::Failed => json!({"step": name, "on": "failed"}),
            On::Ended => json!({"step": name, "on": "ended"}),
        };
        let dependencies: Vec<Value> = parents.iter().zip(&self.0[n].on).map(dependency).collect();
        let mut step = json!({
            "name": node_name(n),
            "dependencies": dependencies,
            "handler": {"callable": "noop"},
            "publishes_events": [{"name": EVENT}],
            "retry": {"max_attempts": max_attempts, "backoff_base_ms": 0, "jitter": false},
        });
        if *inputs != Inputs::None {
            step["inputs"] = json!({"x": format!("$.parents.{}.none", parents[0])});
        }
        if *inputs == Inputs::Missing {
            step["inputs_required"] = json!(["x"]);
        }
        match when {
            When::Always => {}
            When::Otherwise => step["otherwise"] = json!(true),
            When::Is(true) => step["when"] = json!(r#"$.task.name == "flow""#),
            When::Is(false) => step["when"] = json!(r#"$.task.name == "another""#),
            When::First => step["when"] = json!(format!("exists($.parents.{})", parents[0])),
            When::Neither => step["when"] = json!("$.task.name > 1"),
        }
        if self.0[n].goes_on {
            step["on_error"] = json!("continue");
        }
        if *may_skip {
            step["may_skip"] = json!(true);
        }
        if *when_false {
            step["when_false"] = json!("complete");
        }
        let kind = match kind {
            Kind::Standard => return step,
            Kind::Decision => "decision",
            Kind::Deferred => "deferred",
            Kind::Batchable => "batchable",
            Kind::Worker(goes_on) => {
                step["failure_strategy"] =
                    json!(if *goes_on { "continue_on_failure" } else { "fail_fast" });
                "batch_worker"
            }
        };
        step["type"] = json!(kind);
        step
    }
}

/// A graph of `n` steps; a third of them do not grow.
pub fn graph(n: usize) -> impl Strategy<Value = Graph> {
    let kinds = prop_oneof![
        5 => Just(Kind::Standard),
        3 => Just(Kind::Decision),
        3 => Just(Kind::Deferred),
        3 => any::<bool>().prop_map(Kind::Worker),
    ];
    let step = (kinds, vec(any::<u16>(), 0..4), 1..4_i32);
    (vec(step, n), prop_oneof![1 => Just(false), 2 => Just(true)])
        .prop_map(|(steps, grows)| build(steps, grows))
}

/// A step depends on steps before it only: no cycles. The step before those of a batch is its
/// batchable.
fn build(steps: Vec<(Kind, Vec<u16>, i32)>, grows: bool) -> Graph {
    let mut nodes: Vec<Node> = Vec::new();
    for (n, (kind, chosen, max_attempts)) in steps.into_iter().enumerate() {
        let mut kind = if grows { kind } else { Kind::Standard };
        // What else a step has follows from it, so that a seed brings the same graphs as ever.
        let sum: u32 = chosen.iter().copied().map(u32::from).sum();
        let mut parents: Vec<usize> =
            chosen.into_iter().map(usize::from).filter(|_| n > 0).map(|c| c % n.max(1)).collect();
        parents.sort_unstable();
        parents.dedup();
        if let Kind::Worker(_) = kind {
            match nodes.last_mut() {
                // For the same batchable, which then has two.
                Some(Node { kind: Kind::Worker(_), parents: batchable, .. }) => {
                    parents = batchable.clone()
                }
                Some(before) => {
                    before.kind = Kind::Batchable;
                    parents = vec![n - 1];
                }
                None => kind = Kind::Standard,
            }
        }
        let mut node = Node {
            kind,
            on: vec![On::Complete; parents.len()],
            parents,
            goes_on: false,
            max_attempts,
            inputs: Inputs::None,
            when: When::Always,
            may_skip: false,
            when_false: false,
        };
        if !matches!(kind, Kind::Worker(_)) {
            if grows {
                fail(&nodes, &mut node, sum);
                condition(&nodes, &mut node, sum);
            }
            node.inputs = match sum % 11 {
                _ if node.parents.is_empty() => Inputs::None,
                0 => Inputs::Missing,
                1..6 => Inputs::Made,
                _ => Inputs::None,
            };
        }
        nodes.push(node);
    }
    let mut graph = Graph(nodes);
    fit(&mut graph);
    graph
}

/// How its parents must end, and whether it may fail.
fn fail(nodes: &[Node], node: &mut Node, sum: u32) {
    for (parent, on) in node.parents.iter().zip(&mut node.on) {
        *on = match (sum / 7 + *parent as u32) % 9 {
            _ if matches!(nodes[*parent].kind, Kind::Worker(_)) => On::Complete,
            0 => On::Failed,
            1 => On::Ended,
            _ => On::Complete,
        };
    }
    node.goes_on = sum / 5 % 8 == 3;
}

/// Whether it may be left out.
fn condition(nodes: &[Node], node: &mut Node, sum: u32) {
    match sum % 13 {
        0 => node.when = When::Is(true),
        1 | 2 => node.when = When::Is(false),
        3 => node.when = When::Neither,
        4 | 5 if !node.parents.is_empty() => node.when = When::First,
        6 => {
            node.may_skip = sum.is_multiple_of(2);
            // Beside the step before it, where that may be left out.
            if let Some(before) = nodes.last()
                && !matches!(before.when, When::Always | When::Otherwise)
                && !nodes.iter().any(|other| {
                    other.when == When::Otherwise
                        && (&other.parents, &other.on) == (&before.parents, &before.on)
                })
            {
                node.when = When::Otherwise;
                if before.kind == Kind::Deferred || node.kind == Kind::Deferred {
                    node.kind = before.kind;
                }
                node.parents = before.parents.clone();
                node.on = before.on.clone();
            }
        }
        7..9 => node.may_skip = true,
        _ => {}
    }
    node.when_false = (node.when != When::Always || node.may_skip) && (sum / 13).is_multiple_of(3);
}

/// Some steps have got their type only by those after them.
fn fit(graph: &mut Graph) {
    for n in 0..graph.0.len() {
        if graph.0[n].kind == Kind::Decision && graph.children(n).is_empty() {
            graph.0[n].kind = Kind::Standard;
        }
        // What follows is theirs to say.
        if graph.decides(n) {
            (graph.0[n].may_skip, graph.0[n].when_false) = (false, false);
            graph.0[n].goes_on = false;
        }
    }
    for n in 0..graph.0.len() {
        if graph.0[n].when == When::Otherwise && graph.sisters(n).is_empty() {
            graph.0[n].when = When::Always;
            graph.0[n].when_false &= graph.0[n].may_skip;
        }
    }
}
