//! The graphs of the benchmark, all of no-op steps.

use clap::ValueEnum;
use serde_json::{Value, json};

/// A graph to measure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Workflow {
    /// A chain of four steps.
    Linear,
    /// Four steps: one, two in parallel, one.
    Diamond,
    /// Eight steps: a root, two branches, four leaves, one convergence.
    Tree,
    /// Seven steps with several paths.
    Dag,
    /// One task with a batch of --instances steps, next to the linear benchmark.
    Batch,
}

impl Workflow {
    /// Steps in one task.
    pub fn steps(self) -> u32 {
        self.edges().len() as u32
    }

    /// The name of the template.
    pub fn name(self) -> &'static str {
        match self {
            Self::Linear => "linear",
            Self::Diamond => "diamond",
            Self::Tree => "tree",
            Self::Dag => "dag",
            Self::Batch => "batch",
        }
    }

    /// Each step with what it depends on.
    fn edges(self) -> &'static [(&'static str, &'static [&'static str])] {
        match self {
            Self::Linear => &[("a", &[]), ("b", &["a"]), ("c", &["b"]), ("d", &["c"])],
            Self::Diamond => &[("a", &[]), ("b", &["a"]), ("c", &["a"]), ("d", &["b", "c"])],
            Self::Tree => &[
                ("root", &[]),
                ("left", &["root"]),
                ("right", &["root"]),
                ("leaf_a", &["left"]),
                ("leaf_b", &["left"]),
                ("leaf_c", &["right"]),
                ("leaf_d", &["right"]),
                ("join", &["leaf_a", "leaf_b", "leaf_c", "leaf_d"]),
            ],
            Self::Dag => &[
                ("a", &[]),
                ("b", &["a"]),
                ("c", &["a"]),
                ("d", &["b", "c"]),
                ("e", &["b"]),
                ("f", &["c"]),
                ("g", &["d", "e", "f"]),
            ],
            // See batch.rs: how many steps it has is said by its own task.
            Self::Batch => &[("cut", &[]), ("item", &["cut"]), ("total", &["item"])],
        }
    }

    /// The template, as `tasker.apply_template` takes it.
    pub fn definition(self, namespace: &str) -> Value {
        let steps: Vec<Value> = self
            .edges()
            .iter()
            .map(|(name, parents)| {
                json!({"name": name, "dependencies": parents, "handler": {"callable": "noop"}})
            })
            .collect();
        json!({"namespace": namespace, "name": self.name(), "version": "1", "steps": steps})
    }
}
