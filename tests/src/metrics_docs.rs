//! The list of metrics in docs/metrics.md, as the tests compare it with what is exported, drawn,
//! and alerted on.

use std::{collections::BTreeMap, path::Path};

/// What the documentation says of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Documented {
    /// counter, gauge, or histogram.
    pub kind: String,
    /// The names of its labels, sorted.
    pub labels: Vec<String>,
}

/// The section of what only programs with an event consumer of their own export.
pub const OF_CONSUMERS: &str = "Consumers of events";
/// The section of what only workers of other languages export.
pub const OF_LANGUAGES: &str = "Handlers in other languages";

/// Every row of the tables, by the metric's name.
///
/// # Panics
/// A row has not five columns, or a metric has two rows.
pub fn documented_metrics() -> BTreeMap<String, Documented> {
    let all = documented_in(|_| true);
    assert!(all.len() > 30, "docs/metrics.md has tables");
    all
}

/// The rows of those sections whose headings are wanted.
///
/// # Panics
/// As [`documented_metrics`]; or no such section has rows.
pub fn documented_in(wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Documented> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
    let text = std::fs::read_to_string(file).unwrap();
    let mut all = BTreeMap::new();
    let mut section = "";
    for line in text.lines() {
        section = line.strip_prefix("## ").unwrap_or(section);
        if !line.starts_with("| `") || !wanted(section) {
            continue;
        }
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, kind, labels, _, meaning] = cells[..] else { panic!("five columns: {line}") };
        assert!(!meaning.is_empty(), "{line}");
        let mut labels: Vec<String> =
            labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned).collect();
        labels.sort();
        let before = all.insert(
            name.trim_matches('`').to_owned(),
            Documented { kind: kind.to_owned(), labels },
        );
        assert!(before.is_none(), "twice: {line}");
    }
    assert!(!all.is_empty(), "no rows");
    all
}
