//! Dumps restored elsewhere: what they lack is made by migrate, or is refused with what to do.

use crate::installations::{connect, empty, problems, refusal, run};
use pgtasker_core::schema;
use pgtasker_tests::{
    TestDb,
    engine::{Engine, flow, publishing_flow},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, query, query_scalar};
use std::{path::PathBuf, process::Command};
use uuid::Uuid;

/// A program of the server's own version, where it came with it.
async fn program(db: &TestDb, name: &str) -> Option<PathBuf> {
    let sql = "select setting from pg_catalog.pg_config where name = 'BINDIR'";
    let bin: String = query_scalar(sql).fetch_one(&db.pool).await.unwrap();
    let found = Some(PathBuf::from(bin).join(name)).filter(|path| path.exists());
    if found.is_none() {
        eprintln!("skipped: this PostgreSQL has no {name}");
    }
    found
}

/// What pg_dump says with these options; none where the server has no pg_dump.
async fn dump(db: &TestDb, options: &[&str]) -> Option<String> {
    let program = program(db, "pg_dump").await?;
    let output = Command::new(program).args(["--dbname", &db.url]).args(options).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // Commands of psql's own, since 15.14.
    let text = String::from_utf8(output.stdout).unwrap();
    Some(text.lines().filter(|line| !line.starts_with('\\')).collect::<Vec<_>>().join("\n"))
}

/// Completes everything that can be claimed, by hand.
pub(crate) async fn drain(pool: &PgPool) {
    let worker = Uuid::now_v7();
    loop {
        query("select * from tasker.start_tasks(100)").execute(pool).await.unwrap();
        let results: Value = query_scalar(
            "select coalesce( \
                 jsonb_agg(jsonb_build_object( \
                     'task_id', c.task_id, \
                     'step', c.step, \
                     'claim_no', c.claim_no, \
                     'outcome', '{\"type\": \"success\"}'::jsonb \
                 )), \
                 '[]' \
             ) \
             from tasker.claim_steps('test', $1, 100) c",
        )
        .bind(worker)
        .fetch_one(pool)
        .await
        .unwrap();
        query("select * from tasker.submit_results($1, $2)")
            .bind(worker)
            .bind(&results)
            .execute(pool)
            .await
            .unwrap();
        query("select * from tasker.process_step_results(100)").execute(pool).await.unwrap();
        if results == json!([]) {
            return;
        }
    }
}

pub(crate) async fn open_tasks(pool: &PgPool) -> i64 {
    query_scalar("select count(*) from tasker.tasks where state <> 'complete'")
        .fetch_one(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_dump_of_the_schema_alone_goes_on_elsewhere_after_migrate() {
    let e = Engine::new().await;
    e.apply(publishing_flow(&["order.paid"])).await;
    e.apply(json!({"namespace": "test", "name": "two", "version": "1",
                   "steps": flow(&[("a", &[]), ("b", &["a"])])["steps"]}))
        .await;
    // One is not started, one waits in its queue, one is in a worker's hands, one's result waits.
    for _ in 0..3 {
        query("select tasker.enqueue_task('test', 'two', '{}')").execute(e.pool()).await.unwrap();
        e.initialize().await;
    }
    let claims = e.claim(2).await;
    e.succeed(&claims[0], json!(1)).await;
    query("select tasker.enqueue_task('test', 'two', '{}')").execute(e.pool()).await.unwrap();
    let Some(dump) = dump(&e.db, &["--schema=tasker", "--inserts"]).await else { return };

    let there = empty(&e.db, "").await;
    run(&there, dump).await;
    // Without pgmq nothing works, and a program that starts says so.
    let refused = refusal(schema::check(&there).await);
    assert!(
        refused.contains("pgmq is not installed") && refused.contains("run tasker migrate"),
        "{refused}"
    );
    // The sessions of the restored dump have its empty search_path.
    there.close().await;
    let there = connect(&e.db, there.connect_options().get_database().unwrap(), None).await;
    let report = pgtasker_queues::migrate(&there).await.unwrap();
    let mut created = report.queues_created.clone();
    created.sort();
    let all = [
        "orchestration_step_results",
        "orchestration_task_requests",
        "test_domain_events",
        "worker_test_queue",
    ];
    assert_eq!(created, all, "{report}");
    assert!(report.to_string().contains("created queue worker_test_queue"), "{report}");
    assert_eq!(problems(&there).await, Vec::<String>::new());
    drain(&there).await;
    assert_eq!(
        open_tasks(&there).await,
        4,
        "their messages were in the queues that did not come along"
    );
    // What stands still for a minute is sent again.
    query("select tasker.set_clock(clock_timestamp() + interval '2 minutes')")
        .execute(&there)
        .await
        .unwrap();
    for _ in 0..3 {
        query("select * from tasker.finalize_tasks(100)").execute(&there).await.unwrap();
        drain(&there).await;
        query("select tasker.set_clock(tasker.clock() + interval '2 minutes')")
            .execute(&there)
            .await
            .unwrap();
    }
    assert_eq!(open_tasks(&there).await, 0);
}

#[tokio::test]
async fn a_dump_without_rows_is_filled_by_migrate() {
    let db = TestDb::new().await;
    let Some(dump) = dump(&db, &["--schema-only"]).await else { return };
    let there = empty(&db, "").await;
    run(&there, dump).await;
    there.close().await;
    let there = connect(&db, there.connect_options().get_database().unwrap(), None).await;
    let refused = refusal(schema::check(&there).await);
    assert!(
        refused.contains("run tasker migrate") || refused.contains("run `tasker migrate`"),
        "{refused}"
    );
    let report = pgtasker_queues::migrate(&there).await.unwrap();
    assert_eq!(report.schema.migrations, Vec::<String>::new(), "the tables are there: {report}");
    schema::check(&there).await.unwrap();
    // Every row that a new installation has.
    let tables: Vec<String> = query_scalar(
        "select relname::text from pg_class where relnamespace = 'tasker'::regnamespace and \
         relkind = 'r' order by 1",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    for table in tables {
        let sql = format!(
            "select coalesce(string_agg((to_jsonb(t) - \
             '{{applied_at,installed_at}}'::text[])::text, E'\\n' order by to_jsonb(t)::text), '')
               from tasker.{table} t"
        );
        let [here, there]: [String; 2] = [
            query_scalar(AssertSqlSafe(sql.clone())).fetch_one(&db.pool).await.unwrap(),
            query_scalar(AssertSqlSafe(sql)).fetch_one(&there).await.unwrap(),
        ];
        assert_eq!(here.lines().count(), there.lines().count(), "{table}");
        assert!(here == there || table.starts_with("schema_"), "{table}:\n{here}\n{there}");
    }
}
