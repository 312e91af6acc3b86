//! What may happen, and how a case is made up.

use proptest::{collection::vec, prelude::*};

/// One thing that happens. Numbers choose among what there is, modulo its size.
#[derive(Debug, Clone)]
pub enum Action {
    /// A worker claims all it can.
    Claim,
    /// It submits a result by the queue: of any claim it ever had, so late and repeated ones too.
    Submit(usize, Outcome),
    /// It submits results by the fast way, and claims what follows: up to so many.
    Complete(Vec<(usize, Outcome)>, usize),
    /// It completes all it holds.
    CompleteAll,
    /// It gives a claim back.
    Release(usize),
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
    /// Or one of its steps.
    ResolveStep(usize),
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
    /// Success.
    Success,
    /// A failure that may be tried again.
    Retryable,
    /// One that may not.
    Permanent,
}

/// A graph and what happens to a task of it.
#[derive(Debug, Clone)]
pub struct Case {
    /// Of each step those before it that it waits for.
    pub parents: Vec<Vec<usize>>,
    /// Of each step.
    pub max_attempts: Vec<i32>,
    /// on_failure: fail; else block.
    pub fail: bool,
    /// In this order.
    pub actions: Vec<Action>,
}

/// Mostly small graphs, some of fifty steps.
pub fn case() -> impl Strategy<Value = Case> {
    let steps = prop_oneof![6 => 1..8_usize, 3 => 8..20_usize, 1 => 20..=50_usize];
    steps
        .prop_flat_map(|n| {
            let step = (vec(any::<u16>(), 0..4), 1..4_i32);
            (vec(step, n), any::<bool>(), vec(action(), 0..(20 + 2 * n)))
        })
        .prop_map(|(steps, fail, actions)| {
            let (parents, max_attempts) = steps.into_iter().unzip();
            Case { parents: graph(parents), max_attempts, fail, actions }
        })
}

/// A step depends on steps before it only: no cycles.
fn graph(choices: Vec<Vec<u16>>) -> Vec<Vec<usize>> {
    let parents = |(n, chosen): (usize, Vec<u16>)| {
        let mut parents: Vec<usize> =
            chosen.into_iter().map(usize::from).filter(|_| n > 0).map(|c| c % n.max(1)).collect();
        parents.sort_unstable();
        parents.dedup();
        parents
    };
    choices.into_iter().enumerate().map(parents).collect()
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![6 => Just(Outcome::Success), 2 => Just(Outcome::Retryable), 1 => Just(Outcome::Permanent)]
}

fn action() -> impl Strategy<Value = Action> {
    let which = any::<u8>().prop_map(usize::from);
    prop_oneof![
        8 => Just(Action::Claim),
        8 => (which.clone(), outcome()).prop_map(|(claim, outcome)| Action::Submit(claim, outcome)),
        8 => (vec((which.clone(), outcome()), 1..4), 0..4_usize).prop_map(|(results, claim)| Action::Complete(results, claim)),
        3 => Just(Action::CompleteAll),
        2 => which.clone().prop_map(Action::Release),
        2 => Just(Action::Expire),
        8 => Just(Action::Process),
        5 => Just(Action::Sweep),
        1 => Just(Action::Pause),
        2 => Just(Action::Resume),
        1 => prop_oneof![Just(Action::Cancel), Just(Action::ResolveTask)].boxed(),
        2 => which.clone().prop_map(Action::ResolveStep),
        2 => which.prop_map(Action::RetryStep),
        1 => Just(Action::Reset),
        1 => Just(Action::RetryTasks),
    ]
}
