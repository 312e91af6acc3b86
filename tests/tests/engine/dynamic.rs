//! Graphs that grow while they run: decisions, the branches they choose, and the deferred steps
//! where branches meet.

use pgtasker_tests::{
    engine::{Claim, Engine, growing_flow, pick},
    invariants::assert_invariants,
};
use rstest::rstest;
use serde_json::{Value, json};
use sqlx::PgPool;
use uuid::Uuid;

/// A choice of two ways of different length, which meet.
pub(crate) const CHOICE: &[(&str, &str, &[&str])] = &[
    ("a", "standard", &[]),
    ("choose", "decision", &["a"]),
    ("short", "standard", &["choose"]),
    ("long1", "standard", &["choose"]),
    ("long2", "standard", &["long1"]),
    ("meet", "deferred", &["short", "long2"]),
];

/// A task of these steps.
pub(crate) async fn task(steps: &[(&str, &str, &[&str])]) -> (Engine, Uuid) {
    let e = Engine::new().await;
    e.apply(growing_flow(steps)).await;
    let id = e.start().await;
    (e, id)
}

/// Claims all there is, which is one step of this name.
pub(crate) async fn only(e: &Engine, step: &str) -> Claim {
    let claims = e.claim(9).await;
    assert_eq!(claims.iter().map(|c| c.step.as_str()).collect::<Vec<_>>(), [step]);
    claims.into_iter().next().unwrap()
}

pub(crate) async fn complete(e: &Engine, claim: &Claim) {
    assert_eq!(e.succeed(claim, json!(claim.step)).await, "accepted");
    e.process().await;
}

async fn decide(e: &Engine, claim: &Claim, steps: &[&str]) {
    assert_eq!(e.decide(claim, steps).await, "accepted");
    e.process().await;
}

/// The error a step keeps.
async fn error(e: &Engine, id: Uuid, step: &str) -> Value {
    sqlx::query_scalar(
        "select error from tasker.steps where task_id = $1 and name = $2 and state = 'error'",
    )
    .bind(id)
    .bind(step)
    .fetch_one(e.pool())
    .await
    .unwrap()
}

pub(crate) async fn steps_there(pool: &PgPool, id: Uuid) -> Vec<String> {
    sqlx::query_scalar(
        "select format('%s %s', name, state) from tasker.steps where task_id = $1 order by name",
    )
    .bind(id)
    .fetch_all(pool)
    .await
    .unwrap()
}

