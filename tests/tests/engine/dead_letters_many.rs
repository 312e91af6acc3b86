//! Dead letters by many: retried and updated by a filter, closed by themselves, made for what fails
//! for good; settings.

use pgtasker_tests::engine::{Engine, flow};
use serde_json::{Value, json};
use uuid::Uuid;

/// A task of one step that failed, and blocks it.
async fn failed(e: &Engine, retryable: bool) -> Uuid {
    let id = e.start().await;
    loop {
        let claims = e.claim(10).await;
        let Some(claim) = claims.iter().find(|claim| claim.task_id == id) else { return id };
        let outcome = json!({
            "type": "failure",
            "message": "no card",
            "code": "card",
            "retryable": retryable,
        });
        assert_eq!(e.submit(claim, outcome).await, "accepted");
        e.process().await;
        e.enqueue_ready().await;
    }
}

async fn entries(e: &Engine) -> Vec<(String, String)> {
    sqlx::query_as("select reason, status from tasker.dead_letters order by entry_id")
        .fetch_all(e.pool())
        .await
        .unwrap()
}

/// The code that a call was refused with.
fn sqlstate(error: &sqlx::Error) -> String {
    error.as_database_error().and_then(|error| error.code()).unwrap_or_default().into_owned()
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(reason, status)| ((*reason).to_owned(), (*status).to_owned())).collect()
}

async fn retry_all(
    e: &Engine,
    filter: Value,
    max: i32,
    after: Option<Uuid>,
) -> (i32, i32, Option<Uuid>) {
    sqlx::query_as(
        "select done, skipped, last_entry from tasker.retry_dead_letters($1, 'back', 'ana', $2, \
         $3)",
    )
    .bind(filter)
    .bind(max)
    .bind(after)
    .fetch_one(e.pool())
    .await
    .unwrap()
}

#[tokio::test]
async fn a_step_that_fails_for_good_and_blocks_its_task_is_a_dead_letter() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = failed(&e, false).await;
    assert_eq!(e.task_state(id).await, "blocked_by_failures");
    failed(&e, true).await;
    assert_eq!(
        entries(&e).await,
        pairs(&[("permanent_failure", "pending"), ("max_retries_exceeded", "pending")])
    );
}

#[tokio::test]
async fn a_task_that_is_to_fail_is_no_dead_letter_when_it_does() {
    let e = Engine::new().await;
    let mut template = flow(&[("a", &[])]);
    template["on_failure"] = json!("fail");
    e.apply(template).await;
    let id = failed(&e, false).await;
    assert_eq!(e.task_state(id).await, "error");
    assert_eq!(entries(&e).await, []);
}

#[tokio::test]
async fn dead_letters_are_retried_by_a_filter_and_what_cannot_be_costs_only_itself() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(failed(&e, false).await);
    }
    // One of them is settled otherwise: there is nothing to replay.
    sqlx::query("select tasker.resolve_task($1)").bind(ids[1]).execute(e.pool()).await.unwrap();
    let filter = json!({"reason": "permanent_failure", "namespace": "test", "name": "flow"});
    let count: i64 = sqlx::query_scalar("select tasker.count_dead_letters($1)")
        .bind(&filter)
        .fetch_one(e.pool())
        .await
        .unwrap();
    assert_eq!(count, 4);
    let (done, skipped, last) = retry_all(&e, filter.clone(), 3, None).await;
    assert_eq!((done, skipped), (2, 1));
    let (done, skipped, last) = retry_all(&e, filter.clone(), 3, last).await;
    assert_eq!((done, skipped), (1, 0));
    assert_eq!(retry_all(&e, filter, 3, last).await, (0, 0, None));
    e.enqueue_ready().await;
    assert_eq!(e.drain().await.len(), 3);
    for bad in [
        json!({}),
        json!([]),
        json!({"color": 1}),
        json!({"reason": 1}),
        json!({"created_after": "soon"}),
    ] {
        let refused = sqlx::query("select * from tasker.retry_dead_letters($1)")
            .bind(bad)
            .execute(e.pool())
            .await;
        assert_eq!(sqlstate(&refused.unwrap_err()), "TK030");
    }
}

#[tokio::test]
async fn dead_letters_are_updated_by_a_filter() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    for _ in 0..2 {
        failed(&e, false).await;
    }
    let (done, skipped): (i32, i32) = sqlx::query_as(
        "select done, skipped from tasker.update_dead_letters('{\"step\": \"a\"}', \
         'permanent_failure', 'lost', 'ana')",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((done, skipped), (2, 0));
    assert_eq!(entries(&e).await, pairs(&[("permanent_failure", "permanent_failure"); 2]));
}

#[tokio::test]
async fn an_update_skips_an_entry_whose_task_has_another_pending_and_goes_on() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let first = failed(&e, false).await;
    failed(&e, false).await;
    let close = "select tasker.update_dead_letters('{\"step\": \"a\"}', 'cancelled')";
    sqlx::query(close).execute(e.pool()).await.unwrap();
    let add = sqlx::query("select tasker.add_dead_letter($1)").bind(first);
    add.execute(e.pool()).await.unwrap();

    // The entry of the first task comes first, and cannot be pending again.
    let (done, skipped): (i32, i32) = sqlx::query_as(
        "select done, skipped from tasker.update_dead_letters('{\"status\": \"cancelled\"}', \
         'pending')",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!((done, skipped), (1, 1));
    assert_eq!(
        entries(&e).await,
        pairs(&[
            ("permanent_failure", "cancelled"),
            ("permanent_failure", "pending"),
            ("manual", "pending"),
        ])
    );
}

