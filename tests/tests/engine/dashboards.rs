//! The dashboard and the alert rules in ops/ use metrics that exist, with labels that they have.

use pgtasker_core::template::TemplateFile;
use pgtasker_tests::metrics_docs::{Documented, documented_metrics};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

/// Labels that Prometheus adds, and `le` of histograms.
const EVERYWHERE: [&str; 3] = ["instance", "job", "le"];

fn file(name: &str) -> String {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn dashboard() -> Value {
    serde_json::from_str(&file("grafana/tasker.json")).unwrap()
}

/// The reader of templates reads any YAML.
fn alerts() -> Vec<Value> {
    let text = file("prometheus/alerts.yml");
    let parsed =
        TemplateFile::parse("alerts.yml", &text).unwrap_or_else(|errors| panic!("{errors:?}"));
    let groups = parsed.definition()["groups"].as_array().unwrap().clone();
    groups.into_iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// What is wrong with an expression; nothing where all is well.
fn problems(expression: &str, metrics: &BTreeMap<String, Documented>) -> Vec<String> {
    let mut problems = Vec::new();
    if !is_balanced(expression) {
        problems.push("brackets or quotes do not match".to_owned());
    }
    let bare = without_strings(expression);
    let mut allowed: BTreeSet<&str> = EVERYWHERE.into();
    let mut used = 0;
    for (at, name) in words(&bare).filter(|(_, word)| word.starts_with("tasker_")) {
        used += 1;
        let Some((whole, documented)) = metric(name, metrics) else {
            problems.push(format!("{name} is not in docs/metrics.md, or not with this ending"));
            continue;
        };
        allowed.extend(documented.labels.iter().map(String::as_str));
        let rest = bare[at + name.len()..].trim_start();
        for label in selector(rest) {
            if !documented.labels.contains(&label) && !EVERYWHERE.contains(&label.as_str()) {
                problems.push(format!("{whole} has no label {label}"));
            }
        }
        let ranged = rest.trim_start_matches(|c| c != '[' && c != '}' && c != ' ' && c != ')');
        let ranged = ranged.trim_start_matches('}').starts_with('[') || rest.starts_with('[');
        if documented.kind == "gauge" && ranged {
            problems.push(format!("the gauge {name} is used like a counter"));
        }
    }
    if used == 0 {
        problems.push("no metric".to_owned());
    }
    for label in grouped(&bare) {
        if !allowed.contains(label.as_str()) {
            problems.push(format!("no metric here has the label {label}"));
        }
    }
    problems
}

/// The documented metric of this name; a histogram has series with endings, and none without.
fn metric<'a>(
    name: &'a str,
    metrics: &'a BTreeMap<String, Documented>,
) -> Option<(&'a str, &'a Documented)> {
    let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|ending| {
        let whole = name.strip_suffix(ending)?;
        metrics
            .get(whole)
            .filter(|documented| documented.kind == "histogram")
            .map(|found| (whole, found))
    });
    let plain = metrics.get(name).filter(|documented| documented.kind != "histogram");
    of_histogram.or(plain.map(|found| (name, found)))
}

fn is_balanced(expression: &str) -> bool {
    let mut open = Vec::new();
    for c in without_strings(expression).chars() {
        match c {
            '(' => open.push(')'),
            '{' => open.push('}'),
            '[' => open.push(']'),
            ')' | '}' | ']' if open.pop() != Some(c) => return false,
            _ => {}
        }
    }
    open.is_empty() && expression.matches('"').count().is_multiple_of(2)
}

/// With every string empty: what is in one is no part of the expression.
fn without_strings(expression: &str) -> String {
    let parts = expression.split('"').enumerate();
    let kept: Vec<&str> = parts.map(|(n, part)| if n % 2 == 0 { part } else { "" }).collect();
    kept.join("\"")
}

fn words(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.split(move |c| !is_part(c))
        .filter(|word| !word.is_empty())
        .map(move |word| (word.as_ptr() as usize - text.as_ptr() as usize, word))
}

/// The labels of the selector with which this begins, if it does.
fn selector(rest: &str) -> Vec<String> {
    let Some(inside) = rest.strip_prefix('{').and_then(|rest| rest.split('}').next()) else {
        return Vec::new();
    };
    let names = inside.split(',').filter_map(|pair| pair.split(['=', '!']).next());
    names.map(|name| name.trim().to_owned()).filter(|name| !name.is_empty()).collect()
}

/// The labels after `by`, `on`, and the like.
fn grouped(bare: &str) -> BTreeSet<String> {
    let mut labels = BTreeSet::new();
    for (at, word) in words(bare) {
        if !["by", "without", "on", "ignoring", "group_left", "group_right"].contains(&word) {
            continue;
        }
        let rest = bare[at + word.len()..].trim_start();
        if let Some(inside) = rest.strip_prefix('(').and_then(|rest| rest.split(')').next()) {
            labels.extend(
                inside
                    .split(',')
                    .map(|label| label.trim().to_owned())
                    .filter(|label| !label.is_empty()),
            );
        }
    }
    labels
}

/// Every `{{label}}` in a legend, and `{{ $labels.label }}` in an annotation.
fn mentioned(text: &str) -> Vec<String> {
    let inside = text.split("{{").skip(1).filter_map(|rest| rest.split("}}").next()).map(str::trim);
    inside
        .filter(|word| !word.starts_with("$value"))
        .map(|word| word.trim_start_matches("$labels.").to_owned())
        .collect()
}

