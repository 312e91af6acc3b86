//! Lists in pages, and analytics: what operators look for among many tasks.

use pgtasker_client::{
    By, DeadLetterFilter, DeadLetterStatus, NewTask, Page, Sample, StepFilter, TaskSelection, calls,
};
use pgtasker_core::{Error, StepState, TaskState};
use pgtasker_tests::engine::Engine;
use serde_json::{Value, json};
use std::{collections::HashSet, time::Duration};
use uuid::Uuid;

fn page(after: Option<String>, limit: u32) -> Page {
    Page { after, limit }
}

fn code(error: &Error) -> String {
    error.sqlstate().unwrap_or_default()
}

#[tokio::test]
async fn pages_of_tasks_give_each_once_while_new_ones_come() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let ids = calls::enqueue_tasks(e.pool(), "test", "flow", &vec![json!({}); 7]).await.unwrap();
    let all = TaskSelection::default();
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let listed = calls::list_tasks(e.pool(), &all, &page(after, 3)).await.unwrap();
        seen.extend(listed.items.iter().map(|task| task.task_id));
        pages += 1;
        // Newer than the first page: on none of the others.
        e.enqueue(json!({})).await;
        match listed.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!((pages, seen), (3, ids.into_iter().rev().collect::<Vec<_>>()));
}

#[tokio::test]
async fn tasks_are_found_by_all_that_a_selection_can_say() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let correlation = Uuid::new_v4();
    let wanted = calls::enqueue_task(
        e.pool(),
        &NewTask { correlation_id: Some(correlation), ..NewTask::new("test", "flow") },
    )
    .await
    .unwrap();
    let other = e.enqueue(json!({})).await;
    calls::cancel_task(e.pool(), other, By::default()).await.unwrap();
    let found = async |which: TaskSelection| {
        let listed = calls::list_tasks(e.pool(), &which, &Page::first(10)).await.unwrap();
        listed.items.into_iter().map(|task| task.task_id).collect::<Vec<_>>()
    };
    let by_correlation =
        TaskSelection { correlation_id: Some(correlation), ..TaskSelection::default() };
    assert_eq!(found(by_correlation).await, [wanted]);
    let open = TaskSelection {
        states: Some(vec![TaskState::Pending, TaskState::Error]),
        ..TaskSelection::default()
    };
    assert_eq!(found(open).await, [wanted]);
    let both = TaskSelection {
        states: Some(vec![TaskState::Pending, TaskState::Cancelled]),
        ..TaskSelection::default()
    };
    assert_eq!(found(both).await, [other, wanted]);
}

#[tokio::test]
async fn a_page_that_cannot_be_is_refused() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let task_id = e.start().await;
    let pool = e.pool();
    let odd = Some("'; drop table".to_owned());
    let tasks = calls::list_tasks(pool, &TaskSelection::default(), &page(odd.clone(), 5)).await;
    assert_eq!(code(&tasks.unwrap_err()), "TK008");
    let none = Page { after: None, limit: u32::MAX };
    assert_eq!(
        code(&calls::list_tasks(pool, &TaskSelection::default(), &none).await.unwrap_err()),
        "TK008"
    );
    let steps = calls::list_steps(pool, task_id, &StepFilter::default(), &page(odd, 5)).await;
    assert_eq!(code(&steps.unwrap_err()), "TK032");
    let steps = calls::list_steps(pool, Uuid::nil(), &StepFilter::default(), &Page::first(5)).await;
    assert_eq!(code(&steps.unwrap_err()), "TK004");
    assert_eq!(code(&calls::show_step(pool, task_id, "z").await.unwrap_err()), "TK032");
    assert_eq!(code(&calls::show_step(pool, Uuid::nil(), "a").await.unwrap_err()), "TK004");
    let gone = page(Some(Uuid::nil().to_string()), 5);
    let letters = calls::list_dead_letters(pool, &DeadLetterFilter::default(), &gone).await;
    assert_eq!(code(&letters.unwrap_err()), "TK040");
}

