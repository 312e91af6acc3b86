//! Default values of a context, which a template's input_schema gives.

use crate::world::World;
use pgtasker_tests::{
    TestDb,
    engine::{flow, sqlstate},
};
use pgtasker_worker::{StepContext, StepError, StepOutcome};
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

fn template() -> Value {
    let mut template = flow(&[("a", &[])]);
    template["input_schema"] = json!({
        "type": "object",
        "required": ["region"],
        "properties": {
            "region": {"type": "string", "default": "eu"},
            "tags": {"type": "array", "default": []},
            "note": {"default": null},
            "order": {"type": "object", "properties": {"n": {"default": 1}}},
            "any": true,
        },
    });
    template
}

async fn stored(pool: &PgPool, id: Uuid) -> Value {
    sqlx::query_scalar("select tasker.task_context($1)").bind(id).fetch_one(pool).await.unwrap()
}

async fn enqueue(pool: &PgPool, context: Value, key: &str) -> Result<Uuid, sqlx::Error> {
    sqlx::query_scalar(
        "select tasker.enqueue_task('test', 'flow', $1, p_idempotency_key => nullif($2, ''))",
    )
    .bind(context)
    .bind(key)
    .fetch_one(pool)
    .await
}

async fn applied() -> TestDb {
    let db = TestDb::new().await;
    sqlx::query("select tasker.apply_template($1)")
        .bind(template())
        .execute(&db.pool)
        .await
        .unwrap();
    db
}

#[tokio::test]
async fn what_a_context_lacks_is_filled_in() {
    let db = applied().await;
    let id = enqueue(&db.pool, json!({"order": {}, "tags": [1]}), "").await.unwrap();
    let expected = json!({"order": {}, "tags": [1], "region": "eu", "note": null});
    assert_eq!(stored(&db.pool, id).await, expected, "top-level properties only");
    let id = enqueue(&db.pool, json!({"region": null}), "").await.unwrap();
    assert_eq!(stored(&db.pool, id).await["region"], json!(null), "null is given");

    let ids: Vec<Uuid> = sqlx::query_scalar("select tasker.enqueue_tasks('test', 'flow', $1)")
        .bind(vec![json!({"region": "us"}), json!({})])
        .fetch_all(&db.pool)
        .await
        .unwrap();
    assert_eq!(
        (stored(&db.pool, ids[0]).await, stored(&db.pool, ids[1]).await),
        (
            json!({"region": "us", "tags": [], "note": null}),
            json!({"region": "eu", "tags": [], "note": null})
        )
    );
}

#[tokio::test]
async fn the_schema_sees_the_context_with_its_defaults() {
    let mut template = template();
    template["steps"][0]["handler"]["callable"] = json!("echo");
    let world = World::with(template).await;
    world
        .worker(|w| {
            w.handler("echo", async |ctx: StepContext| {
                Ok::<_, StepError>(StepOutcome::success(ctx.context::<Value>()?))
            })
        })
        .await;
    let id = world.enqueue(json!({})).await;
    assert_eq!(world.result(id).await["a"], json!({"region": "eu", "tags": [], "note": null}));
}

#[tokio::test]
async fn the_same_key_belongs_to_what_was_given() {
    let db = applied().await;
    let id = enqueue(&db.pool, json!({"any": 1}), "k").await.unwrap();
    assert_eq!(enqueue(&db.pool, json!({"any": 1}), "k").await.unwrap(), id);
    let other = enqueue(&db.pool, json!({"any": 1, "region": "eu"}), "k").await.unwrap_err();
    assert_eq!(other.as_database_error().unwrap().code().unwrap(), "TK006");

    // A new version has other defaults: what was given is the same still.
    let mut newer = template();
    newer["version"] = json!("2");
    newer["input_schema"]["properties"]["region"]["default"] = json!("us");
    sqlx::query("select tasker.apply_template($1)").bind(newer).execute(&db.pool).await.unwrap();
    assert_eq!(enqueue(&db.pool, json!({"any": 1}), "k").await.unwrap(), id);
    assert_eq!(stored(&db.pool, id).await["region"], "eu");
}

#[tokio::test]
async fn a_context_is_measured_with_its_defaults() {
    let db = applied().await;
    sqlx::query("update tasker.settings set max_context_bytes = 1024")
        .execute(&db.pool)
        .await
        .unwrap();
    for call in [
        "select tasker.enqueue_task('test', 'flow', \
         jsonb_build_object('any', repeat('x', 1000)))",
        "select tasker.enqueue_tasks('test', 'flow', \
         array[jsonb_build_object('any', repeat('x', 1000))])",
    ] {
        assert_eq!(sqlstate(&db.pool, call).await, "TK019");
    }
    enqueue(&db.pool, json!({"any": "x".repeat(900)}), "").await.unwrap();
    assert_eq!(
        sqlstate(&db.pool, "select tasker.enqueue_task('test', 'flow', '[]')").await,
        "TK005"
    );
}
