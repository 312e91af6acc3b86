//! Who did it, what a template may not say, and whose code runs in whose session.

use pgtasker_tests::{
    TestDb,
    engine::{Engine, sqlstate},
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, PgPool, query, query_as, query_scalar, raw_sql};

/// A role that may create in public makes an operator that fits the states better than PostgreSQL's
/// own.
#[tokio::test]
async fn whoever_changes_a_table_runs_no_operator_of_somebody_elses() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    let trap = ["task_state", "step_state"].map(|state| {
        format!(
            "create function public.trap(tasker.{state}, tasker.{state}) returns boolean language \
             plpgsql as
                 $$ begin raise exception 'trapped as %', current_user; end $$;
             create operator public.<> (function = public.trap, leftarg = tasker.{state}, \
             rightarg = tasker.{state});
             create operator public.= (function = public.trap, leftarg = tasker.{state}, rightarg \
             = tasker.{state});"
        )
    });
    raw_sql(AssertSqlSafe(trap.concat())).execute(e.pool()).await.unwrap();
    for sql in [
        "update tasker.tasks set priority = 5",
        "update tasker.steps set max_attempts = 5",
        "select count(*) from tasker.step_overview, tasker.queue_overview, tasker.batch_overview",
    ] {
        raw_sql(sql).execute(e.pool()).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }
    assert_eq!(e.task_state(id).await, "steps_in_process");
}

const HIDDEN: [&str; 12] = [
    "E'ana\\nFAKE LINE'",
    "E'\\u001b[2J'",
    "U&'a\\202eb'",
    "U&'\\2066x'",
    "E'\\u0085'",
    "E'a\\rb'",
    // What shows nothing: two names that are not the same look so.
    "U&'a\\200bna'",
    "U&'an\\00ada'",
    "U&'\\2060ana'",
    "U&'ana\\+0e0041'",
    "U&'ana\\feff'",
    "U&'\\3164'",
];

#[tokio::test]
async fn what_an_audit_would_not_show_as_it_is_is_refused() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let id = e.start().await;
    let entry: uuid::Uuid = query_scalar("select tasker.add_dead_letter($1)")
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
    let calls = [
        "cancel_task('$id', 'x', p_by => $bad)",
        "cancel_task('$id', $bad)",
        "cancel_tasks('{\"namespace\": \"test\"}', $bad)",
        "retry_tasks('{\"namespace\": \"test\"}', null, $bad)",
        "resolve_task('$id', '1', $bad)",
        "resolve_task('$id', '1', null, $bad)",
        "resolve_step('$id', 'a', '1', $bad)",
        "pause_namespace('test', $bad)",
        "pause_namespace('test', null, $bad)",
        "limit_namespace('test', 5, $bad)",
        "limit_namespace('test', 5, null, $bad)",
        "add_dead_letter('$id', null, $bad)",
        "update_dead_letter('$entry', 'cancelled', null, $bad)",
        "retry_dead_letter('$entry', $bad)",
        "grant_namespace(session_user, 'test', $bad)",
        "grant_namespace(session_user, 'test', null, $bad)",
    ];
    for call in calls {
        for bad in HIDDEN {
            let sql = call
                .replace("$id", &id.to_string())
                .replace("$entry", &entry.to_string())
                .replace("$bad", bad);
            let error = query(AssertSqlSafe(format!("select tasker.{sql}")))
                .execute(e.pool())
                .await
                .unwrap_err();
            let code = error
                .as_database_error()
                .and_then(|error| error.code())
                .unwrap_or_default()
                .into_owned();
            // A task that cannot be replayed is refused for that first.
            assert!(
                code == "TK052" || call.starts_with("retry_dead_letter") && code == "TK042",
                "{sql}: {error}"
            );
        }
    }
    // A note of two lines is one note.
    query("select tasker.add_dead_letter($1, E'one\\n2026-01-01 00:00Z root: two', 'ana')")
        .bind(id)
        .execute(e.pool())
        .await
        .unwrap();
    let notes: String =
        query_scalar("select notes from tasker.dead_letters").fetch_one(e.pool()).await.unwrap();
    assert!(
        notes.ends_with("ana (login postgres): one\n    2026-01-01 00:00Z root: two"),
        "{notes}"
    );
}

