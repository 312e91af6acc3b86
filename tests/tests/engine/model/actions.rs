//! What may happen, and how a case is made up.

use super::graph::{Graph, graph};
use proptest::{collection::vec, prelude::*};

/// One thing that happens. Numbers choose among what there is, modulo its size.
#[derive(Debug, Clone)]
pub enum Action {
    /// A worker claims all it can.
    Claim,
    /// It submits a result by the queue: of any claim it ever had, so late and repeated ones too.
    Submit(usize, Outcome),
    /// It submits results by the fast way, and claims what follows: up to this many.
    Complete(Vec<(usize, Outcome)>, usize),
    /// It ends most of what it holds by the fast way, in the ways that this number says: mostly
    /// well.
    CompleteAll(u16),
    /// It gives a claim back.
    Release(usize),
    /// It gives a claim back that an outage took from it.
    Lose(usize),
    /// It says that a claim runs alone.
    RunAlone(usize),
    /// Every lease runs out.
    Expire,
    /// The orchestrator takes all results.
    Process,
    /// The sweep sends what is due.
    Sweep,
    /// The namespace is paused.
    Pause,
    /// And goes on.
    Resume,
    /// Somebody cancels the task.
    Cancel,
    /// Or resolves it.
    ResolveTask,
    /// Or one of its steps, with an outcome or without.
    ResolveStep(usize, Option<Outcome>),
    /// A step is to run again.
    RetryStep(usize),
    /// A task in error begins again.
    Reset,
    /// All failed tasks of the template go on.
    RetryTasks,
}

/// What a handler says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Outcome {
    /// What its step is there for: a success, or children and cursors chosen by this number.
    Fitting(u16),
    /// A plain success, from those too that have to decide.
    Plain,
    /// A choice of what its step has not: a decision with this name, a batch with this worker.
    Foreign(&'static str),
    /// So far, and not at the end.
    Checkpoint(u8),
    /// A failure that may be tried again.
    Retryable,
    /// One that may not.
    Permanent,
}

/// A graph and what happens to a task of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its steps.
    pub graph: Graph,
    /// on_failure: fail; else block.
    pub fail: bool,
    /// In this order.
    pub actions: Vec<Action>,
}

/// Mostly small graphs, some of fifty steps.
pub fn case() -> impl Strategy<Value = Case> {
    let steps = prop_oneof![6 => 1..8_usize, 3 => 8..20_usize, 1 => 20..=50_usize];
    steps
        .prop_flat_map(|n| (graph(n), any::<bool>(), vec(action(), 0..(20 + 2 * n))))
        .prop_map(|(graph, fail, actions)| Case { graph, fail, actions })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        12 => any::<u16>().prop_map(Outcome::Fitting),
        2 => Just(Outcome::Plain),
        1 => prop_oneof![Just("s00"), Just("nobody")].prop_map(Outcome::Foreign),
        3 => (0..5_u8).prop_map(Outcome::Checkpoint),
        4 => Just(Outcome::Retryable),
        2 => Just(Outcome::Permanent),
    ]
}

fn resolution() -> impl Strategy<Value = Option<Outcome>> {
    prop_oneof![
        3 => Just(None),
        3 => any::<u16>().prop_map(|n| Some(Outcome::Fitting(n))),
        1 => outcome().prop_map(Some),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let which = any::<u8>().prop_map(usize::from);
    prop_oneof![
        8 => Just(Action::Claim),
        8 => (which.clone(), outcome()).prop_map(|(claim, outcome)| Action::Submit(claim, outcome)),
        8 => (vec((which.clone(), outcome()), 1..4), 0..4_usize)
            .prop_map(|(results, claim)| Action::Complete(results, claim)),
        3 => any::<u16>().prop_map(Action::CompleteAll),
        2 => which.clone().prop_map(Action::Release),
        1 => which.clone().prop_map(Action::Lose),
        1 => which.clone().prop_map(Action::RunAlone),
        4 => Just(Action::Expire),
        8 => Just(Action::Process),
        5 => Just(Action::Sweep),
        1 => Just(Action::Pause),
        2 => Just(Action::Resume),
        1 => prop_oneof![Just(Action::Cancel), Just(Action::ResolveTask)].boxed(),
        2 => (which.clone(), resolution())
            .prop_map(|(step, outcome)| Action::ResolveStep(step, outcome)),
        2 => which.prop_map(Action::RetryStep),
        1 => Just(Action::Reset),
        1 => Just(Action::RetryTasks),
    ]
}