/// The labels that the result of an expression can have: those it groups by, else those of its
/// metrics.
fn resulting(expression: &str, metrics: &BTreeMap<String, Documented>) -> BTreeSet<String> {
    let bare = without_strings(expression);
    let grouped = grouped(&bare);
    if !grouped.is_empty() || bare.starts_with("sum(") || bare.starts_with("absent(") {
        return grouped;
    }
    let own = words(&bare)
        .filter_map(|(_, word)| metric(word, metrics))
        .flat_map(|(_, found)| found.labels.clone());
    own.chain(["instance".to_owned(), "job".to_owned()]).collect()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .filter(|text| !text.is_empty())
        .unwrap_or_else(|| panic!("no {pointer} in {value}"))
}

#[test]
fn every_panel_of_the_dashboard_has_a_title_a_unit_and_expressions_that_hold() {
    let (metrics, dashboard) = (documented_metrics(), dashboard());
    let (mut ids, mut found, mut rows, mut drawn) = (BTreeSet::new(), Vec::new(), 0, String::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        let title = text(panel, "/title");
        assert!(ids.insert(panel["id"].as_i64().unwrap()), "two panels have the id of {title}");
        if text(panel, "/type") == "row" {
            rows += 1;
            continue;
        }
        text(panel, "/fieldConfig/defaults/unit");
        text(panel, "/description");
        assert_eq!(text(panel, "/datasource/uid"), "${datasource}", "{title}");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title}");
        for target in targets {
            let expression = text(target, "/expr");
            found.extend(
                problems(expression, &metrics)
                    .into_iter()
                    .map(|p| format!("{title}: {p}: {expression}")),
            );
            let labels = resulting(expression, &metrics);
            let legend = target["legendFormat"].as_str().unwrap_or_default();
            found.extend(
                mentioned(legend)
                    .into_iter()
                    .filter(|label| !labels.contains(label))
                    .map(|label| format!("{title}: the legend's {label}: {expression}")),
            );
            drawn.push_str(expression);
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert_eq!(rows, 8);
    let variables: Vec<&str> = dashboard["templating"]["list"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| text(v, "/name"))
        .collect();
    assert_eq!(variables, ["datasource", "namespace"]);
    let absent: Vec<&String> =
        metrics.keys().filter(|name| !drawn.contains(name.as_str())).collect();
    assert!(absent.len() < metrics.len() / 4, "most metrics are drawn, these are not: {absent:?}");
}

#[test]
fn panels_lie_side_by_side_within_the_width() {
    let dashboard = dashboard();
    let mut cells = BTreeSet::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|key| panel["gridPos"][key].as_u64().unwrap());
        assert!(x + w <= 24, "{}", panel["title"]);
        for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
            assert!(cells.insert(cell), "{} lies upon another", panel["title"]);
        }
    }
}

#[test]
fn every_alert_says_what_is_wrong_how_bad_it_is_and_what_to_do() {
    let (metrics, alerts) = (documented_metrics(), alerts());
    let (mut names, mut found) = (BTreeSet::new(), Vec::new());
    for alert in &alerts {
        let (name, expression) = (text(alert, "/alert"), text(alert, "/expr"));
        assert!(names.insert(name), "twice: {name}");
        assert!(["critical", "warning"].contains(&text(alert, "/labels/severity")), "{name}");
        let lasting = text(alert, "/for");
        assert!(
            lasting.ends_with(['s', 'm', 'h'])
                && lasting[..lasting.len() - 1].parse::<u32>().is_ok(),
            "{name}: {lasting}"
        );
        assert!(text(alert, "/annotations/description").len() > 60, "{name} says what to do");
        found.extend(
            problems(expression, &metrics)
                .into_iter()
                .map(|p| format!("{name}: {p}: {expression}")),
        );
        let labels = resulting(expression, &metrics);
        for part in ["/annotations/summary", "/annotations/description"] {
            let unknown =
                mentioned(text(alert, part)).into_iter().filter(|label| !labels.contains(label));
            found.extend(unknown.map(|label| format!("{name}: {part} names {label}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    assert!(alerts.len() > 10);
}

#[test]
fn a_wrong_expression_is_found() {
    let metrics = documented_metrics();
    for (expression, problem) in [
        ("tasker_tusks", "not in docs"),
        ("tasker_claim_seconds", "not with this ending"),
        ("tasker_healthy_total", "not in docs"),
        ("rate(tasker_claims_total_bucket[5m])", "not with this ending"),
        ("tasker_queue_depth{nmespace=\"a\"}", "has no label nmespace"),
        ("sum by (quue) (tasker_queue_depth)", "has the label quue"),
        ("sum(tasker_queue_depth", "do not match"),
        ("rate(tasker_queue_depth[5m])", "like a counter"),
        ("rate(tasker_queue_depth{queue=\"a\"}[5m])", "like a counter"),
        ("1 > 0", "no metric"),
    ] {
        let found = problems(expression, &metrics).join("; ");
        assert!(found.contains(problem), "{expression}: {found}");
    }
    let fine = "histogram_quantile(0.9, sum by (le, handler) \
        (rate(tasker_handler_seconds_bucket{handler=~\"a(b\"}[5m])))";
    assert_eq!(problems(fine, &metrics), [""; 0]);
}
