//! Namespaces as a boundary: who is limited to some learns nothing of others and changes nothing
//! there. Every function, view, and table that any role may use is tried, from the database's own
//! list: a new one fails here until it is handled.

mod calls;

use calls::CALLS;
use pgtasker_tests::{
    TestDb,
    engine::{Engine, sqlstate},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection, PgConnection, PgPool, query, query_as, query_scalar};
use std::collections::BTreeSet;
use uuid::Uuid;

/// Is in everything of the other namespace: names, contexts, errors, notes.
const SECRET: &str = "hidden";

/// What is of the other namespace.
struct World {
    db: TestDb,
    task: Uuid,
    worker: Uuid,
    claim_no: i32,
    entry: Uuid,
    message: Uuid,
    template: Uuid,
}

/// A template whose every name holds the word.
fn flow_of(namespace: &str, word: &str) -> Value {
    json!({
        "namespace": namespace,
        "name": format!("{word}_flow"),
        "version": "1",
        "input_schema": {"title": word},
        "steps": [
            {
                "name": format!("{word}_step"),
                "handler": {"callable": format!("{word}_handler")},
                "retry": {"max_attempts": 1},
                "publishes_events": [{"name": format!("{word}.done")}],
            },
            {
                "name": format!("{word}_next"),
                "dependencies": [format!("{word}_step")],
                "handler": {"callable": "noop"},
            },
        ],
    })
}

/// Two namespaces with everything that there is to see: `own` and `hidden`.
async fn world() -> World {
    let e = Engine::new().await;
    for (namespace, word) in [("own", "own"), (SECRET, SECRET)] {
        e.apply(flow_of(namespace, word)).await;
        query("select tasker.heartbeat($1, array[$2], array[$3], jsonb_build_object('host', $3))")
            .bind(if word == SECRET { e.worker } else { Uuid::now_v7() })
            .bind(namespace)
            .bind(format!("{word}_handler"))
            .execute(e.pool())
            .await
            .unwrap();
    }
    let mut tasks = Vec::new();
    for namespace in ["own", SECRET, SECRET] {
        let id: Uuid = query_scalar(
            "select tasker.enqueue_task($1, $1 || '_flow', \
            jsonb_build_object('word', $1), p_idempotency_key => gen_random_uuid() || $1)",
        )
        .bind(namespace)
        .fetch_one(e.pool())
        .await
        .unwrap();
        tasks.push(id);
    }
    e.initialize().await;
    let (task, claim_no) =
        query_as("select task_id, claim_no from tasker.claim_steps('hidden', $1, 1)")
            .bind(e.worker)
            .fetch_one(e.pool())
            .await
            .unwrap();
    let failed: Uuid = *tasks[1..].iter().find(|id| **id != task).unwrap();
    query("select tasker.add_dead_letter($1, 'hidden note')")
        .bind(failed)
        .execute(e.pool())
        .await
        .unwrap();
    query("select tasker.add_dead_letter($1, 'own note')")
        .bind(tasks[0])
        .execute(e.pool())
        .await
        .unwrap();
    query(
        "insert into tasker.dead_letters (entry_id, reason, queue, message, detail, created_at)
           values (gen_random_uuid(), 'bad_message', 'worker_hidden_queue', '{\"hidden\": 1}', \
           'hidden', now())",
    )
    .execute(e.pool())
    .await
    .unwrap();
    query("select tasker.pause_namespace('hidden', 'hidden'); ").execute(e.pool()).await.unwrap();
    // Ages stand still, so that two answers can be compared.
    e.clock(0).await;
    let one = |sql: &'static str| query_scalar::<_, Uuid>(sql).fetch_one(e.pool());
    let entry =
        one("select entry_id from tasker.dead_letters where notes like '%hidden%'").await.unwrap();
    let message =
        one("select entry_id from tasker.dead_letters where reason = 'bad_message'").await.unwrap();
    let template =
        one("select template_id from tasker.templates where namespace = 'hidden'").await.unwrap();
    World { worker: e.worker, db: e.db, task, claim_no, entry, message, template }
}