#[tokio::test]
async fn branches_that_were_not_chosen_do_not_exist_and_the_graph_says_so() {
    let (e, id) = task(CHOICE).await;
    assert_eq!(
        e.graph(id).await,
        [
            "a enqueued",
            "choose pending",
            "long1 undecided",
            "long2 undecided",
            "meet undecided",
            "short undecided"
        ]
    );
    complete(&e, &only(&e, "a").await).await;
    let choose = only(&e, "choose").await;
    assert_eq!(choose.parents, json!({"a": "a"}));
    decide(&e, &choose, &["short"]).await;
    assert_eq!(
        e.graph(id).await,
        [
            "a complete",
            "choose complete",
            "long1 not_chosen",
            "long2 not_chosen",
            "meet pending",
            "short enqueued"
        ]
    );
    assert_invariants(e.pool()).await;
    complete(&e, &only(&e, "short").await).await;
    let meet = only(&e, "meet").await;
    assert_eq!(
        meet.parents,
        json!({"short": "short"}),
        "it sees the parents that ran, and no others"
    );
    complete(&e, &meet).await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_deferred_step_waits_for_all_the_branches_that_were_chosen() {
    let (e, id) = task(CHOICE).await;
    complete(&e, &only(&e, "a").await).await;
    decide(&e, &only(&e, "choose").await, &["long1", "short", "short"]).await;
    let both = e.claim(9).await;
    complete(&e, &pick(&both, "short")).await;
    complete(&e, &pick(&both, "long1")).await;
    complete(&e, &only(&e, "long2").await).await;
    let meet = only(&e, "meet").await;
    assert_eq!(meet.parents, json!({"short": "short", "long2": "long2"}));
    complete(&e, &meet).await;
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn a_decision_for_nothing_leaves_out_all_that_depends_on_it() {
    let (e, id) = task(CHOICE).await;
    complete(&e, &only(&e, "a").await).await;
    decide(&e, &only(&e, "choose").await, &[]).await;
    assert_eq!(e.task_state(id).await, "complete");
    assert_eq!(
        e.graph(id).await,
        [
            "a complete",
            "choose complete",
            "long1 not_chosen",
            "long2 not_chosen",
            "meet not_chosen",
            "short not_chosen"
        ]
    );
    assert_invariants(e.pool()).await;
}

/// `inner` is chosen by `outer`, or not; what is below both is settled by the first that leaves it
/// out.
#[rstest]
#[case::down_to_the_innermost(
    &["inner"],
    Some(&["x"] as &[&str]),
    &[
        "a complete",
        "end pending",
        "inner complete",
        "outer complete",
        "x enqueued",
        "y not_chosen",
    ]
)]
#[case::the_outer_chooses_nothing(
    &[],
    None,
    &[
        "a complete",
        "end not_chosen",
        "inner not_chosen",
        "outer complete",
        "x not_chosen",
        "y not_chosen",
    ]
)]
#[tokio::test]
async fn decisions_nest(
    #[case] outer: &[&str],
    #[case] inner: Option<&[&str]>,
    #[case] graph: &[&str],
) {
    let (e, id) = task(&[
        ("a", "standard", &[]),
        ("outer", "decision", &["a"]),
        ("inner", "decision", &["outer"]),
        ("x", "standard", &["inner"]),
        ("y", "standard", &["inner"]),
        ("end", "deferred", &["x", "y"]),
    ])
    .await;
    complete(&e, &only(&e, "a").await).await;
    decide(&e, &only(&e, "outer").await, outer).await;
    if let Some(inner) = inner {
        assert!(
            e.graph(id).await.contains(&"x undecided".to_owned()),
            "until the inner one has decided"
        );
        decide(&e, &only(&e, "inner").await, inner).await;
    }
    assert_eq!(e.graph(id).await, graph);
    assert_invariants(e.pool()).await;
    e.drain().await;
    assert_eq!(e.task_state(id).await, "complete");
}

/// A branch of one step and a branch of three, under two decisions: whichever comes first, `meet`
/// waits for the other.
#[rstest]
#[case::the_short_one_first(true)]
#[case::the_long_one_first(false)]
#[tokio::test]
async fn branches_of_two_decisions_meet_in_one_step(#[case] short_first: bool) {
    let (e, id) = task(&[
        ("d1", "decision", &[]),
        ("d2", "decision", &[]),
        ("s", "standard", &["d1"]),
        ("l1", "standard", &["d2"]),
        ("l2", "standard", &["l1"]),
        ("l3", "standard", &["l2"]),
        ("meet", "deferred", &["s", "l3"]),
    ])
    .await;
    let decisions = e.claim(9).await;
    let (d1, d2) = (pick(&decisions, "d1"), pick(&decisions, "d2"));
    let long = async || {
        decide(&e, &d2, &["l1"]).await;
        for step in ["l1", "l2", "l3"] {
            complete(&e, &only(&e, step).await).await;
        }
    };
    let short = async || {
        decide(&e, &d1, &["s"]).await;
        complete(&e, &only(&e, "s").await).await;
    };
    if short_first {
        short().await;
        assert!(e.graph(id).await.contains(&"meet undecided".to_owned()));
        long().await;
    } else {
        long().await;
        assert!(e.graph(id).await.contains(&"meet undecided".to_owned()));
        short().await;
    }
    let meet = only(&e, "meet").await;
    assert_eq!(meet.parents, json!({"s": "s", "l3": "l3"}));
    assert_invariants(e.pool()).await;
    complete(&e, &meet).await;
    assert_eq!(e.task_state(id).await, "complete");
}

#[rstest]
#[case::no_such_step(json!({"type": "decision", "create_steps": ["sohrt"]}), "\"sohrt\" (no such \
    step); it can choose from its direct children: short, long1")]
