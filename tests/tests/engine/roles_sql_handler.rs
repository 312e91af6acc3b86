//! The `sql` handler runs functions with the rights of its worker's role, and no name gets around
//! that.

use crate::{
    roles::{run, template},
    world::World,
};
use rstest::rstest;
use serde_json::json;
use sqlx::query_scalar;
use uuid::Uuid;

const SHOP: &str = r#"
    create schema shop;
    create table shop.secrets (x int);
    create function shop.take(jsonb) returns jsonb language sql as $$ select '"taken"'::jsonb $$;
    create function shop.closed(jsonb) returns jsonb language sql as $$ select '1'::jsonb $$;
    revoke execute on function shop.closed(jsonb) from public;
    create function shop."Odd.name; drop table shop.secrets"(jsonb)
    returns jsonb language sql as $$ select '"odd"'::jsonb $$;
    create schema vault;
    create function vault.take(jsonb) returns jsonb language sql as $$ select '1'::jsonb $$;
"#;

/// What a worker with the role tasker_worker alone makes of a step whose function this is.
async fn sql_step(function: &str) -> (World, Uuid) {
    let world = World::with(template(json!({"function": function}))).await;
    run(&world.db, SHOP).await;
    let (name, url) = world.db.login(&["tasker_worker"]).await;
    run(&world.db, format!("grant usage on schema shop to {name}")).await;
    let worker = world.worker_as(&url, |w| w).await;
    let id = world.enqueue(json!({})).await;
    world.ended(id).await;
    worker.stop().await;
    (world, id)
}

/// The right may be granted meanwhile, so that it is tried again like any other error of the
/// database.
#[rstest]
#[case::no_execute("shop.closed", "permission denied for function closed")]
#[case::no_usage("vault.take", "permission denied for schema vault")]
#[case::of_an_operator("tasker.count_tasks", "permission denied for function count_tasks")]
#[case::of_the_engine("tasker.check_filter", "permission denied for function check_filter")]
#[case::of_pgmq("pgmq.purge_queue", "permission denied for schema pgmq")]
#[tokio::test]
async fn the_sql_handler_calls_nothing_that_its_workers_role_may_not(
    #[case] function: &str,
    #[case] message: &str,
) {
    let (world, id) = sql_step(function).await;
    let (state, attempt, _, error) = world.step(id, "only").await;
    let error = error.unwrap();
    assert_eq!((state.as_str(), attempt), ("error", 2), "{error}");
    assert_eq!((&error["code"], &error["message"]), (&json!("42501"), &json!(message)));
}

#[rstest]
#[case::a_second_statement("shop.take; drop table shop.secrets")]
#[case::closed_brackets("shop.take(jsonb); drop table shop.secrets; --")]
#[case::an_open_quote("\"shop.take")]
#[case::a_quote("shop.take'")]
#[case::as_one_name("\"shop.take\"")]
#[case::other_case("\"Shop\".take")]
#[case::another_database("postgres.shop.take")]
#[case::too_many_parts("a.b.shop.take")]
#[case::nothing("")]
#[case::dots("shop..take")]
#[tokio::test]
async fn a_function_name_with_tricks_is_no_function(#[case] function: &str) {
    let (world, id) = sql_step(function).await;
    let (state, attempt, _, error) = world.step(id, "only").await;
    let error = error.unwrap();
    assert_eq!((state.as_str(), attempt, &error["code"]), ("error", 1, &json!("TKP01")), "{error}");
    let there: bool = query_scalar("select to_regclass('shop.secrets') is not null")
        .fetch_one(&world.db.pool)
        .await
        .unwrap();
    assert!(there);
}

#[rstest]
#[case::plain("shop.take", "taken")]
#[case::folded("SHOP.Take", "taken")]
#[case::quoted("\"shop\".\"take\"", "taken")]
#[case::one_that_needs_quotes("shop.\"Odd.name; drop table shop.secrets\"", "odd")]
#[tokio::test]
async fn a_function_is_named_as_in_sql(#[case] function: &str, #[case] result: &str) {
    let (world, id) = sql_step(function).await;
    assert_eq!(world.result(id).await, json!({"only": result}));
}