impl World {
    /// A login in all roles, limited to `own`.
    async fn limited(&self) -> PgConnection {
        let roles = [
            "tasker_client",
            "tasker_worker",
            "tasker_orchestrator",
            "tasker_consumer",
            "tasker_operator",
            "tasker_readonly",
        ];
        let (login, url) = self.db.login(&roles).await;
        query("select tasker.grant_namespace($1, 'own')")
            .bind(login)
            .execute(&self.db.pool)
            .await
            .unwrap();
        PgConnection::connect(&url).await.unwrap()
    }

    /// The call, about the task of the other namespace, or about what does not exist at all.
    fn call(&self, sql: &str, exists: bool) -> String {
        let none = "00000000-0000-7000-8000-000000000009".parse().unwrap();
        let id = |id: Uuid| if exists { id } else { none }.to_string();
        let claim = json!({
            "task_id": id(self.task),
            "step": "hidden_step",
            "claim_no": self.claim_no,
            "outcome": {"type": "success", "result": 1},
        });
        let claims = json!([claim]).to_string();
        sql.replace("$task", &id(self.task))
            .replace("$entry", &id(self.entry))
            .replace("$message", &id(self.message))
            .replace("$template", &id(self.template))
            .replace("$worker", &self.worker.to_string())
            .replace("$claims", &claims)
            .replace("$results", &claims)
    }

    /// All rows that belong to the other namespace, as text.
    async fn state(&self) -> Vec<String> {
        let mut rows = Vec::new();
        let tables: Vec<String> = query_scalar(
            "select c.oid::regclass::text from pg_class c join pg_namespace n on n.oid = \
             c.relnamespace
              where c.relkind = 'r' and n.nspname in ('tasker', 'pgmq') and c.relname not in \
              ('operations', 'sweeps') order by 1",
        )
        .fetch_all(&self.db.pool)
        .await
        .unwrap();
        for table in tables {
            let sql = format!("select '{table} ' || t::text from {table} t order by 1");
            rows.extend(
                query_scalar::<_, String>(AssertSqlSafe(sql))
                    .fetch_all(&self.db.pool)
                    .await
                    .unwrap(),
            );
        }
        rows
    }
}

/// What a call answers: its rows, or code, message, and hint.
async fn answer(connection: &mut PgConnection, sql: &str) -> String {
    let mut undone = connection.begin().await.unwrap();
    let rows = format!("select coalesce(string_agg(r::text, ' '), '') from ({sql}) r");
    let answer = query_scalar::<_, String>(AssertSqlSafe(rows)).fetch_one(&mut *undone).await;
    let text = match answer {
        Ok(text) => {
            // What it has written is looked at afterwards.
            undone.commit().await.unwrap();
            return text;
        }
        Err(sqlx::Error::Database(error)) => {
            let error = error.downcast_ref::<sqlx::postgres::PgDatabaseError>();
            format!("{} {} {}", error.code(), error.message(), error.hint().unwrap_or_default())
        }
        Err(error) => panic!("{sql}: {error}"),
    };
    undone.rollback().await.unwrap();
    text
}