#[case::a_grandchild(
    json!({"type": "decision", "create_steps": ["short", "long2"]}),
    "\"long2\" (not a direct child)"
)]
#[case::a_plain_success(json!({"type": "success", "result": 1}), "a plain success says nothing \
    about what follows")]
#[case::no_names(json!({"type": "decision"}), "a decision must have \"create_steps\"")]
#[case::numbers(json!({"type": "decision", "create_steps": [1]}), "array of the names")]
#[case::a_batch(json!({"type": "batches", "cursors": [1]}), "only a batchable may have an outcome \
    of type batches")]
#[tokio::test]
async fn a_choice_that_cannot_be_made_fails_its_step_for_good_and_says_why(
    #[case] outcome: Value,
    #[case] why: &str,
) {
    let (e, id) = task(CHOICE).await;
    complete(&e, &only(&e, "a").await).await;
    assert_eq!(e.submit(&only(&e, "choose").await, outcome).await, "rejected");
    e.process().await;
    let error = error(&e, id, "choose").await;
    assert_eq!((&error["code"], &error["retryable"]), (&json!("invalid_outcome"), &json!(false)));
    assert!(error["message"].as_str().unwrap().contains(why), "{error}");
    assert_eq!(e.task_state(id).await, "blocked_by_failures");
    assert_eq!(
        steps_there(e.pool(), id).await,
        ["a complete", "choose error"],
        "nothing came of it"
    );
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn only_a_decision_decides() {
    let (e, id) = task(CHOICE).await;
    assert_eq!(e.decide(&only(&e, "a").await, &["choose"]).await, "rejected");
    e.process().await;
    let message = error(&e, id, "a").await["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message,
        "step \"a\" is of type standard: only a decision may have an outcome of type decision"
    );
}

#[tokio::test]
async fn decisions_nest_no_deeper_than_the_limit() {
    let (e, id) = task(&[
        ("outer", "decision", &[]),
        ("inner", "decision", &["outer"]),
        ("x", "standard", &["inner"]),
    ])
    .await;
    sqlx::raw_sql("update tasker.settings set max_decision_depth = 1")
        .execute(e.pool())
        .await
        .unwrap();
    decide(&e, &only(&e, "outer").await, &["inner"]).await;
    assert_eq!(e.decide(&only(&e, "inner").await, &["x"]).await, "rejected");
    e.process().await;
    let message = error(&e, id, "inner").await["message"].as_str().unwrap().to_owned();
    assert_eq!(
        message,
        "the decision \"inner\" is nested 2 deep; the limit is 1 (max_decision_depth in \
         tasker.settings)"
    );

    let id = e.start().await;
    decide(&e, &only(&e, "outer").await, &["inner"]).await;
    decide(&e, &only(&e, "inner").await, &[]).await;
    assert_eq!(e.task_state(id).await, "complete", "to create nothing is always allowed");
}

#[tokio::test]
async fn what_was_chosen_comes_into_being_in_the_commit_that_completes_the_decision() {
    let (e, id) = task(CHOICE).await;
    complete(&e, &only(&e, "a").await).await;
    assert_eq!(e.decide(&only(&e, "choose").await, &["short", "long1"]).await, "accepted");
    let mut orchestrator = e.pool().begin().await.unwrap();
    sqlx::query("select * from tasker.process_step_results(10)")
        .execute(&mut *orchestrator)
        .await
        .unwrap();
    assert_eq!(
        steps_there(e.pool(), id).await,
        ["a complete", "choose enqueued_for_orchestration"],
        "nobody else sees either of them"
    );
    orchestrator.commit().await.unwrap();
    assert_eq!(
        steps_there(e.pool(), id).await,
        [
            "a complete",
            "choose complete",
            "long1 enqueued",
            "long2 pending",
            "meet pending",
            "short enqueued"
        ]
    );
    let transactions: i64 = sqlx::query_scalar(
        "select count(distinct xmin::text) from tasker.steps where task_id = $1 and name <> 'a'",
    )
    .bind(id)
    .fetch_one(e.pool())
    .await
    .unwrap();
    assert_eq!(transactions, 1);
}

#[tokio::test]
async fn a_paused_namespace_holds_what_is_created() {
    let (e, id) = task(CHOICE).await;
    complete(&e, &only(&e, "a").await).await;
    let choose = only(&e, "choose").await;
    sqlx::query("select tasker.pause_namespace('test')").execute(e.pool()).await.unwrap();
    decide(&e, &choose, &["short", "long1"]).await;
    assert_eq!(e.depth("worker_test_queue").await, 0);
    assert_eq!(e.task_state(id).await, "waiting_for_dependencies");
    assert_invariants(e.pool()).await;
    sqlx::query("select tasker.resume_namespace('test')").execute(e.pool()).await.unwrap();
    assert_eq!(e.enqueue_ready().await, 2);
    assert_eq!(e.drain().await, ["long1", "short", "long2", "meet"]);
    assert_eq!(e.task_state(id).await, "complete");
}

#[tokio::test]
async fn what_was_decided_when_the_task_failed_is_created_when_it_is_reset() {
    let e = Engine::new().await;
    let mut template = growing_flow(&[
        ("bad", "standard", &[]),
        ("choose", "decision", &[]),
        ("x", "standard", &["choose"]),
        ("end", "deferred", &["x", "bad"]),
    ]);
    template["on_failure"] = json!("fail");
    e.apply(template).await;
    let id = e.start().await;
    let claims = e.claim(9).await;
    e.decide(&pick(&claims, "choose"), &["x"]).await;
    e.submit(
        &pick(&claims, "bad"),
        json!({"type": "failure", "message": "no", "retryable": false}),
    )
    .await;
    assert_eq!(e.process().await.0, 2, "both in one batch");
    assert_eq!(e.task_state(id).await, "error");
    assert_eq!(
        e.graph(id).await,
        ["bad error", "choose complete", "end exists", "x exists"],
        "decided, and not made"
    );
    assert_invariants(e.pool()).await;

    sqlx::query("select tasker.reset_task($1)").bind(id).execute(e.pool()).await.unwrap();
    assert_eq!(e.graph(id).await, ["bad pending", "choose complete", "end pending", "x pending"]);
    assert_invariants(e.pool()).await;
    assert_eq!(e.enqueue_ready().await, 2);
    assert_eq!(e.drain().await, ["bad", "x", "end"]);
    assert_eq!(e.task_state(id).await, "complete");
    assert_invariants(e.pool()).await;
}

#[tokio::test]
async fn a_failed_decision_is_resolved_with_an_outcome_and_only_with_one() {
    let (e, id) = task(CHOICE).await;
    complete(&e, &only(&e, "a").await).await;
    e.submit(
        &only(&e, "choose").await,
        json!({"type": "failure", "message": "no", "retryable": false}),
    )
    .await;
    e.process().await;
    let resolve = async |step: &str, outcome: Option<Value>| {
        let query =
            sqlx::query_scalar::<_, bool>("select tasker.resolve_step($1, $2, p_outcome => $3)");
        query.bind(id).bind(step.to_owned()).bind(outcome).fetch_one(e.pool()).await.map_err(
            |error| {
                error
                    .as_database_error()
                    .and_then(|e| e.code())
                    .map_or(error.to_string(), |code| code.into_owned())
            },
        )
    };
    let short = json!({"type": "decision", "create_steps": ["short"]});
    assert_eq!(
        resolve("short", Some(short.clone())).await,
        Err("TK032".to_owned()),
        "it does not exist yet"
    );
    assert_eq!(resolve("choose", None).await, Err("TK035".to_owned()));
    for wrong in
        [json!({"type": "success"}), json!({"type": "decision", "create_steps": ["nobody"]})]
    {
        assert_eq!(resolve("choose", Some(wrong)).await, Err("TK035".to_owned()));
    }
    assert_eq!(resolve("choose", Some(short.clone())).await, Ok(true));
    assert_eq!(resolve("choose", Some(short.clone())).await, Ok(false));
    assert_eq!(
        resolve("short", Some(short)).await,
        Err("TK035".to_owned()),
        "it has nothing to decide"
    );
    assert_invariants(e.pool()).await;
    e.enqueue_ready().await;
    assert_eq!(e.drain().await, ["short", "meet"]);
    assert_eq!(e.task_state(id).await, "complete");
}