#[tokio::test]
async fn an_entry_closes_when_its_task_has_ended_well() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let (well, cancelled, failed_still) =
        (failed(&e, false).await, failed(&e, false).await, failed(&e, false).await);
    let sweep = async || {
        sqlx::query("select * from tasker.sweep_stale(1000)").execute(e.pool()).await.unwrap();
    };
    sweep().await;
    assert!(entries(&e).await.iter().all(|(_, status)| status == "pending"));
    // Not by way of the entry: the task itself.
    let one = json!({"task_ids": [well]});
    sqlx::query("select tasker.retry_tasks($1)").bind(one).execute(e.pool()).await.unwrap();
    e.enqueue_ready().await;
    e.drain().await;
    assert_eq!(e.task_state(well).await, "complete");
    sqlx::query("select tasker.cancel_task($1)").bind(cancelled).execute(e.pool()).await.unwrap();
    e.clock(60).await;
    sweep().await;
    let status =
        "select status || coalesce(' ' || notes, '') from tasker.dead_letters where task_id = $1";
    assert!(e.text(status, well).await.starts_with("ended_well 20"));
    assert!(e.text(status, well).await.ends_with("closed: the task is complete"));
    assert!(e.text(status, cancelled).await.starts_with("cancelled 20"));
    assert_eq!(e.text(status, failed_still).await, "pending");
}

#[tokio::test]
async fn tasks_are_found_by_the_beginning_of_their_id_and_by_their_key() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let first = e.enqueue(json!({"n": 1})).await;
    let second: Uuid = sqlx::query_scalar(
        "select tasker.enqueue_task('test', 'flow', '{}', p_idempotency_key => 'k-1')",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    let found = async |filter: Value| -> Vec<Uuid> {
        sqlx::query_scalar("select task_id from tasker.list_tasks($1)")
            .bind(filter)
            .fetch_all(e.pool())
            .await
            .unwrap()
    };
    for length in [1, 8, 13, 36] {
        let prefix = &second.to_string()[..length];
        let both = length < 14;
        assert_eq!(
            found(json!({"id_prefix": prefix})).await.contains(&first),
            both && first.to_string().starts_with(prefix)
        );
        assert!(found(json!({"id_prefix": prefix.to_uppercase()})).await.contains(&second));
    }
    assert_eq!(found(json!({"idempotency_key": "k-1"})).await, [second]);
    assert!(found(json!({"idempotency_key": "k"})).await.is_empty());
    for bad in [json!(""), json!("xyz"), json!(7), json!("0".repeat(37))] {
        let refused = sqlx::query("select * from tasker.list_tasks($1)")
            .bind(json!({"id_prefix": bad}))
            .execute(e.pool());
        assert_eq!(sqlstate(&refused.await.unwrap_err()), "TK030");
    }
    assert_eq!(e.text("select tasker.task_context($1)::text", first).await, "{\"n\": 1}");
    let unknown =
        sqlx::query("select tasker.task_context($1)").bind(Uuid::nil()).execute(e.pool()).await;
    assert_eq!(sqlstate(&unknown.unwrap_err()), "TK004");
}

#[tokio::test]
async fn settings_are_listed_with_what_they_do_and_changed_by_name() {
    let e = Engine::new().await;
    let settings = pgtasker_client::calls::list_settings(e.pool()).await.unwrap();
    let silent: Vec<_> = settings.iter().filter(|setting| setting.description.is_none()).collect();
    assert!(silent.is_empty(), "comment on column tasker.settings.…: {silent:?}");
    let changed: Vec<_> =
        settings.iter().filter(|setting| setting.value != setting.default_value).collect();
    assert!(changed.is_empty(), "the default is not read as it is set: {changed:?}");
    let set = async |name: &str, value: Option<&str>| {
        sqlx::query("select tasker.set_setting($1, $2, 'ana')")
            .bind(name)
            .bind(value)
            .execute(e.pool())
            .await
    };
    set("retention_days", Some("90")).await.unwrap();
    set("notify_on_enqueue", Some("off")).await.unwrap();
    let now: (String, bool) =
        sqlx::query_as("select retention_days::text, notify_on_enqueue from tasker.settings")
            .fetch_one(e.pool())
            .await
            .unwrap();
    assert_eq!(now, ("90".to_owned(), false));
    for (name, value) in [
        ("retention_day", Some("1")),
        ("singleton", Some("false")),
        ("retention_days", Some("-1")),
        ("retention_days", Some("many")),
        ("retention_days", None),
        ("max_instances", Some("99999999999")),
        ("retention_days; drop table tasker.settings", Some("1")),
    ] {
        let refused = set(name, value).await.unwrap_err();
        assert_eq!(sqlstate(&refused), "TK058", "{name} {value:?}: {refused}");
    }
}