#[tokio::test]
async fn the_login_stands_beside_whom_a_caller_names() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let (login, url) = e.db.login(&["tasker_client", "tasker_operator"]).await;
    let pool = PgPool::connect(&url).await.unwrap();
    for (by, said) in [
        ("root", format!("root (login {login})")),
        ("", login.clone()),
        (login.as_str(), login.clone()),
    ] {
        let id = e.enqueue(json!({})).await;
        query("select tasker.cancel_task($1, 'x', $2)")
            .bind(id)
            .bind(by)
            .execute(&pool)
            .await
            .unwrap();
        let reason: String = query_scalar(
            "select reason from tasker.task_audit where task_id = $1 and to_state = 'cancelled'",
        )
        .bind(id)
        .fetch_one(e.pool())
        .await
        .unwrap();
        assert_eq!(reason, format!("cancelled by {said}: x"));
    }
}

#[tokio::test]
async fn what_is_done_to_namespaces_is_written_down() {
    let db = TestDb::new().await;
    let flow = json!({
        "namespace": "test",
        "name": "flow",
        "version": "1",
        "steps": [{"name": "a", "handler": {"callable": "noop"}}],
    });
    query("select tasker.apply_template($1, 'ana')").bind(&flow).execute(&db.pool).await.unwrap();
    raw_sql(
        "select tasker.apply_template((select definition from tasker.templates));
         select tasker.pause_namespace('test', 'why', 'ana'); select tasker.pause_namespace('test');
         select tasker.resume_namespace('test', null, 'ben'); select \
         tasker.resume_namespace('test');
         select tasker.limit_namespace('test', 7); select tasker.prune();
         insert into tasker.dead_letters (entry_id, reason, status, detail, created_at, resolved_at)
             values (gen_random_uuid(), 'bad_message', 'cancelled', 'x', now() - interval '9 \
             years', now() - interval '9 years');
         select tasker.prune(10, 'ana')",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let rows: Vec<(String, Option<String>, String, Option<String>)> = query_as(
        "select operation, namespace, said_by, coalesce(reason, detail::text) from \
            tasker.operation_overview order by operation_id",
    )
    .fetch_all(&db.pool)
    .await
    .unwrap();
    let row = |what: &str, by: &str, more: &str| {
        let namespace = (what != "prune").then(|| "test".to_owned());
        (what.to_owned(), namespace, by.to_owned(), (!more.is_empty()).then(|| more.to_owned()))
    };
    assert_eq!(
        rows,
        [
            row(
                "apply",
                "ana (login postgres)",
                "{\"name\": \"flow\", \"created\": true, \"version\": \"1\"}"
            ),
            row(
                "apply",
                "postgres",
                "{\"name\": \"flow\", \"created\": false, \"version\": \"1\"}"
            ),
            row("pause", "ana (login postgres)", "why"),
            row("resume", "ben (login postgres)", ""),
            row("limit", "postgres", "{\"max_depth\": 7}"),
            row("prune", "ana (login postgres)", "{\"tasks\": 0, \"dead_letters\": 1}"),
        ]
    );
    assert_eq!(sqlstate(&db.pool, "update tasker.operations set said_by = 'x'").await, "TK024");
}

#[tokio::test]
async fn by_is_somebody_and_looks_like_nothing_that_the_audit_adds() {
    let e = Engine::new().await;
    e.apply_flow(&[("a", &[])]).await;
    let say = async |by: &str| -> Result<String, String> {
        query_scalar("select tasker.said_by($1)")
            .bind(by)
            .fetch_one(e.pool())
            .await
            .map_err(|error| error.as_database_error().unwrap().code().unwrap().into_owned())
    };
    for by in [
        " ",
        "\u{a0}\u{2003}\u{3000}",
        "ana (login root)",
        "ana (LOGIN root)",
        "ana ( login root",
        "(key:ci)",
        "ana (token: bob)",
        "ana \u{ff08}login root)",
    ] {
        assert_eq!(say(by).await, Err("TK052".to_owned()), "{by:?}");
    }
    for by in ["ana (logins of shop)", "ana (nights)", "login", "key:ci", "Ana María", "\u{1f469}"]
    {
        assert_eq!(say(by).await, Ok(format!("{by} (login postgres)")));
    }
    assert_eq!(say("").await, Ok("postgres".to_owned()));
    // What the HTTP API has said of the request.
    let both: String = query_scalar(
        "select tasker.said_by('ana') from (select set_config('tasker.by', 'key:ci', true)) c",
    )
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(both, "ana (key:ci) (login postgres)");
}