#[tokio::test]
async fn no_function_reaches_another_namespace() {
    let world = world().await;
    // Ages would differ between two looks.
    query("select tasker.set_clock(clock_timestamp())").execute(&world.db.pool).await.unwrap();
    let mut limited = world.limited().await;
    let granted: BTreeSet<String> = query_scalar::<_, String>(
        "select distinct p.proname::text from pg_proc p, pg_roles r
          where p.pronamespace = 'tasker'::regnamespace and r.rolname like 'tasker\\_%'
            and r.rolname in ('tasker_client', 'tasker_worker', 'tasker_orchestrator', \
            'tasker_consumer', 'tasker_operator', 'tasker_readonly')
            and has_function_privilege(r.oid, p.oid, 'execute')",
    )
    .fetch_all(&world.db.pool)
    .await
    .unwrap()
    .into_iter()
    .collect();
    let listed: BTreeSet<String> = CALLS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(granted, listed, "say in CALLS how each would reach another namespace");
    let before = world.state().await;
    for (name, calls) in CALLS {
        for sql in *calls {
            let there = answer(&mut limited, &world.call(sql, true)).await;
            let nowhere =
                answer(&mut limited, &world.call(&sql.replace(SECRET, "nowhere"), false)).await;
            // Whatever was asked for stands in the answer; besides that, what exists answers as
            // what does not.
            let asked = |text: &str| {
                let ids = [world.task, world.entry, world.message, world.template, world.worker];
                let text = ids
                    .iter()
                    .fold(text.to_owned(), |text, id| text.replace(&id.to_string(), "ID"));
                text.replace("00000000-0000-7000-8000-000000000009", "ID")
                    .replace("nowhere", SECRET)
            };
            assert_eq!(asked(&there), asked(&nowhere), "{name}: {sql}");
            let told = there
                .replace("namespace \"hidden\"", "")
                .replace(&format!("worker_{SECRET}_queue"), "");
            assert!(!told.contains(SECRET), "{name}: {sql}: {there}");
        }
    }
    let (after, of_own) = (world.state().await, |row: &&String| !row.contains(SECRET));
    let changed: Vec<&String> =
        before.iter().filter(|row| row.contains(SECRET) && !after.contains(row)).collect();
    assert!(changed.is_empty(), "changed: {changed:#?}");
    let new: Vec<&String> =
        after.iter().filter(|row| !before.contains(row)).filter(|row| !of_own(row)).collect();
    assert!(new.is_empty(), "new: {new:#?}");
}

#[tokio::test]
async fn no_view_and_no_table_shows_another_namespace() {
    let world = world().await;
    let mut limited = world.limited().await;
    let relations: Vec<(String, bool)> = query_as(
        "select c.relname::text, c.relkind = 'v' from pg_class c
          where c.relnamespace = 'tasker'::regnamespace and c.relkind in ('r', 'v', 'm', 'p', 'f')
            and has_table_privilege('tasker_operator', c.oid, 'select')",
    )
    .fetch_all(&world.db.pool)
    .await
    .unwrap();
    for (relation, is_view) in &relations {
        let sql = format!("select r::text from tasker.{relation} r");
        let shown = answer(&mut limited, &sql).await;
        assert!(!shown.contains(SECRET), "{relation}: {shown}");
        let all: i64 =
            query_scalar(AssertSqlSafe(format!("select count(*) from tasker.{relation}")))
                .fetch_one(&world.db.pool)
                .await
                .unwrap();
        // What every process compares with itself is for all.
        if *is_view || relation.starts_with("schema_") {
            assert!(!shown.starts_with("TK") && !shown.starts_with("42"), "{relation}: {shown}");
        } else if all > 0 {
            assert!(shown.starts_with("TK053"), "{relation}: {shown}");
        }
        // A condition of the caller's own must not see what the view leaves out.
        let leak = format!("select 1 from tasker.{relation} r where pg_temp.leak(r::text)");
        let lay = "create or replace function pg_temp.leak(t text) returns boolean cost 0.0001 \
            language plpgsql as $$
                   begin if t like '%hidden%' then raise exception 'leaked %', t; end if; return \
                   true; end $$";
        query(lay).execute(&mut limited).await.unwrap();
        let leaked = answer(&mut limited, &leak).await;
        assert!(!leaked.contains("leaked"), "{relation}: {leaked}");
    }
    let views = relations.iter().filter(|(_, is_view)| *is_view).count();
    assert!(views > 15, "views were looked at: {views}");
}

