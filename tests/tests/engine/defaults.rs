//! Defaults and ranges are constants of core, of which SQL and the docs repeat some: they must say
//! the same.

use pgtasker_core::bounds::{
    self, Bounds, LEASE, MANY, PAGE, POLL_INTERVAL, PRUNED, RESULTS, SAMPLED, STEP_TIMEOUT, VISIBLE,
};
use pgtasker_tests::engine::Engine;
use sqlx::{AssertSqlSafe, query_as, query_scalar};
use std::{collections::BTreeSet, fs, path::Path, time::Duration};

/// The default of a parameter of a function that a role may call.
async fn default(e: &Engine, function: &str, parameter: &str) -> String {
    let sql = format!(
        "select pg_get_function_arg_default(p.oid, a.n::int) from pg_proc p, \
         unnest(p.proargnames) with ordinality a (name, n) \
         where p.pronamespace = 'tasker'::regnamespace and p.proname = '{function}' \
         and a.name = '{parameter}'"
    );
    query_scalar(AssertSqlSafe(sql)).fetch_one(e.pool()).await.unwrap()
}

#[tokio::test]
async fn sql_has_the_same_defaults() {
    let e = Engine::new().await;
    let times = [
        ("p_lease", LEASE.default, vec!["claim_steps", "complete_steps", "extend_leases"]),
        ("p_visible", VISIBLE.default, vec!["read_events"]),
        ("p_since", bounds::SINCE, vec!["slowest_steps", "failure_rates", "throughput"]),
    ];
    let mut known = BTreeSet::new();
    for (parameter, expected, functions) in times {
        for function in functions {
            let text = default(&e, function, parameter).await;
            let sql = format!("select extract(epoch from {text})::float8");
            let seconds: f64 = query_scalar(AssertSqlSafe(sql)).fetch_one(e.pool()).await.unwrap();
            assert_eq!(seconds, expected.as_secs_f64(), "{parameter} of {function}");
            known.insert((function.to_owned(), parameter.to_owned()));
        }
    }
    let numbers = [
        ("p_max", PAGE, vec!["list_tasks", "list_dead_letters", "list_steps", "list_events"]),
        ("p_max", PAGE, vec!["failure_rates"]),
        ("p_max", MANY, vec!["retry_tasks", "cancel_tasks", "retry_dead_letters"]),
        ("p_max", MANY, vec!["update_dead_letters"]),
        ("p_max", PRUNED, vec!["prune"]),
        ("p_max", RESULTS, vec!["parent_results", "batch_results"]),
        ("p_max_tasks", SAMPLED, vec!["slowest_steps", "failure_rates", "throughput"]),
    ];
    for (parameter, Bounds { default: expected, .. }, functions) in numbers {
        for function in functions {
            let text = default(&e, function, parameter).await;
            assert_eq!(text, expected.to_string(), "{parameter} of {function}");
            known.insert((function.to_owned(), parameter.to_owned()));
        }
    }
    // The slowest are few.
    known.insert(("slowest_steps".to_owned(), "p_max".to_owned()));
    let all: Vec<(String, String)> = query_as(
        "select p.proname::text, a.name from pg_proc p, unnest(p.proargnames) with ordinality a \
         (name, n) where p.pronamespace = 'tasker'::regnamespace \
         and a.name in ('p_lease', 'p_visible', 'p_since', 'p_max', 'p_max_tasks') \
         and pg_get_function_arg_default(p.oid, a.n::int) is not null \
         and exists (select from aclexplode(p.proacl) g where g.grantee <> p.proowner)",
    )
    .fetch_all(e.pool())
    .await
    .unwrap();
    assert_eq!(all.into_iter().collect::<BTreeSet<_>>(), known);
}

