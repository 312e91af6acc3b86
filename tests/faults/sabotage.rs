//! Shows that the checks can fail: the engine is broken on purpose, and the run must say so.

use pgtasker_tests::engine::break_function;
use sqlx::PgPool;

/// A name, the function, what in it becomes what, and what the run must then complain of.
pub const SABOTAGE: &[(&str, &str, &str, &str, &str)] = &[
    ("fence", "settle_free_steps", "s.claim_no = r.claim_no and ", "", "late submit"),
    (
        "effects",
        "run_sql_handler",
        "into v_result using p_argument;",
        "into v_result using p_argument; execute format('select %s($1)', v_call) using p_argument;",
        "had 2 effects",
    ),
    (
        "sending",
        "advance_tasks",
        "select s.sent, s.held into enqueued, held from tasker.send_or_hold(v_ready_tasks, \
         v_ready_steps, v_ready_held) s",
        "null",
        "stuck: task",
    ),
    (
        "checkpoint",
        "save_checkpoints",
        "checkpoint = h.checkpoint",
        "checkpoint = s.checkpoint",
        "times instead of once",
    ),
    ("verdicts", "judge_otherwise", "and not verdict.holds", "and verdict.holds", "instead of"),
    // Whatever was accepted.
    (
        "events",
        "send_events",
        "if p_accepted is null or not",
        "p_accepted := array(select generate_series(1, jsonb_array_length(p_results))); if not",
        "was refused, and its event",
    ),
    // Every other call.
    (
        "lost_events",
        "complete_steps",
        "tasker.send_events(p_results, v_done.numbers)",
        "tasker.send_events(p_results, v_done.numbers) where random() < 0.5",
        "no event step.done",
    ),
];

/// Breaks it in these ways, with commas between them; returns what must be found.
pub async fn commit(pool: &PgPool, names: &str) -> Vec<&'static str> {
    let mut findings = Vec::new();
    for name in names.split(',') {
        let known = SABOTAGE.iter().find(|(known, ..)| *known == name);
        let (_, function, from, to, finding) =
            known.unwrap_or_else(|| panic!("no sabotage {name}"));
        break_function(pool, function, from, to).await;
        findings.push(*finding);
    }
    findings
}

/// Whether all that was broken was found; says so.
pub fn found(violations: &[String], findings: &[&str]) -> bool {
    let mut all = true;
    for finding in findings {
        let said = violations.iter().filter(|violation| violation.contains(finding)).count();
        let was = if said > 0 { "found" } else { "NOT found" };
        println!(
            "faults: broken on purpose, and \"{finding}\" was {was} ({said} of {} violations)",
            violations.len()
        );
        all &= said > 0;
    }
    all
}
