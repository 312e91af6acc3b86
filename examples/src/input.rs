//! What several examples take.

use serde::Deserialize;
use serde_json::Value;

/// The context of the four graphs over the numbers 1 to n.
#[derive(Deserialize)]
pub(crate) struct Input {
    /// From 1 to 1000: the templates' input_schema says so, and the sums stay within 64 bits.
    pub(crate) n: i64,
}

impl Input {
    /// Reads a context that the input_schema lets pass.
    pub(crate) fn of(context: &Value) -> Self {
        Self { n: context["n"].as_i64().unwrap_or_default() }
    }
}
