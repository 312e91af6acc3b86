//! The handlers that are in every worker, run by a worker: `sql` and `http` with what they answer
//! for, `noop` and `sleep`.

use crate::world::World;
use pgtasker_tests::WebServer;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

/// Functions for the `sql` handler; each writes down the transaction it ran in.
const SHOP: &str = "
    create schema shop;
    create table shop.effects (name text, xid text default pg_current_xact_id()::text);
    create function shop.reserve(p jsonb) returns jsonb language plpgsql as $$
    begin
        insert into shop.effects values ('reserve');
        return jsonb_build_object('amount', (p #>> '{context,amount}')::int * (p #>> \
        '{config,factor}')::int);
    end $$;
    create function shop.charge(p jsonb) returns int language sql as $$ select (p #>> \
    '{parents,only,amount}')::int + 1 $$;
    create function shop.second_time(p jsonb) returns void language plpgsql as $$
    begin
        insert into shop.effects values (p ->> 'attempt');
        if (p ->> 'attempt')::int = 1 then raise exception 'out of stock'; end if;
    end $$;
    create function shop.never(p jsonb) returns void language plpgsql as $$
    begin
        insert into shop.effects values ('never');
        raise exception 'no such customer' using errcode = 'TKP01';
    end $$;
    create function shop.outcome(p jsonb) returns jsonb language sql as $$ select \
    jsonb_build_object('$tasker', p #> '{context,outcome}') $$;
    create table shop.secrets (secret text);
    create function shop.peek(p jsonb) returns bigint language sql as $$ select count(*) from \
    shop.secrets $$;
    create function shop.whoami(p jsonb) returns text language sql as $$ select \
    current_user::text $$;
";

/// A step of a built-in handler, three attempts without backoff.
fn step(name: &str, parents: &[&str], callable: &str, config: Value) -> Value {
    json!({
        "name": name,
        "dependencies": parents,
        "handler": {"callable": callable, "config": config},
        "retry": {"max_attempts": 3, "backoff_base_ms": 0, "jitter": false},
    })
}

fn template(steps: &[Value]) -> Value {
    json!({"namespace": "test", "name": "flow", "version": "1", "steps": steps})
}

fn calls(function: &str) -> Value {
    template(&[step("only", &[], "sql", json!({"function": function}))])
}

/// A world with an orchestrator, the shop's functions, and a worker.
async fn shop(template: Value) -> World {
    let world = World::with(template).await;
    sqlx::raw_sql(SHOP).execute(&world.db.pool).await.unwrap();
    world.worker(|w| w).await;
    world
}

async fn effects(world: &World) -> Vec<String> {
    sqlx::query_scalar("select name from shop.effects").fetch_all(&world.db.pool).await.unwrap()
}

/// Waits for the step `only` to fail for good; returns its attempt and error.
async fn failed(world: &World, id: Uuid) -> (i32, Value) {
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let (_, attempt, _, error) = world.step(id, "only").await;
    (attempt, error.unwrap())
}

#[tokio::test]
async fn sql_passes_the_step_and_its_result_is_seen_by_the_child() {
    let world = shop(template(&[
        step("only", &[], "sql", json!({"function": "shop.reserve", "factor": 3})),
        step("child", &["only"], "sql", json!({"function": "shop.charge"})),
    ]))
    .await;
    let id = world.enqueue(json!({"amount": 7})).await;
    assert_eq!(world.result(id).await, json!({"child": 22}));
    let (effect, completion): (String, String) = sqlx::query_as(
        "select e.xid, s.xmin::text from shop.effects e, tasker.step_transitions s
          where s.task_id = $1 and s.name = 'only' and s.to_state = 'enqueued_for_orchestration'",
    )
    .bind(id)
    .fetch_one(&world.db.pool)
    .await
    .unwrap();
    assert_eq!(effect, completion, "written by one transaction");
}

#[tokio::test]
async fn an_exception_in_sql_is_retried_and_its_effects_are_rolled_back() {
    let world = shop(calls("shop.second_time")).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": null}));
    assert_eq!(world.step(id, "only").await.1, 2);
    assert_eq!(effects(&world).await, ["2"]);
    world.said(id, "only", "out of stock").await;
}

#[tokio::test]
async fn tkp01_is_permanent() {
    let world = shop(calls("shop.never")).await;
    let id = world.enqueue(json!({})).await;
    let (attempt, error) = failed(&world, id).await;
    assert_eq!(attempt, 1);
    assert_eq!((&error["message"], &error["code"]), (&json!("no such customer"), &json!("TKP01")));
    assert!(effects(&world).await.is_empty());
}

#[tokio::test]
async fn sql_may_return_an_outcome() {
    let world = shop(calls("shop.outcome")).await;
    let good = world.enqueue(json!({"outcome": {"type": "success", "result": [1]}})).await;
    assert_eq!(world.result(good).await, json!({"only": [1]}));
    let failure =
        json!({"type": "failure", "message": "sold out", "retryable": false, "code": "sold_out"});
    let bad = world.enqueue(json!({"outcome": failure})).await;
    let (attempt, error) = failed(&world, bad).await;
    assert_eq!(attempt, 1);
    assert_eq!((&error["message"], &error["code"]), (&json!("sold out"), &json!("sold_out")));
    let none = world.enqueue(json!({"outcome": {"type": "nonsense"}})).await;
    let (attempt, error) = failed(&world, none).await;
    assert_eq!((attempt, &error["code"]), (1, &json!("invalid_outcome")));
    assert!(error["message"].as_str().unwrap().contains("nonsense"), "{error}");
    // In the database's words, which name the key.
    let wrong = world.enqueue(json!({"outcome": {"type": "failure", "mesage": "sold out"}})).await;
    let (_, error) = failed(&world, wrong).await;
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("shop.outcome") && message.contains(r#"unknown key "mesage""#),
        "{error}"
    );
    // A failure stays one, whatever stands for its message.
    let odd = json!({"type": "failure", "message": 7, "retryable": false, "retry_after_ms": {}});
    let odd = world.enqueue(json!({"outcome": odd})).await;
    assert_eq!(failed(&world, odd).await.1["message"], "7");
    // The right form, but not for this step: what is wrong then is no matter of form.
    let unfit =
        world.enqueue(json!({"outcome": {"type": "decision", "create_steps": ["x"]}})).await;
    let (attempt, error) = failed(&world, unfit).await;
    assert_eq!((attempt, &error["code"]), (1, &json!("invalid_outcome")));
    assert!(error["message"].as_str().unwrap().contains("only a decision may"), "{error}");
}

#[tokio::test]
async fn a_missing_function_is_a_permanent_error_that_names_it() {
    let world = shop(calls("shop.missing")).await;
    let id = world.enqueue(json!({})).await;
    let (attempt, error) = failed(&world, id).await;
    assert_eq!((attempt, &error["code"]), (1, &json!("TKP01")));
    assert!(error["message"].as_str().unwrap().contains("shop.missing(jsonb)"), "{error}");
}

#[tokio::test]
async fn sql_runs_in_the_role_of_the_worker() {
    let mut peek = step("only", &[], "sql", json!({"function": "shop.peek"}));
    peek["retry"]["max_attempts"] = json!(1);
    let world =
        World::with(template(&[step("who", &[], "sql", json!({"function": "shop.whoami"})), peek]))
            .await;
    // Roles belong to the server, which other tests use as well.
    let (role, password) =
        (format!("worker_{}", Uuid::now_v7().simple()), Uuid::new_v4().simple().to_string());
    let grants = format!(
        "create role {role} login password '{password}' in role tasker_worker;
         grant usage on schema shop to {role};"
    );
    sqlx::raw_sql(AssertSqlSafe(format!("{SHOP}{grants}"))).execute(&world.db.pool).await.unwrap();
    let (_, address) = world.db.url.split_once('@').unwrap();
    let worker = world.worker_as(&format!("postgres://{role}:{password}@{address}"), |w| w).await;
    let id = world.enqueue(json!({})).await;
    let (_, error) = failed(&world, id).await;
    assert_eq!(error["code"], json!("42501"));
    assert!(
        error["message"].as_str().unwrap().contains("permission denied for table secrets"),
        "{error}"
    );
    let who: Value =
        sqlx::query_scalar("select result from tasker.steps where task_id = $1 and name = 'who'")
            .bind(id)
            .fetch_one(&world.db.pool)
            .await
            .unwrap();
    assert_eq!(who, json!(role));
    worker.stop().await;
}

/// A template with one step that calls it.
fn charge(server: &WebServer) -> Value {
    let url = format!("http://{}/charge", server.address);
    template(&[
        step("first", &[], "noop", json!({})),
        step("only", &["first"], "http", json!({"url": url, "currency": "EUR"})),
    ])
}

#[tokio::test]
async fn http_posts_the_step_and_takes_json_after_a_500() {
    let server = WebServer::start(&[(500, "overloaded"), (200, r#"{"charged": 12}"#)]).await;
    let world = World::with(charge(&server)).await;
    let worker = world.worker(|w| w.http_allow(&server.address)).await;
    let id = world.enqueue(json!({"order_id": 7})).await;
    assert_eq!(world.result(id).await, json!({"only": {"charged": 12}}));
    world.said(id, "only", "answered 500").await;
    let url = format!("http://{}/charge", server.address);
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    for (request, attempt) in requests.into_iter().zip(1..) {
        assert_eq!(request.line, "POST /charge HTTP/1.1");
        assert_eq!(request.headers["idempotency-key"], format!("{id}:only"));
        assert_eq!(request.headers["tasker-attempt"], format!("{attempt}"));
        let expected = json!({
            "task_id": id,
            "step": "only",
            "attempt": attempt,
            "context": {"order_id": 7},
            "config": {"url": url, "currency": "EUR"},
            "inputs": null,
            "parents": {"first": null},
            "checkpoint": null,
        });
        assert_eq!(request.body, expected);
    }
    worker.stop().await;
}

#[tokio::test]
async fn http_has_another_idempotency_key_after_a_checkpoint_and_keeps_it_on_every_attempt() {
    const YIELDS: &str = r#"{"$tasker": {
        "type": "checkpoint", "cursor": {"page": 2, "at": 0.5}, "items_processed": 9
    }}"#;
    let server = WebServer::start(&[(200, YIELDS), (500, "overloaded"), (200, "1")]).await;
    let world = World::with(charge(&server)).await;
    let worker = world.worker(|w| w.http_allow(&server.address)).await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await, json!({"only": 1}));
    let requests = server.requests();
    let keys: Vec<&str> =
        requests.iter().map(|request| request.headers["idempotency-key"].as_str()).collect();
    let [before, after, again] = keys[..] else { panic!("{keys:?}") };
    assert_eq!(before, format!("{id}:only"));
    assert_eq!(after, again);
    assert_eq!(after.strip_prefix(&format!("{before}:")).unwrap().len(), 16);
    worker.stop().await;
}

#[tokio::test]
async fn a_404_is_permanent() {
    let server = WebServer::start(&[(404, "who?")]).await;
    let world = World::with(charge(&server)).await;
    let worker = world.worker(|w| w.http_allow(&server.address)).await;
    let id = world.enqueue(json!({})).await;
    let (attempt, error) = failed(&world, id).await;
    assert_eq!((attempt, &error["code"]), (1, &json!("http_404")));
    assert!(error["message"].as_str().unwrap().ends_with("who?"), "{error}");
    worker.stop().await;
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_never_called() {
    let server = WebServer::start(&[(200, "1")]).await;
    let world = World::with(charge(&server)).await;
    let worker = world.worker(|w| w.http_allow("example.com")).await;
    let id = world.enqueue(json!({})).await;
    let (attempt, error) = failed(&world, id).await;
    assert_eq!((attempt, &error["code"]), (1, &json!("host_not_allowed")));
    assert!(error["message"].as_str().unwrap().contains("TASKER_HTTP_ALLOW"), "{error}");
    assert!(server.requests().is_empty());
    worker.stop().await;
}

#[tokio::test]
async fn noop_answers_null_and_sleep_takes_its_time() {
    let world = World::with(template(&[
        step("nothing", &[], "noop", json!({})),
        step("configured", &[], "sleep", json!({"ms": 30})),
        step("asked", &[], "sleep", json!({})),
    ]))
    .await;
    let worker = world.worker(|w| w).await;
    let id = world.enqueue(json!({"seconds": 0.02})).await;
    let result = world.result(id).await;
    assert_eq!(result["nothing"], Value::Null);
    assert!(result["configured"]["slept_ms"].as_u64().unwrap() >= 30, "{result}");
    assert!(result["asked"]["slept_ms"].as_u64().unwrap() >= 20, "{result}");
    worker.stop().await;
}

/// 3,000 such numbers take 36 KB stored and 393 MB as text, which nobody should have to read.
#[tokio::test]
async fn a_small_result_of_huge_text_is_not_brought_to_the_worker() {
    let world = shop(calls("shop.huge")).await;
    sqlx::raw_sql(
        "create function shop.huge(p jsonb) returns jsonb language sql as
             $$ select to_jsonb(array(select 1e131071 from generate_series(1, 3000))) $$",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let error = world.step(id, "only").await.3.unwrap();
    assert_eq!(error["code"], "result_too_large", "{error}");
    assert!(error["message"].as_str().unwrap().contains("the limit is 1048576"), "{error}");
}

#[tokio::test]
async fn a_sql_functions_result_over_the_limit_fails_its_step_and_leaves_no_effect() {
    let world = shop(calls("shop.large")).await;
    sqlx::raw_sql(
        "update tasker.settings set max_result_bytes = 2000;
         create function shop.large(p jsonb) returns text language plpgsql as $$
         begin
             insert into shop.effects values ('large');
             return repeat('x', 3000);
         end $$",
    )
    .execute(&world.db.pool)
    .await
    .unwrap();
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.ended(id).await, "blocked_by_failures");
    let (_, attempt, _, error) = world.step(id, "only").await;
    let error = error.unwrap();
    assert_eq!((attempt, &error["code"]), (1, &json!("result_too_large")));
    assert!(
        error["message"].as_str().unwrap().contains("3002 bytes; the limit is 2000"),
        "{error}"
    );
    let effects: i64 = sqlx::query_scalar("select count(*) from shop.effects")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert_eq!(effects, 0);
}
