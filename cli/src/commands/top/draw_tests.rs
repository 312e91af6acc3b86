//! What `tasker top` shows, on screens of every size.

use super::*;
use chrono::TimeDelta;
use pgtasker_client::{
    DeadLetterCount, DeadLetterReason, DeadLetterStatus, QueueKind, WorkerOverview,
};
use std::time::Instant;
use uuid::Uuid;

fn queue(name: &str, namespace: Option<&str>, depth: i64) -> QueueOverview {
    QueueOverview {
        queue: name.to_owned(),
        namespace: namespace.map(str::to_owned),
        kind: if namespace.is_some() { QueueKind::Worker } else { QueueKind::Orchestration },
        depth,
        visible: depth,
        oldest_age_seconds: (depth > 0).then_some(2.5),
        total: 100,
        parked: 0,
        held: 0,
        max_depth: None,
        paused_at: None,
        pause_reason: None,
    }
}

fn worker(number: u128, alive: bool) -> WorkerOverview {
    let seen = Utc::now() - TimeDelta::seconds(if alive { 1 } else { 60 });
    WorkerOverview {
        worker_id: Uuid::from_u128(number),
        namespaces: vec!["shop".to_owned(), "mail".to_owned()],
        handlers: Vec::new(),
        host: Some("host-a".to_owned()),
        pid: Some(4711),
        version: Some("0.1.0".to_owned()),
        concurrency: Some(64),
        in_flight: Some(7),
        started_at: seen - TimeDelta::minutes(5),
        last_seen: seen,
        alive,
    }
}

/// Two queues of orchestrators, two of workers, of which one is paused; a worker that is alive and
/// one that is gone.
pub(in super::super) fn snapshot() -> Snapshot {
    let mut paused = queue("worker_shop_queue", Some("shop"), 1_234);
    (paused.held, paused.max_depth) = (56, Some(2_000));
    (paused.paused_at, paused.pause_reason) =
        (Some(Utc::now() - TimeDelta::minutes(3)), Some("ana: the bank is down".to_owned()));
    let dead = DeadLetterCount {
        reason: DeadLetterReason::BadMessage,
        status: DeadLetterStatus::Pending,
        entries: 3,
        oldest: Utc::now() - TimeDelta::hours(2),
    };
    let mut tasks = Tasks::none(Instant::now());
    (tasks.newest, tasks.complete, tasks.failed, tasks.unfinished) = (45, 40, 2, 3);
    Snapshot {
        at: Utc::now(),
        tasks,
        dead_letters: vec![dead],
        queues: vec![
            queue("orchestration_task_requests", None, 0),
            queue("orchestration_step_results", None, 0),
            queue("worker_mail_queue", Some("mail"), 0),
            paused,
        ],
        workers: vec![worker(1, true), worker(2, false)],
        taken: Instant::now(),
    }
}

fn view(snapshot: Snapshot) -> View {
    let mut view = View::default();
    let mut after = snapshot.clone();
    after.taken += Duration::from_secs(2);
    for queue in &mut after.queues {
        queue.total += 25;
    }
    view.add(snapshot);
    view.add(after);
    view
}

fn title(trouble: Option<&str>) -> Title {
    Title {
        target: "https://tasker.example/".to_owned(),
        interval: Duration::from_secs(1),
        trouble: trouble.map(str::to_owned),
    }
}

fn drawn(title: &Title, view: &View, width: usize, height: usize) -> Vec<String> {
    let lines = screen(title, view, width, height);
    lines.iter().map(|line| console::strip_ansi_codes(line).into_owned()).collect()
}

#[test]
fn a_page_shows_rates_queues_workers_tasks_and_dead_letters() {
    let text = page(&view(snapshot()), Look::PLAIN);
    let expected = "\
rates         12.5 tasks/s enqueued, 25.0 steps/s sent
queues        1,234 waiting, 56 held
workers       1 alive, 7 of 64 busy
tasks         3 unfinished, 40 complete, 2 failed in the last hour
dead letters  3 bad_message; the oldest 2 h ago

QUEUE                        DEPTH  OLDEST  SENT/S  HELD  LIMIT  PAUSED
orchestration_task_requests  0              12.5
orchestration_step_results   0              12.5
worker_mail_queue            0              12.5
worker_shop_queue            1,234  2.50 s  12.5    56    2,000  3 min ago ana: the bank is down

WORKER                                SEEN                   BUSY  NAMESPACES  HOST    PID   \
STARTED    VERSION
00000000-0000-0000-0000-000000000001  1 s ago                7/64  shop,mail   host-a  4711  5 \
min ago  0.1.0
00000000-0000-0000-0000-000000000002  1 min ago, not alive   7/64  shop,mail   host-a  4711  6 \
min ago  0.1.0";
    let squeezed = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(squeezed(&text), squeezed(expected), "{text}");
}

#[test]
fn no_screen_is_too_small() {
    let (title, view) = (title(Some("the database is away; for 3 s")), view(snapshot()));
    for width in [1, 2, 10, 40, 80, 200] {
        for height in [1, 2, 3, 7, 8, 9, 10, 12, 16, 24, 60] {
            let lines = drawn(&title, &view, width, height);
            assert!(lines.len() <= height, "{width}x{height}: {lines:?}");
            let widest =
                lines.iter().map(|line| console::measure_text_width(line)).max().unwrap_or(0);
            assert!(widest <= width, "{width}x{height}: {lines:?}");
        }
    }
    assert!(drawn(&title, &View::default(), 80, 24).len() == 2);
}

#[test]
fn what_has_no_room_is_counted_and_what_matters_stays() {
    let mut full = snapshot();
    full.queues.extend((0..50).map(|n| queue(&format!("worker_n{n}_queue"), Some("n"), 0)));
    full.workers.extend((3..60).map(|n| worker(n, true)));
    let lines = drawn(&title(None), &view(full), 120, 24);
    assert_eq!(lines.len(), 24, "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("worker_shop_queue")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.contains("✗ 1 min ago")), "{lines:#?}");
    let more: Vec<_> = lines.iter().filter(|line| line.starts_with("… ")).collect();
    assert_eq!(more.len(), 2, "{lines:#?}");
    let shown = |what: &str| lines.iter().filter(|line| line.contains(what)).count();
    assert!(
        more[0].contains(&format!("{} more", 54 - shown("_queue") - shown("orchestration_"))),
        "{lines:#?}"
    );
}

#[test]
fn trouble_is_said_and_the_last_look_stays() {
    let lines =
        drawn(&title(Some("cannot reach the database; for 2 s")), &view(snapshot()), 120, 40);
    assert_eq!(lines[1], "✗ cannot reach the database; for 2 s");
    assert!(lines.iter().any(|line| line.starts_with("worker_shop_queue")));
}

#[test]
fn rates_have_a_digit_behind_the_point_where_they_are_small() {
    assert_eq!(
        [0.0, 0.04, 12.34, 99.96, 12_345.6].map(rate),
        ["0.0", "0.0", "12.3", "100", "12,346"]
    );
}

#[test]
fn domain_events_that_wait_for_others_are_no_work_that_waits() {
    let mut snapshot = snapshot();
    let mut events = queue("shop_domain_events", Some("shop"), 4_321);
    events.kind = QueueKind::Events;
    snapshot.queues.push(events);
    let text = page(&view(snapshot), Look::PLAIN);
    assert!(text.contains("queues        1,234 waiting, 56 held; 4,321 domain events"), "{text}");
    assert!(text.contains("25.0 steps/s") && text.contains("shop_domain_events"), "{text}");
}
