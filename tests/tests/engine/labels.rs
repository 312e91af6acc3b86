//! What functions and views say of themselves to the planner: volatility, parallel safety, rows.

use pgtasker_tests::{TestDb, engine::Engine};
use serde_json::Value;
use sqlx::{AssertSqlSafe, query_scalar, raw_sql};

#[tokio::test]
async fn looking_at_the_queues_of_many_namespaces_is_not_worth_compiling() {
    let e = Engine::new().await;
    raw_sql(
        "insert into tasker.namespaces (namespace, events, created_at) select 'n' || i, true, \
         now() from generate_series(1, 1000) i;
         analyze tasker.namespaces;",
    )
    .execute(e.pool())
    .await
    .unwrap();
    for view in [
        "queue_overview",
        "gated_namespaces",
        "worker_overview",
        "template_overview",
        "dead_letter_counts",
    ] {
        let plan: Value = query_scalar(AssertSqlSafe(format!(
            "explain (format json) select * from tasker.{view}"
        )))
        .fetch_one(e.pool())
        .await
        .unwrap();
        let cost = plan[0]["Plan"]["Total Cost"].as_f64().unwrap();
        assert!(
            cost < 100_000.0,
            "{view} costs {cost}, over jit_above_cost: declare `rows` on its functions"
        );
    }
}

/// A function may say of itself only what is true of all that it calls.
#[tokio::test]
async fn labels_of_functions_are_true() {
    let db = TestDb::new().await;
    let false_labels: Vec<String> = query_scalar(
        "with f as (select p.oid, p.proname, p.prosrc, p.provolatile, p.proparallel, l.lanname
                      from pg_proc p join pg_language l on l.oid = p.prolang
                     where p.pronamespace = 'tasker'::regnamespace and p.prokind = 'f'),
         calls as (select f.proname as caller, f.proparallel, f.provolatile, g.proname as called, \
         g.proparallel as g_parallel, g.provolatile as g_volatile
                     from f
                    cross join lateral (select distinct m[1] as name from \
                    regexp_matches(regexp_replace(f.prosrc, '''[^'']*''', '', 'g'), \
                    'tasker\\.([a-z_]+)\\s*\\(', 'g') m) c
                     join f g on g.proname = c.name)
         select format('%s is parallel safe and has an exception block, which begins a \
         subtransaction', proname) from f
          where proparallel = 's' and lanname = 'plpgsql' and prosrc ~* '\\mexception\\s+when\\M'
         union all
         select format('%s is parallel safe, and calls %s, which is not', caller, called) from \
         calls where proparallel = 's' and g_parallel <> 's'
         union all
         select format('%s is immutable, and calls %s, which is not', caller, called) from calls \
         where provolatile = 'i' and g_volatile <> 'i'
         union all
         select format('%s is stable, and calls %s, which is volatile', caller, called) from calls
          where provolatile = 's' and g_volatile = 'v'
            -- What is at this moment; and rows that are locked only where it is asked to.
            and called not in ('now', 'clock', 'queue_metrics', 'match_tasks')",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    assert_eq!(false_labels, Vec::<String>::new());
}
