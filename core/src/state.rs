//! The two state machines. The same rules stand in the database (`tasker.task_moves`,
//! `tasker.step_moves`), which enforces them; a test compares the two.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! states {
    (
        $(#[doc = $doc:literal])*
        $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }
    ) => {
        $(#[doc = $doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// One that a newer database has; this program does not know it.
            #[serde(other)]
            Unknown,
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .description(Some(concat!($($doc),*).trim()))
                    .enum_values(Some(Self::ALL.iter().map(|state| state.as_str())))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}

        impl $name {
            /// Every state that this program knows, in the order of the lifecycle.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name used in the database and in JSON.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ Self::Unknown => "unknown" }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|s| s.as_str() == text)
                    .ok_or_else(|| format!("{text} is not a state; the states are: {}",
                        Self::ALL.iter().map(|s| s.as_str()).collect::<Vec<_>>().join(", ")))
            }
        }
    };
}

states! {
    /// The twelve states of a task.
    TaskState {
        /// Enqueued, not yet seen by an orchestrator.
        Pending = "pending",
        /// Its steps are being created.
        Initializing = "initializing",
        /// Its ready steps are being sent to their queue.
        EnqueuingSteps = "enqueuing_steps",
        /// At least one step is enqueued, running, or waiting for its result to be processed.
        StepsInProcess = "steps_in_process",
        /// Results are being processed.
        EvaluatingResults = "evaluating_results",
        /// Ready steps are held back: a start time in the future, a paused or full namespace.
        WaitingForDependencies = "waiting_for_dependencies",
        /// All that can run waits for its backoff.
        WaitingForRetry = "waiting_for_retry",
        /// A step failed for good and nothing else can move.
        BlockedByFailures = "blocked_by_failures",
        /// Every step is complete.
        Complete = "complete",
        /// Failed for good.
        Error = "error",
        /// Cancelled by a person or a program.
        Cancelled = "cancelled",
        /// Settled by an operator.
        ResolvedManually = "resolved_manually",
    }
}

states! {
    /// The eight states of a step.
    StepState {
        /// Waits for its dependencies, a retry, or its start time.
        Pending = "pending",
        /// Its message is in the queue of its namespace.
        Enqueued = "enqueued",
        /// Claimed by a worker.
        InProgress = "in_progress",
        /// Its result is stored and waits for an orchestrator.
        EnqueuedForOrchestration = "enqueued_for_orchestration",
        /// Done.
        Complete = "complete",
        /// Failed for good.
        Error = "error",
        /// Cancelled with its task.
        Cancelled = "cancelled",
        /// Settled by an operator.
        ResolvedManually = "resolved_manually",
    }
}

impl TaskState {
    /// No move leads out of these except an operator's reset of `error`.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Error | Self::Cancelled | Self::ResolvedManually)
    }

    /// Whether a single hop from `self` to `to` is legal.
    pub fn may_move_to(self, to: Self) -> bool {
        use TaskState::*;
        if self != Unknown && matches!(to, Cancelled | ResolvedManually) {
            return !self.is_terminal();
        }
        match self {
            Unknown => false,
            Pending => to == Initializing,
            Initializing => {
                matches!(to, EnqueuingSteps | Complete | WaitingForDependencies | Error)
            }
            EnqueuingSteps => matches!(to, StepsInProcess | Error),
            StepsInProcess => to == EvaluatingResults,
            EvaluatingResults => matches!(
                to,
                EnqueuingSteps
                    | StepsInProcess
                    | WaitingForDependencies
                    | WaitingForRetry
                    | BlockedByFailures
                    | Error
                    | Complete
            ),
            WaitingForDependencies => to == EvaluatingResults,
            WaitingForRetry => matches!(to, EnqueuingSteps | EvaluatingResults),
            BlockedByFailures => matches!(to, EvaluatingResults | Error),
            Error => matches!(to, Pending | EnqueuingSteps),
            Complete | Cancelled | ResolvedManually => false,
        }
    }
}

impl StepState {
    /// Complete, error, cancelled, or resolved manually.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Complete | Self::Error | Self::Cancelled | Self::ResolvedManually)
    }

    /// `complete` and `resolved_manually` satisfy dependencies.
    pub fn satisfies_dependencies(self) -> bool {
        matches!(self, Self::Complete | Self::ResolvedManually)
    }

    /// Whether a single hop from `self` to `to` is legal. `in_progress` to itself is a new claim
    /// after a lease ran out.
    pub fn may_move_to(self, to: Self) -> bool {
        use StepState::*;
        match (self, to) {
            (Pending, Enqueued | Complete)
            | (Enqueued, InProgress)
            | (InProgress, InProgress | EnqueuedForOrchestration | Pending)
            | (EnqueuedForOrchestration, Complete | Pending | Error)
            | (Error | Cancelled, Pending) => true,
            (Unknown, _) => false,
            (from, Cancelled) => !from.is_terminal(),
            (from, ResolvedManually) => !matches!(from, Complete | ResolvedManually),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_of_a_newer_database_can_be_read() {
        assert_eq!(serde_json::from_str::<TaskState>("\"frozen\"").unwrap(), TaskState::Unknown);
        assert_eq!(serde_json::from_str::<StepState>("\"frozen\"").unwrap(), StepState::Unknown);
        assert_eq!(serde_json::from_str::<StepState>("\"error\"").unwrap(), StepState::Error);
        assert!("unknown".parse::<TaskState>().is_err());
    }
}