#[tokio::test]
async fn pages_of_steps_go_from_the_roots_through_all_instances_by_number() {
    let e = Engine::new().await;
    e.apply(json!({
        "namespace": "test",
        "name": "flow",
        "version": "1",
        "steps": [
            {"name": "cut", "type": "batchable", "handler": {"callable": "noop"}},
            {
                "name": "part",
                "type": "batch_worker",
                "dependencies": ["cut"],
                "handler": {"callable": "noop"},
            },
            {
                "name": "after",
                "type": "deferred",
                "dependencies": ["part"],
                "handler": {"callable": "noop"},
            },
        ],
    }))
    .await;
    let task_id = e.start().await;
    // More than 999: by name _1000 would come before _999.
    let cursors: Vec<Value> = (0..1002).map(|n| json!(n)).collect();
    let claim = e.claim(1).await.remove(0);
    e.submit(&claim, json!({"type": "batches", "cursors": cursors})).await;
    e.process().await;
    let (mut names, mut after) = (Vec::new(), None);
    loop {
        let listed =
            calls::list_steps(e.pool(), task_id, &StepFilter::default(), &page(after, 400))
                .await
                .unwrap();
        names.extend(listed.items.into_iter().map(|step| step.step));
        match listed.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    let mut expected = vec!["cut".to_owned()];
    expected.extend((1..=1002).map(|n| format!("part_{n:03}")));
    expected.push("after".to_owned());
    assert_eq!(names, expected);
    let filter = StepFilter { states: vec![StepState::Complete], template_step: None };
    let complete = calls::list_steps(e.pool(), task_id, &filter, &Page::first(5)).await.unwrap();
    assert_eq!(complete.items.iter().map(|step| step.step.as_str()).collect::<Vec<_>>(), ["cut"]);
    let filter = StepFilter { states: Vec::new(), template_step: Some("part".to_owned()) };
    let parts = calls::list_steps(e.pool(), task_id, &filter, &Page::first(2000)).await.unwrap();
    assert_eq!((parts.items.len(), parts.next), (1002, None));
    let history = calls::step_transitions(e.pool(), task_id, "cut").await.unwrap();
    assert!(history.iter().all(|row| row.name == "cut") && history.len() >= 4, "{history:?}");
}

#[tokio::test]
async fn pages_of_dead_letters_give_each_once_the_urgent_first() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let mut entries = Vec::new();
    for _ in 0..5 {
        let task_id = e.start().await;
        entries.push(calls::add_dead_letter(e.pool(), task_id, None, By::default()).await.unwrap());
    }
    calls::update_dead_letter(
        e.pool(),
        entries[0],
        Some(&DeadLetterStatus::PermanentFailure),
        None,
        By::default(),
    )
    .await
    .unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let listed =
            calls::list_dead_letters(e.pool(), &DeadLetterFilter::default(), &page(after, 2))
                .await
                .unwrap();
        seen.extend(listed.items.into_iter().map(|entry| entry.entry_id));
        match listed.next {
            Some(next) => after = Some(next),
            None => break,
        }
    }
    assert_eq!(seen.last(), Some(&entries[0]), "what is closed comes last");
    assert_eq!(seen.len(), 5);
    assert_eq!(seen.iter().collect::<HashSet<_>>().len(), 5);
}

#[tokio::test]
async fn analytics_count_what_happened_lately() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    for (n, ms) in [(0, 10), (1, 20), (2, 1000)] {
        e.start().await;
        let claim = e.claim(1).await.remove(0);
        let outcome = match n {
            2 => json!({"type": "failure", "message": "no", "retryable": false}),
            _ => json!({"type": "success", "result": n}),
        };
        let result = json!([{
            "task_id": claim.task_id,
            "step": claim.step,
            "claim_no": claim.claim_no,
            "duration_ms": ms,
            "outcome": outcome,
        }]);
        sqlx::query("select * from tasker.submit_results($1, $2)")
            .bind(e.worker)
            .bind(result)
            .execute(e.pool())
            .await
            .unwrap();
        e.process().await;
        // The second step of those that go on.
        for claim in e.claim(1).await {
            e.submit(&claim, json!({"type": "success", "result": null})).await;
            e.process().await;
        }
    }
    let sample = Sample::default();
    let rates = calls::failure_rates(e.pool(), &sample, 10).await.unwrap();
    assert_eq!(
        (rates[0].tasks, rates[0].complete, rates[0].blocked, rates[0].unfinished),
        (3, 2, 1, 0)
    );
    assert!((rates[0].failure_rate - 1.0 / 3.0).abs() < 1e-9);
    let slow = calls::slowest_steps(e.pool(), &sample, 10).await.unwrap();
    assert_eq!(
        (slow[0].step.as_str(), slow[0].runs, slow[0].failed, slow[0].max_ms),
        ("a", 2, 1, 1000.0)
    );
    assert_eq!(slow[0].p50_ms, 20.0);
    let done = calls::throughput(e.pool(), &sample, Duration::from_secs(3600)).await.unwrap();
    assert_eq!(done.iter().map(|bucket| bucket.enqueued).sum::<i64>(), 3);
    assert_eq!(done.iter().map(|bucket| bucket.complete).sum::<i64>(), 2);
    let other = Sample { namespace: Some("other".to_owned()), ..Sample::default() };
    assert!(calls::failure_rates(e.pool(), &other, 10).await.unwrap().is_empty());
    let newest = Sample { max_tasks: 1, ..Sample::default() };
    assert_eq!(calls::failure_rates(e.pool(), &newest, 10).await.unwrap()[0].tasks, 1);
    let bucket = calls::throughput(e.pool(), &sample, Duration::from_millis(10)).await;
    assert_eq!(code(&bucket.unwrap_err()), "TK008");
    let nothing = Sample { since: Duration::ZERO, ..Sample::default() };
    assert_eq!(code(&calls::failure_rates(e.pool(), &nothing, 10).await.unwrap_err()), "TK008");
}
