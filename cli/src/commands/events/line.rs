//! How an event is shown: a line for people, or its JSON.

use crate::{
    error::Result,
    output::{self, Look},
    units,
};
use chrono::{DateTime, Local, Utc};
use console::style;
use pgtasker_client::QueuedEvent;

/// Names are aligned up to this many columns.
const WIDEST: usize = 36;

/// Prints events. The column of names is as wide as the widest so far.
#[derive(Debug)]
pub struct Lines {
    json: bool,
    look: Look,
    names: usize,
}

impl Lines {
    /// For standard output of this look.
    pub fn new(json: bool, look: Look) -> Self {
        Self { json, look, names: 0 }
    }

    /// Prints each event in a line.
    ///
    /// # Errors
    /// As [`output::print`].
    pub fn print(&mut self, events: &[QueuedEvent]) -> Result<()> {
        let lines: Vec<String> = events.iter().map(|event| self.line(event)).collect();
        if lines.is_empty() { Ok(()) } else { output::print(&lines.join("\n")) }
    }

    fn line(&mut self, queued: &QueuedEvent) -> String {
        if self.json {
            return queued.event.to_string();
        }
        let Some(event) = queued.domain_event() else {
            let what = style("no event of a step").dim().to_string();
            return self.cut(&format!(
                "{}  {what}  {}",
                when(queued.enqueued_at),
                plain(&queued.event.to_string())
            ));
        };
        let name = plain(&format!("{} v{}", event.name, event.version));
        self.names = self.names.max(console::measure_text_width(&name).min(WIDEST));
        let name = console::pad_str(&name, self.names, console::Alignment::Left, None).into_owned();
        let (name, time) = match self.look.terminal {
            true => (style(name).bold().to_string(), style(when(event.time)).dim().to_string()),
            false => (name, when(event.time)),
        };
        let (step, payload) = (plain(&event.step), plain(&event.payload.to_string()));
        self.cut(&format!("{time}  {name}  {}  {step}  {payload}", event.task_id))
    }

    fn cut(&self, line: &str) -> String {
        match self.look.width {
            Some(width) => console::truncate_str(line, width.into(), "…").into_owned(),
            None => line.to_owned(),
        }
    }
}

/// The time of day; with the date where it is not today's.
fn when(at: DateTime<Utc>) -> String {
    let is_today = at.with_timezone(&Local).date_naive() == Local::now().date_naive();
    if is_today { units::clock(at) } else { units::local(at) }
}

/// Without what a terminal would obey.
fn plain(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || output::is_hidden(c) { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn queued(event: Value) -> QueuedEvent {
        QueuedEvent { msg_id: 1, enqueued_at: Utc::now(), read_ct: 0, event }
    }

    fn event(name: &str, payload: Value) -> QueuedEvent {
        queued(json!({
            "id": "019ab3c0-0000-7000-8000-000000000001",
            "name": name,
            "version": "1.0",
            "namespace": "shop",
            "template": "order",
            "task_id": "019ab3c0-0000-7000-8000-000000000002",
            "step": "pay",
            "claim_no": 1,
            "correlation_id": null,
            "traceparent": null,
            "time": "2026-01-31T09:00:00.123Z",
            "payload": payload,
            "metadata": null,
        }))
    }

    fn wide(width: u16) -> Lines {
        Lines::new(false, Look { terminal: false, width: Some(width) })
    }

    #[test]
    fn a_line_has_what_was_announced_by_whom() {
        let line =
            Lines::new(false, Look::PLAIN).line(&event("payment.processed", json!({"amount": 7})));
        let (date, rest) = line.split_at(10);
        assert!(date.starts_with("2026-01-3"), "{line}");
        assert!(
            rest.ends_with(
                "  payment.processed v1.0  019ab3c0-0000-7000-8000-000000000002  pay  \
                 {\"amount\":7}"
            ),
            "{line}"
        );
        let today = QueuedEvent { event: json!([7]), ..event("a", json!(1)) };
        let line = Lines::new(false, Look::PLAIN).line(&today);
        assert!(line.ends_with("  no event of a step  [7]") && !line.starts_with("20"), "{line}");
    }

    #[test]
    fn a_line_is_cut_to_the_terminal_and_json_never() {
        let long = event("payment.processed", json!({"text": "ü".repeat(500)}));
        let line = wide(100).line(&long);
        assert_eq!(
            (console::measure_text_width(&line), line.ends_with('…')),
            (100, true),
            "{line}"
        );
        let json = Lines::new(true, Look { terminal: true, width: Some(20) }).line(&long);
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), long.event);
        assert!(!json.contains('\n'));
    }

    #[test]
    fn names_stand_below_each_other() {
        let mut lines = wide(200);
        let column = |line: &str| line.find("019ab3c0").unwrap();
        let first = column(&lines.line(&event("payment.processed", json!(1))));
        assert_eq!(column(&lines.line(&event("paid", json!(1)))), first);
    }

    #[test]
    fn nothing_in_an_event_moves_the_cursor() {
        let mut sly = event("a", json!("\u{9b}2J"));
        sly.event["version"] = json!("\u{1b}[2J");
        let line = wide(200).line(&sly);
        assert!(!line.chars().any(char::is_control), "{line:?}");
    }
}
