//! The rights of each database role. They are written down here by hand, so that a right that comes
//! by accident, with a new function or view, fails.

use crate::roles::{run, with_queue};
use rstest::rstest;
use sqlx::{PgPool, query_scalar};
use std::collections::BTreeSet;

// The functions that each role may execute. A new one goes into the list of every role that is
// granted it.

const CLIENT: &[&str] = &[
    "enqueue_task",
    "enqueue_tasks",
    "task_status",
    "task_result",
    "task_context",
    "task_results",
    "cancel_task",
    "validate_template",
    "template_warnings",
];
const WORKER: &[&str] = &[
    "claim_steps",
    "submit_results",
    "complete_steps",
    "extend_leases",
    "lost_claims",
    "release_steps",
    "heartbeat",
    "remove_worker",
    "run_alone",
    "template_handlers",
    "run_sql_handler",
    "outcome_problem",
    "outcome_too_large",
    "parent_results",
    "batch_results",
];
const ORCHESTRATOR: &[&str] = &[
    "create_queues",
    "take_task_requests",
    "start_tasks",
    "template_input_schema",
    "initialize_tasks",
    "process_step_results",
    "process_slow_result",
    "set_aside",
    "enqueue_ready_steps",
    "finalize_tasks",
    "sweep_stale",
    "ended_tasks",
    "prune",
    "now",
    "queue_metrics",
    "worker_queue",
    "events_queue",
    "open_task_counts",
    "take_finished_counts",
    "live_worker_counts",
    "limits",
    "find_limits",
    "may_see_entry",
];
const CONSUMER: &[&str] = &["read_events", "finish_events"];
const READONLY: &[&str] = &[
    "task_status",
    "task_result",
    "task_context",
    "count_dead_letters",
    "list_settings",
    "task_results",
    "validate_template",
    "template_warnings",
    "now",
    "queue_metrics",
    "worker_queue",
    "events_queue",
    "batch_results",
    "unmade_steps",
    "cursor_items",
    "open_task_counts",
    "live_worker_counts",
    "missing_worker",
    "task_waiting_for",
    "list_tasks",
    "list_steps",
    "show_step",
    "list_dead_letters",
    "list_events",
    "slowest_steps",
    "throughput",
    "failure_rates",
    // By these, views and the policies of tables know who is limited to namespaces.
    "limits",
    "find_limits",
    "may_see_entry",
    "refuse_limited",
];
const OPERATOR: &[&str] = &[
    "create_queues",
    "apply_template",
    "use_template",
    "pause_namespace",
    "resume_namespace",
    "limit_namespace",
    "retry_step",
    "resolve_step",
    "resolve_task",
    "reset_task",
    "retry_tasks",
    "cancel_tasks",
    "count_tasks",
    "add_dead_letter",
    "update_dead_letter",
    "retry_dead_letter",
    "retry_dead_letters",
    "update_dead_letters",
    "set_setting",
    "prune",
    "grant_namespace",
    "revoke_namespace",
];

fn functions(role: &str) -> Vec<&'static str> {
    // Every program asks it at its start.
    let all: &[&str] = &["installation_problems"];
    match role {
        "tasker_client" => [CLIENT, all].concat(),
        "tasker_worker" => [WORKER, all].concat(),
        "tasker_orchestrator" => [ORCHESTRATOR, all].concat(),
        "tasker_consumer" => [CONSUMER, all].concat(),
        "tasker_operator" => [CLIENT, READONLY, OPERATOR, all].concat(),
        "tasker_readonly" => [READONLY, all].concat(),
        _ => Vec::new(),
    }
}

/// The tables and views that each role may read; None: all but those of the engine itself. Nobody
/// may write any.
fn relations(role: &str) -> Option<Vec<&'static str>> {
    match role {
        "tasker_operator" | "tasker_readonly" => None,
        "tasker_orchestrator" => {
            Some(vec!["schema_info", "schema_migrations", "queue_overview", "dead_letter_counts"])
        }
        "tasker_client" | "tasker_worker" | "tasker_consumer" => {
            Some(vec!["schema_info", "schema_migrations"])
        }
        _ => Some(Vec::new()),
    }
}

pub(crate) async fn names(pool: &PgPool, sql: &'static str, role: &str) -> BTreeSet<String> {
    let names: Vec<String> = query_scalar(sql).bind(role).fetch_all(pool).await.unwrap();
    names.into_iter().collect()
}

fn set(names: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    names.into_iter().map(Into::into).collect()
}

/// Functions of schema tasker, trigger functions and those of the engine too.
const MAY_EXECUTE: &str = "
    select p.proname::text
    from pg_proc p
    where p.pronamespace = 'tasker'::regnamespace
      and has_schema_privilege($1, 'tasker', 'usage')
      and has_function_privilege($1, p.oid, 'execute')";