#[tokio::test]
async fn sql_refuses_the_same_leases_and_numbers() {
    let e = Engine::new().await;
    let lease = async |lease: Duration| {
        let sql = format!("select tasker.lease_seconds('{} ms')", lease.as_millis());
        query_scalar::<_, i32>(AssertSqlSafe(sql)).fetch_one(e.pool()).await
    };
    let ms = Duration::from_millis(1);
    for (at, beyond) in [(LEASE.least, LEASE.least - ms), (LEASE.most, LEASE.most + ms)] {
        assert_eq!(lease(at).await.unwrap(), at.as_secs() as i32);
        assert!(lease(beyond).await.is_err(), "{beyond:?}");
    }
    for bounds in [MANY, PRUNED, RESULTS, SAMPLED] {
        for (max, is_taken) in
            [(0, false), (1, true), (bounds.most, true), (bounds.most + 1, false)]
        {
            let sql = format!("select tasker.prune({max})::text");
            let pruned = query_scalar::<_, String>(AssertSqlSafe(sql)).fetch_one(e.pool()).await;
            assert_eq!(pruned.is_ok(), is_taken, "{max}");
        }
    }
}

#[tokio::test]
async fn a_step_without_a_timeout_has_the_default() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let seconds: f64 = query_scalar(
        "select extract(epoch from timeout)::float8 from \
        tasker.template_steps",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(seconds, STEP_TIMEOUT.as_secs_f64());
}

/// Sentences of the docs that name a default, as they must be.
#[test]
fn the_docs_name_the_same_defaults() {
    let seconds = |time: Duration| format!("{} s", time.as_secs());
    let stalled = bounds::STALLED_AFTER.default;
    let serve = format!(
        "`TASKER_WORKER_CONCURRENCY` ({}), `TASKER_WORKER_CONNECTIONS` ({}), \
         `TASKER_WORKER_LEASE` (`{}`), `TASKER_WORKER_GRACE` (`{}`)",
        bounds::CONCURRENCY.default,
        bounds::CONNECTIONS.default,
        LEASE.default_text(),
        bounds::GRACE.default_text()
    );
    let sentences = [
        ("docs/operating.md", format!("(`--lease`, {})", seconds(LEASE.default))),
        ("docs/operating.md", format!("for {} seconds (`--stalled-after`)", stalled.as_secs())),
        ("docs/metrics.md", format!("`--stalled-after` ({})", seconds(stalled))),
        (
            "docs/http-api.md",
            format!("`--http-request-timeout` ({})", seconds(bounds::REQUEST_TIMEOUT.default)),
        ),
        (
            "docs/http-api.md",
            format!("`--http-max-body-bytes` ({} MiB)", bounds::BODY_BYTES.default >> 20),
        ),
        ("docs/http-api.md", format!("Every `limit` is from {} to {}.", PAGE.least, PAGE.most)),
        ("docs/http-api.md", format!("`after` `limit` ({})", PAGE.default)),
        ("docs/http-api.md", format!("`max_tasks` ({})", SAMPLED.default)),
        ("docs/sql-api.md", format!("`max` ({}) bounds one call", MANY.default)),
        ("docs/sql-api.md", "a batch size below 1 or above 100,000".to_owned()),
        ("worker/src/process/serve.rs", serve),
        ("worker/src/builder.rs", format!("from 1 to 10,000; {} by", bounds::CONCURRENCY.default)),
        ("worker/src/builder.rs", format!("{} by default, from 1 s", seconds(LEASE.default))),
        ("worker/src/builder.rs", format!("{} by default.", seconds(bounds::GRACE.default))),
        ("worker/src/builder.rs", format!("{} by default.", seconds(POLL_INTERVAL.default))),
        (
            "orchestrator/src/orchestrator.rs",
            format!("from 1 to 10,000. Default: {}.", bounds::BATCH_SIZE.default),
        ),
    ];
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (file, sentence) in sentences {
        let text = fs::read_to_string(root.join(file)).unwrap().replace("///", "");
        let folded = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(folded(&text).contains(&folded(&sentence)), "{file} does not say {sentence:?}");
    }
}
