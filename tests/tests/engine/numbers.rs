//! Numbers: whatever way a document takes, each keeps every digit that PostgreSQL keeps.

use crate::world::World;
use pgtasker_client::{
    By, Client, DatabaseClient, HttpClient, Instances, NewTask, Page, StepFilter,
};
use pgtasker_core::template::TemplateFile;
use pgtasker_tests::{ApiServer, engine::Engine};
use pgtasker_worker::{Batchable, StepContext, StepError, StepOutcome};
use serde_json::{Value, json};
use sqlx::{query_scalar, raw_sql};
use uuid::Uuid;

/// Beyond 64 bits, beyond a double's digits, beyond its range, and zeros.
const NUMBERS: &str = r#"{
    "n": 123456789012345678901234567890,
    "d": 3.14159265358979323846264338327950288,
    "u": 18446744073709551616,
    "i": -9223372036854775809,
    "h": 1e400,
    "t": 1e-400,
    "z": -0,
    "p": 1.50,
    "e": 1E5
}"#;

const TEMPLATE: &str = "
namespace: test
name: flow
version: '1'
steps:
  - name: context
    handler:
      callable: sql
      config:
        function: public.of_context
        n: 123456789012345678901234567890
        d: 0.12345678901234567890
    publishes_events: [{name: a.b}]
  - name: value
    dependencies: [context]
    handler: {callable: value}
  - name: checkpoint
    dependencies: [value]
    handler: {callable: checkpoint}
  - name: parent
    dependencies: [checkpoint]
    handler: {callable: sql, config: {function: public.of_parent}}
";

/// As PostgreSQL writes them.
async fn written(world: &World) -> String {
    query_scalar("select $1::text::jsonb::text")
        .bind(NUMBERS)
        .fetch_one(&world.db.pool)
        .await
        .unwrap()
}

async fn value(ctx: StepContext) -> Result<StepOutcome, StepError> {
    Ok(StepOutcome::success(ctx.parent::<Value>("context")?))
}

async fn checkpoint(ctx: StepContext) -> Result<StepOutcome, StepError> {
    match ctx.last_checkpoint::<Value, Value>()? {
        None => ctx.checkpoint(ctx.context::<Value>()?, 1, ctx.parent::<Value>("value")?),
        Some(last) if last.cursor == ctx.context::<Value>()? => {
            Ok(StepOutcome::success(last.accumulated))
        }
        Some(last) => Err(StepError::permanent(format!("the cursor was changed: {}", last.cursor))),
    }
}

