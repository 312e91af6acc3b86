//! Words that the database answers with and that are not states: each kind once. What a newer
//! database says is [`Other`](DeadLetterStatus::Other), so that an older program can still read and
//! show it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sqlx::{Decode, Postgres, Type, error::BoxDynError, postgres::PgValueRef};
use std::{fmt, str::FromStr};

macro_rules! words {
    (
        $(#[$doc:meta])*
        $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$vdoc])* $variant,)+
            /// A word that this program does not know.
            Other(String),
        }

        impl $name {
            /// Every word that this program knows.
            pub const NAMES: &'static [&'static str] = &[$($text),+];

            /// The word used in the database and in JSON.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $text,)+
                    Self::Other(text) => text,
                }
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                match text {
                    $($text => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl FromStr for $name {
            type Err = String;

            /// What people may ask for: the words that this program knows.
            fn from_str(text: &str) -> Result<Self, String> {
                match Self::from(text) {
                    Self::Other(text) => {
                        Err(format!("{text:?} is not one of: {}", Self::NAMES.join(", ")))
                    }
                    known => Ok(known),
                }
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                text.as_str().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                String::deserialize(from).map(Self::from)
            }
        }

        impl Type<Postgres> for $name {
            fn type_info() -> sqlx::postgres::PgTypeInfo {
                <str as Type<Postgres>>::type_info()
            }

            fn compatible(of: &sqlx::postgres::PgTypeInfo) -> bool {
                <str as Type<Postgres>>::compatible(of)
            }
        }

        impl<'r> Decode<'r, Postgres> for $name {
            fn decode(value: PgValueRef<'r>) -> Result<Self, BoxDynError> {
                <&str as Decode<Postgres>>::decode(value).map(Self::from)
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    .enum_values(Some(Self::NAMES.iter().copied()))
                    .into()
            }
        }

        #[cfg(feature = "openapi")]
        impl utoipa::ToSchema for $name {}
    };
}

words! {
    /// Why an entry was put among the dead letters.
    DeadLetterReason {
        /// A retryable failure after the last attempt.
        MaxRetriesExceeded = "max_retries_exceeded",
        /// A failure that says that no attempt would help.
        PermanentFailure = "permanent_failure",
        /// A task has stood in a state for longer than it may.
        StalenessTimeout = "staleness_timeout",
        /// No live worker has the step's handler.
        WorkerUnavailable = "worker_unavailable",
        /// A message that nobody can use.
        BadMessage = "bad_message",
        /// Put there by a person.
        Manual = "manual",
    }
}

words! {
    /// Where a dead letter stands.
    DeadLetterStatus {
        /// Someone must look at it.
        Pending = "pending",
        /// Someone has dealt with it.
        ManuallyResolved = "manually_resolved",
        /// Nothing can be done.
        PermanentFailure = "permanent_failure",
        /// No longer wanted.
        Cancelled = "cancelled",
        /// Its task went on and ended well. Set by the engine only.
        EndedWell = "ended_well",
    }
}

words! {
    /// What a queue is for.
    QueueKind {
        /// Steps of a namespace.
        Worker = "worker",
        /// Requests and results, which orchestrators read.
        Orchestration = "orchestration",
        /// Domain events of a namespace.
        Events = "events",
    }
}

words! {
    /// A task's time in its state against the state's threshold.
    HowStale {
        /// Under 80 % of it.
        Healthy = "healthy",
        /// From 80 % of it.
        Warning = "warning",
        /// Over it.
        Stale = "stale",
    }
}

words! {
    /// What the database says of a claim when its result is submitted, when it is released or
    /// extended, or when it is to run alone.
    ClaimStatus {
        /// The result is stored.
        Accepted = "accepted",
        /// The result was stored before.
        Duplicate = "duplicate",
        /// Another claim has the step, or the step is settled.
        Stale = "stale",
        /// Another transaction holds the step: nothing was done, ask again.
        Busy = "busy",
        /// The result cannot be stored.
        Rejected = "rejected",
        /// A step that followed is this worker's.
        Claimed = "claimed",
        /// The step was given back.
        Released = "released",
        /// The lease was extended.
        Extended = "extended",
        /// The step was cancelled with its task.
        Cancelled = "cancelled",
        /// It may run alone.
        Alone = "alone",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_word_is_kept() {
        let read: DeadLetterStatus = serde_json::from_str("\"shelved\"").unwrap();
        assert_eq!(read, DeadLetterStatus::Other("shelved".to_owned()));
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"shelved\"");
        for name in DeadLetterStatus::NAMES {
            assert_eq!(name.parse::<DeadLetterStatus>().unwrap().as_str(), *name);
        }
        assert!("shelved".parse::<DeadLetterStatus>().unwrap_err().contains("ended_well"));
    }
}
