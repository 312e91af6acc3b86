//! What a key or token allows.

use serde::Deserialize;
use std::{fmt, str::FromStr};

macro_rules! permissions {
    ($(#[doc = $doc:literal] $name:ident = $text:literal),+ $(,)?) => {
        /// One permission.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Permission { $(#[doc = $doc] $name),+ }

        impl Permission {
            /// Every permission.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// As keys and tokens name it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// What the permission allows.
            pub fn explain(self) -> &'static str {
                match self { $(Self::$name => $doc),+ }
            }
        }
    };
}

permissions! {
    /// enqueue tasks
    TasksCreate = "tasks:create",
    /// tasks, their steps, results, audit, and events; domain events
    TasksRead = "tasks:read",
    /// cancel tasks
    TasksCancel = "tasks:cancel",
    /// retry, reset, and resolve tasks
    TasksWrite = "tasks:write",
    /// retry and resolve steps
    StepsWrite = "steps:write",
    /// read templates and check definitions
    TemplatesRead = "templates:read",
    /// apply and use templates
    TemplatesWrite = "templates:write",
    /// pause, resume, and limit namespaces
    QueuesWrite = "queues:write",
    /// read dead letters
    DeadLettersRead = "dead_letters:read",
    /// add, update, and retry dead letters
    DeadLettersWrite = "dead_letters:write",
    /// queues, namespaces, workers, settings, staleness, analytics, health, metrics
    SystemRead = "system:read",
    /// prune, change settings
    SystemWrite = "system:write",
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Permission {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.iter().copied().find(|permission| permission.as_str() == text).ok_or_else(|| {
            let all: Vec<&str> = Self::ALL.iter().map(|permission| permission.as_str()).collect();
            format!("{text:?} is not a permission; the permissions are *, {}", all.join(", "))
        })
    }
}

/// What someone may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permissions {
    /// Everything: `*`.
    All,
    /// Only these.
    Some(Vec<Permission>),
}

impl Permissions {
    /// Whether it is among them.
    pub fn allow(&self, permission: Permission) -> bool {
        match self {
            Self::All => true,
            Self::Some(permissions) => permissions.contains(&permission),
        }
    }

    /// From the words of a token; those of other programs are passed over.
    pub fn known<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let mut permissions = Vec::new();
        for word in words {
            if word == "*" {
                return Self::All;
            }
            permissions.extend(word.parse::<Permission>().ok());
        }
        Self::Some(permissions)
    }
}

impl<'de> Deserialize<'de> for Permissions {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let words = Vec::<String>::deserialize(from)?;
        if words.iter().any(|word| word == "*") {
            return Ok(Self::All);
        }
        let permissions: Result<Vec<Permission>, String> =
            words.iter().map(|word| word.parse()).collect();
        permissions.map(Self::Some).map_err(serde::de::Error::custom)
    }
}