#[tokio::test]
async fn a_template_has_no_version_or_description_that_shows_otherwise() {
    let db = TestDb::new().await;
    let problems = async |version: &str, description: &str| -> Vec<String> {
        let template = json!({
            "namespace": "test",
            "name": "flow",
            "version": version,
            "description": description,
            "steps": [{"name": "a", "description": description, "handler": {"callable": "noop"}}],
        });
        query_scalar("select code || ' ' || path from tasker.validate_template($1) order by 1")
            .bind(template)
            .fetch_all(&db.pool)
            .await
            .unwrap()
    };
    for version in ["1\n", "1\u{1b}[2J", "\u{202e}1", "1\u{200b}", "1\u{e0041}"] {
        assert_eq!(problems(version, "fine").await, ["hidden_characters /version"], "{version:?}");
    }
    for text in ["a\u{1b}[2J", "\u{202e}a", "a\u{85}", "\u{2066}"] {
        let both = ["hidden_characters /description", "hidden_characters /steps/0/description"];
        assert_eq!(problems("1", text).await, both, "{text:?}");
    }
    // Lines, and what is written with joiners.
    for text in ["one\r\n\ttwo\n", "\u{1f469}\u{200d}\u{1f4bb}", "\u{645}\u{6cc}\u{200c}\u{62e}"] {
        assert_eq!(problems("1.0.0-rc1+7", text).await, [""; 0], "{text:?}");
    }
}

async fn problems(pool: &PgPool, config: Value) -> Vec<String> {
    let template = json!({"namespace": "test", "name": "flow", "version": "1",
        "steps": [{"name": "a", "handler": {"callable": "http", "config": config}}]});
    query_scalar("select code || ' ' || path from tasker.validate_template($1) order by 1")
        .bind(template)
        .fetch_all(pool)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_template_frames_no_request_and_names_no_other_secret() {
    let db = TestDb::new().await;
    for header in ["Host", "content-length", "TRANSFER-ENCODING", "Connection", " te "] {
        let config = json!({"url": "http://a.example/", "headers": {header: "x"}});
        let path = format!("reserved_header /steps/0/handler/config/headers/{header}");
        assert_eq!(problems(&db.pool, config).await, [path]);
    }
    let secret =
        |value: &str| json!({"url": "http://a.example/", "headers": {"authorization": value}});
    for value in ["Bearer {secret:PAY}", "{secret:A}{secret:B_2}", "{secret} {other:x}"] {
        assert_eq!(problems(&db.pool, secret(value)).await, [""; 0], "{value}");
    }
    for value in [
        "{secret:../PAY}",
        "{secret:pay}",
        "{secret:}",
        "{secret:PAY",
        "{secret:PAY_HOSTS}",
        "{secret:A} {secret:b}",
    ] {
        let path = "invalid_secret /steps/0/handler/config/headers/authorization";
        assert_eq!(problems(&db.pool, secret(value)).await, [path], "{value}");
    }
}

#[tokio::test]
async fn a_worker_calls_only_the_functions_that_are_named() {
    let db = TestDb::new().await;
    raw_sql(
        "create schema shop; create function shop.reserve(jsonb) returns int language sql as \
         'select 1';
         create function shop.re_serve(jsonb) returns int language sql as 'select 2'",
    )
    .execute(&db.pool)
    .await
    .unwrap();
    let call = async |function: &str, allow: Option<Vec<&str>>| -> Result<Value, String> {
        query_scalar("select tasker.run_sql_handler($1, '{}', $2) -> 'result'")
            .bind(function)
            .bind(allow)
            .fetch_one(&db.pool)
            .await
            .map_err(|error| error.to_string())
    };
    for allow in [None, Some(vec!["shop.reserve"]), Some(vec!["x.y", "shop.*"]), Some(vec!["*"])] {
        assert_eq!(call("shop.reserve", allow).await, Ok(json!(1)));
    }
    assert_eq!(call("\"shop\".\"reserve\"", Some(vec!["shop.reserve"])).await, Ok(json!(1)));
    for allow in [
        vec![],
        vec!["shop.re"],
        vec!["SHOP.RESERVE"],
        vec!["reserve"],
        vec!["shop.re_erve"],
        vec!["shop.%"],
    ] {
        let error = call("shop.reserve", Some(allow.clone())).await.unwrap_err();
        assert!(error.contains("may not call function shop.reserve"), "{allow:?}: {error}");
    }
}