#[tokio::test]
async fn every_digit_passes_through_all_kinds_of_handlers_and_both_clients() {
    let world = World::new().await;
    raw_sql(
        "create function of_context(p jsonb) returns jsonb language sql as $$ select p -> \
         'context' $$;
         create function of_parent(p jsonb) returns jsonb language sql as $$ select p #> \
         '{parents,checkpoint}' $$;",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let file = TemplateFile::parse("flow.yaml", TEMPLATE).unwrap();
    world.apply(file.definition().clone()).await;
    world.orchestrator().await;
    world.worker(|w| w.handler("value", value).handler("checkpoint", checkpoint)).await;
    let written = written(&world).await;
    let numbers: Value = serde_json::from_str(&written).unwrap();
    let api = ApiServer::start(&world.db.pool).await;
    let clients: [Box<dyn Client>; 2] = [
        Box::new(DatabaseClient::new(world.db.pool.clone())),
        Box::new(HttpClient::new(&api.url, None).unwrap()),
    ];
    for client in &clients {
        let context: Value = serde_json::from_str(NUMBERS).unwrap();
        let id = client.enqueue_task(&NewTask::new("test", "flow").context(context)).await.unwrap();
        assert_eq!(world.ended(id).await, "complete");
        let stored: Vec<String> = query_scalar(
            "select context::text from tasker.tasks where task_id = $1
              union all select result::text from tasker.steps where task_id = $1",
        )
        .bind(id)
        .fetch_all(&world.db.pool)
        .await
        .unwrap();
        assert_eq!(stored, vec![written.clone(); 5]);
        assert_eq!(client.task_result(id).await.unwrap(), Some(json!({"parent": numbers})));
        assert_eq!(client.show_step(id, "value").await.unwrap().result, Some(numbers.clone()));
        let event = client.list_events("test", None, 10).await.unwrap().pop().unwrap();
        assert_eq!(event.domain_event().unwrap().payload, numbers);
        let template =
            client.show_template("test", "flow", None).await.unwrap().unwrap().definition;
        let config = &template["steps"][0]["handler"]["config"];
        assert_eq!(config["n"].to_string(), "123456789012345678901234567890");
        assert_eq!(config["d"].to_string(), "0.12345678901234567890");
    }
}

#[tokio::test]
async fn what_is_nested_too_deep_is_hidden_and_the_rest_of_the_task_is_shown() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[]), ("b", &["a"])]).await;
    let id: Uuid = e.start().await;
    let claim = e.claim(1).await.remove(0);
    raw_sql(sqlx::AssertSqlSafe(format!(
        "select * from tasker.submit_results('{}', \
         jsonb_build_array(jsonb_build_object('task_id', '{id}', 'step', 'a', 'claim_no', {},
             'outcome', jsonb_build_object('type', 'success', 'result',
                 format('{{\"n\": 1e400, \"deep\": %s1%s}}', repeat('[', 300), repeat(']', \
                 300))::jsonb))))",
        e.worker, claim.claim_no
    )))
    .execute(e.pool())
    .await
    .unwrap();
    e.process().await;
    let api = ApiServer::start(e.pool()).await;
    let http = HttpClient::new(&api.url, None).unwrap();
    for client in [&DatabaseClient::new(e.pool().clone()) as &dyn Client, &http] {
        let graph = client.task_graph(id, Instances::All).await.unwrap();
        let result = graph.steps[0].result.as_ref().unwrap();
        assert_eq!(result["n"].to_string().len(), 401);
        assert!(result["deep"].to_string().contains("$hidden"));
        assert_eq!(client.show_step(id, "a").await.unwrap().result.as_ref(), Some(result));
        let entry = client.add_dead_letter(id, None, By::default()).await.unwrap();
        let snapshot = client.show_dead_letter(entry).await.unwrap().snapshot.unwrap();
        assert!(snapshot.to_string().contains("$hidden"));
    }
}

#[tokio::test]
async fn a_page_of_steps_ends_with_its_bytes_and_the_next_goes_on() {
    let e = Engine::new().await;
    let names: Vec<String> = (0..6).map(|n| format!("s{n}")).collect();
    let steps: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    e.apply_flow(&steps).await;
    let id: Uuid = e.start().await;
    raw_sql("update tasker.settings set max_answer_bytes = 65536").execute(e.pool()).await.unwrap();
    for claim in e.claim(6).await {
        // 1e20000 is stored in a few bytes.
        let result = match claim.step.as_str() {
            "s3" => json!("x".repeat(40_000)),
            _ => serde_json::from_str(&format!("[1e{}]", 30_000)).unwrap(),
        };
        e.succeed(&claim, result).await;
    }
    e.process().await;
    let api = ApiServer::start(e.pool()).await;
    let http = HttpClient::new(&api.url, None).unwrap();
    for client in [&DatabaseClient::new(e.pool().clone()) as &dyn Client, &http] {
        let (mut seen, mut page, mut pages) = (Vec::new(), Page::first(4), 0);
        loop {
            let listed = client.list_steps(id, &StepFilter::default(), &page).await.unwrap();
            seen.extend(listed.items);
            pages += 1;
            let Some(next) = listed.next else { break };
            page.after = Some(next);
        }
        assert_eq!(
            seen.iter().map(|step| &step.step).collect::<Vec<_>>(),
            names.iter().collect::<Vec<_>>()
        );
        assert!((2..=3).contains(&pages), "{pages}");
        let result = |n: usize| seen[n].result.as_ref().unwrap().to_string();
        assert!(result(3).contains("$hidden") && result(2).len() > 30_000, "{}", result(3));
    }
    assert_eq!(http.show_step(id, "s3").await.unwrap().result, Some(json!("x".repeat(40_000))));
    let graph = http.task_graph(id, Instances::All).await.unwrap();
    assert_eq!(graph.steps.len(), 6);
    let audit = http.task_transitions(id).await.unwrap();
    assert_eq!(audit, DatabaseClient::new(e.pool().clone()).task_transitions(id).await.unwrap());
}