#[tokio::test]
async fn a_limited_login_works_in_its_own_namespace() {
    let world = world().await;
    let mut limited = world.limited().await;
    for (sql, expected) in [
        ("select namespace from tasker.task_overview", "(own)"),
        ("select namespace from tasker.namespace_overview", "(own)"),
        ("select count(*) > 0 from tasker.step_overview", "(t)"),
        ("select count(*) > 0 from tasker.step_audit", "(t)"),
        ("select count(*) from tasker.dead_letter_overview", "(1)"),
        ("select count(*) from tasker.dead_letter_details", "(1)"),
        ("select queue from tasker.queue_overview where kind = 'worker'", "(worker_own_queue)"),
        ("select handlers from tasker.worker_overview", "({own_handler})"),
        ("select namespace from tasker.template_overview", "(own)"),
        ("select tasker.count_tasks('{\"namespace\": \"own\"}')", "(1)"),
        ("select step from tasker.claim_steps('own', gen_random_uuid(), 9)", "(own_step)"),
        ("select tasker.pause_namespace('own')", "(t)"),
        ("select tasker.cancel_tasks('{\"namespace\": \"own\"}')", "(1)"),
    ] {
        assert_eq!(answer(&mut limited, sql).await, expected, "{sql}");
    }
    for (limit, seen) in [("hidden", ""), ("own,hidden", "(own)"), (",", "")] {
        let mut narrowed = limited.begin().await.unwrap();
        query("select set_config('tasker.namespaces', $1, true)")
            .bind(limit)
            .execute(&mut *narrowed)
            .await
            .unwrap();
        let names: Vec<String> =
            query_scalar("select '(' || namespace || ')' from tasker.task_overview")
                .fetch_all(&mut *narrowed)
                .await
                .unwrap();
        assert_eq!(names.concat(), seen, "a call can only narrow the limit");
        narrowed.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_grant_limits_members_and_its_end_sets_them_free() {
    let world = world().await;
    let pool: &PgPool = &world.db.pool;
    let (login, url) = world.db.login(&["tasker_operator"]).await;
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let seen = async |connection: &mut PgConnection| -> Vec<String> {
        let sql = "select distinct namespace from tasker.task_overview order by 1";
        query_scalar(sql).fetch_all(connection).await.unwrap()
    };
    assert_eq!(seen(&mut connection).await, ["hidden", "own"]);
    let group = format!("g_{}", Uuid::new_v4().simple());
    query(AssertSqlSafe(format!("create role {group}; "))).execute(pool).await.unwrap();
    query(AssertSqlSafe(format!("grant {group} to {login}"))).execute(pool).await.unwrap();
    let call = async |sql: &str| -> bool {
        query_scalar(AssertSqlSafe(sql.replace("$group", &group))).fetch_one(pool).await.unwrap()
    };
    assert!(call("select tasker.grant_namespace('$group', 'own')").await);
    assert!(!call("select tasker.grant_namespace('$group', 'own')").await);
    assert_eq!(seen(&mut connection).await, ["own"], "a member is limited from its next call");
    assert!(call("select tasker.revoke_namespace('$group', 'own')").await);
    assert_eq!(seen(&mut connection).await, [""; 0], "the last namespace taken away leaves none");
    assert!(call("select tasker.revoke_namespace('$group')").await);
    assert_eq!(seen(&mut connection).await, ["hidden", "own"]);
    assert_eq!(
        sqlstate(pool, "select tasker.grant_namespace('nobody_at_all', 'own')").await,
        "TK054"
    );
    assert_eq!(sqlstate(pool, "select tasker.grant_namespace('postgres', 'NO')").await, "TK054");
    let said: Vec<String> = query_scalar(
        "select operation || ' ' || coalesce(namespace, '-') || ' ' || said_by from \
         tasker.operation_overview
          where operation in ('grant', 'revoke') order by operation_id",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(said, ["grant own postgres", "revoke own postgres", "revoke - postgres"]);
    query(AssertSqlSafe(format!("drop role {group}"))).execute(pool).await.unwrap();
}