const MAY_READ: &str = "
    select c.relname::text
    from pg_class c
    where c.relnamespace = 'tasker'::regnamespace
      and c.relkind in ('r', 'v', 'm', 'p', 'f')
      and has_schema_privilege($1, 'tasker', 'usage')
      and has_any_column_privilege($1, c.oid, 'select')";
pub(crate) const ALL_RELATIONS: &str = "
    select c.relname::text
    from pg_class c
    where c.relnamespace = 'tasker'::regnamespace
      and c.relkind in ('r', 'v', 'm', 'p', 'f')
      and $1 <> ''
      -- What tasker's own functions read, unfiltered.
      and c.relname not in ('every_ready_step', 'every_gated_namespace')";
/// What nobody may do, schema usage or not: writing, sequences, and everything of pgmq.
const MAY_WRITE: &str = "
    select format('%s %s', x.verb, c.oid::regclass)
    from pg_class c
    cross join unnest('{insert,update,references}'::text[]) x(verb)
    where c.relnamespace = 'tasker'::regnamespace
      and c.relkind in ('r', 'v', 'm', 'p', 'f')
      and has_any_column_privilege($1, c.oid, x.verb)
    union all
    select format('%s %s', x.verb, c.oid::regclass)
    from pg_class c
    cross join unnest('{delete,truncate,trigger}'::text[]) x(verb)
    where c.relnamespace = 'tasker'::regnamespace
      and c.relkind in ('r', 'v', 'm', 'p', 'f')
      and has_table_privilege($1, c.oid, x.verb)
    union all
    select format('%s %s', x.verb, c.oid::regclass)
    from pg_class c
    cross join unnest('{usage,update}'::text[]) x(verb)
    where c.relnamespace in ('tasker'::regnamespace, 'pgmq'::regnamespace)
      and c.relkind = 'S'
      and has_sequence_privilege($1, c.oid, x.verb)
    union all
    select format('%s %s', x.verb, c.oid::regclass)
    from pg_class c
    cross join unnest(
        '{select,insert,update,delete,truncate,references,trigger}'::text[]
    ) x(verb)
    where c.relnamespace = 'pgmq'::regnamespace
      and c.relkind in ('r', 'v', 'p')
      and has_table_privilege($1, c.oid, x.verb)
    union all
    select format('%s on %s', x.verb, n.nspname)
    from pg_namespace n
    cross join unnest('{create,usage}'::text[]) x(verb)
    where (n.nspname, x.verb) in (('tasker', 'create'), ('pgmq', 'create'), ('pgmq', 'usage'))
      and has_schema_privilege($1, n.oid, x.verb)";

#[rstest]
#[case("public")]
#[case("tasker_client")]
#[case("tasker_worker")]
#[case("tasker_orchestrator")]
#[case("tasker_consumer")]
#[case("tasker_operator")]
#[case("tasker_readonly")]
#[tokio::test]
async fn a_role_has_the_rights_that_are_listed_and_no_other(#[case] role: &str) {
    let db = with_queue().await;
    assert_eq!(names(&db.pool, MAY_EXECUTE, role).await, set(functions(role)), "functions");
    let readable = match relations(role) {
        Some(listed) => set(listed),
        None => names(&db.pool, ALL_RELATIONS, role).await,
    };
    assert_eq!(names(&db.pool, MAY_READ, role).await, readable, "tables and views");
    assert_eq!(names(&db.pool, MAY_WRITE, role).await, set([""; 0]), "writes, sequences, pgmq");
}

/// Even where a schema is opened by hand, public can call none of our functions.
#[tokio::test]
async fn public_executes_nothing_even_if_it_may_use_the_schema() {
    let db = with_queue().await;
    run(&db, "grant usage on schema tasker to public").await;
    for what in [MAY_EXECUTE, MAY_READ] {
        assert_eq!(names(&db.pool, what, "public").await, set([""; 0]));
    }
}

/// The test of rights sees a right that is too much.
#[tokio::test]
async fn a_right_too_much_is_seen() {
    let db = with_queue().await;
    for (grant, query) in [
        ("grant execute on function tasker.set_clock to tasker_client", MAY_EXECUTE),
        ("grant select (state) on tasker.tasks to tasker_client", MAY_READ),
        ("grant update (priority) on tasker.tasks to tasker_client", MAY_WRITE),
        ("grant usage on schema pgmq to tasker_client", MAY_WRITE),
    ] {
        let before = names(&db.pool, query, "tasker_client").await;
        run(&db, grant).await;
        assert_eq!(
            names(&db.pool, query, "tasker_client").await.len(),
            before.len() + 1,
            "{grant}"
        );
    }
}
