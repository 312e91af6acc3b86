//! The capabilities without a database; `tests/tests/engine/capabilities.rs` has the rest.

use super::*;
use crate::{
    StepContext, StepError,
    claim::Claim,
    fixtures::{context, raw, response, server, with_claim},
};
use pgtasker_core::{Failure, StepOutcome};
use serde_json::{Value, json};
use std::time::{Duration, Instant, SystemTime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};

fn plain() -> StepContext {
    context(json!({}), json!({}), json!({}))
}

#[test]
fn parts_cover_the_range_in_order_and_none_is_empty() {
    let ctx = plain();
    for (start, end) in
        [(0, 0), (0, 1), (5, 12), (0, 10), (7, 107), (u64::MAX - 10, u64::MAX), (9, 3)]
    {
        for n in [0, 1, 2, 3, 7, 10, 1_000] {
            let range = Cursor { start, end };
            let parts: Vec<Cursor> = ctx.split(range, n).collect();
            let by_size: Vec<Cursor> = ctx.split_by(range, n).collect();
            let items = end.saturating_sub(start);
            assert_eq!(parts.len() as u64, items.min(n.max(1)), "{range:?} in {n}");
            assert_eq!(by_size.len() as u64, items.div_ceil(n.max(1)), "{range:?} by {n}");
            for parts in [&parts, &by_size] {
                let mut next = start;
                for part in parts {
                    assert_eq!(part.start, next);
                    assert!(!part.is_empty(), "{range:?}, {n}: {parts:?}");
                    next = part.end;
                }
                assert!(parts.is_empty() || next == end, "{range:?}, {n}: {parts:?}");
            }
            let lengths = || parts.iter().map(|part| part.len());
            assert!(lengths().max().unwrap_or(0) - lengths().min().unwrap_or(0) <= 1, "{parts:?}");
            let (last, full) =
                by_size.split_last().map_or((0, &[][..]), |(last, full)| (last.len(), full));
            assert!(
                last <= n.max(1) && full.iter().all(|part| part.len() == n.max(1)),
                "{by_size:?}"
            );
        }
    }
    assert!(ctx.split(0..10, 3).eq([(0..4).into(), (4..7).into(), (7..10).into()]));
    assert!(ctx.split_by(0..10, 4).eq([(0..4).into(), (4..8).into(), (8..10).into()]));
    assert!(ctx.split(0..u64::MAX, u64::MAX).take(2).eq([(0..1).into(), (1..2).into()]));
    let last = u64::MAX - 1;
    assert!(ctx.split_by(0..u64::MAX, 1).skip(5).take(1).eq([(5..6).into()]));
    assert_eq!(ctx.split_by(0..u64::MAX, last).last(), Some((last..u64::MAX).into()));
}

#[test]
fn more_cursors_than_any_setting_allows_are_refused_before_they_are_made() {
    let ctx = plain();
    let counted = ctx.batches(ctx.split_by(0..10_000_000_000, 1)).unwrap_err();
    // Nobody knows how many these are.
    let endless = ctx.batches((0..).filter(|n| *n != 7)).unwrap_err();
    for error in [counted, endless] {
        let failure = Failure::from(error);
        assert_eq!((failure.retryable, failure.code.as_deref()), (false, Some("invalid_outcome")));
        assert!(
            failure.message.contains("1,000,000") && failure.message.contains("max_instances"),
            "{failure:?}"
        );
    }
    let most = ctx.batches(std::iter::repeat_n((), 1_000_000)).unwrap();
    assert!(matches!(most, StepOutcome::Batches { cursors, .. } if cursors.len() == 1_000_000));
}

#[test]
fn a_cursor_is_start_and_end_and_may_be_anything_else() {
    let instance = |inputs| {
        with_claim(plain(), |claim| (claim.step, claim.inputs) = ("s_001".into(), raw(&inputs)))
    };
    let ctx = instance(json!({"start": 3, "end": 5, "file": "x"}));
    let cursor: Cursor = ctx.cursor().unwrap();
    assert_eq!(cursor.range().collect::<Vec<_>>(), [3, 4]);
    let outcome = ctx.batches(ctx.split(cursor, 2)).unwrap().with_result("two");
    let cursors = json!([{"start": 3, "end": 4}, {"start": 4, "end": 5}]);
    assert_eq!(
        serde_json::to_value(outcome).unwrap(),
        json!({"type": "batches", "cursors": cursors, "result": "two"})
    );
    assert_eq!(ctx.batches(["a"]).unwrap(), StepOutcome::batches(vec![json!("a")]));
    assert_eq!(ctx.batches::<Cursor>([]).unwrap(), StepOutcome::batches(vec![]));
    let no_json = ctx.batches([std::collections::HashMap::from([(vec![1_u8], 1)])]).unwrap_err();
    assert!(
        !no_json.is_retryable() && no_json.message().contains("the cursor is no JSON"),
        "{no_json}"
    );
    assert_eq!(instance(Value::Null).cursor::<Option<Cursor>>().unwrap(), None);
    let none = plain().cursor::<Cursor>().unwrap_err();
    assert!(!none.is_retryable());
    assert_eq!(none.message(), "step s is no instance of a batch: it has no cursor");
}

#[test]
fn a_checkpoint_comes_back_typed() {
    let ctx = plain();
    assert_eq!(ctx.last_checkpoint::<u64, u64>().unwrap(), None);
    let saved = ctx.checkpoint(7, 4, json!({"sum": 1.5})).unwrap();
    assert_eq!(saved, StepOutcome::checkpoint(json!(7), 4, json!({"sum": 1.5})));
    let mut stored = serde_json::to_value(saved).unwrap();
    stored.as_object_mut().unwrap().remove("type");
    let ctx = with_claim(ctx, |claim| claim.checkpoint = raw(&stored));
    let last = ctx.last_checkpoint::<u64, Value>().unwrap().unwrap();
    assert_eq!(
        last,
        Checkpoint { cursor: 7, items_processed: 4, accumulated: json!({"sum": 1.5}) }
    );
    let error = ctx.last_checkpoint::<u64, u64>().unwrap_err();
    assert!(
        !error.is_retryable() && error.message().starts_with("checkpoint.accumulated: "),
        "{error}"
    );
}

#[test]
fn a_batch_tells_its_counts_and_the_results_that_were_carried() {
    let parents = json!({
        "load": {"instances": 3, "complete": 2, "failed": 1, "results": [5, 6]},
        "big": {"instances": 900, "complete": 900, "failed": 0, "results": null},
        "other": 1,
    });
    let ctx = context(json!({}), json!({}), parents);
    let batch = ctx.batch("load").unwrap();
    assert_eq!((batch.instances(), batch.complete(), batch.failed()), (3, 2, 1));
    assert_eq!(batch.results::<u8>().unwrap(), Some(vec![5, 6]));
    let error = batch.results::<bool>().unwrap_err();
    assert!(error.message().starts_with("parents.load.results[0]: "), "{error}");
    assert_eq!(ctx.batch("big").unwrap().results::<u8>().unwrap(), None);
    assert!(ctx.batch("other").unwrap_err().message().starts_with("parents.other: "));
    assert!(ctx.batch("none").unwrap_err().message().contains("not a parent"));
}

#[test]
fn a_decision_names_its_branches() {
    let ctx = plain();
    assert_eq!(ctx.choose(["a", "b"]), StepOutcome::decision(["a", "b"]));
    assert_eq!(
        ctx.choose(vec!["a".to_owned()]).with_result(1),
        StepOutcome::decision(["a"]).with_result(1)
    );
    assert_eq!(
        ctx.choose_none(),
        StepOutcome::Decision { create_steps: vec![], result: Value::Null }
    );
}

/// The headers of a request, and what came of the call.
async fn called(
    ctx: &StepContext,
    answer: String,
    change: impl FnOnce(ApiRequest) -> ApiRequest,
) -> (String, Result<ApiResponse, StepError>) {
    let (address, request) = server(answer).await;
    let sent = change(ctx.post(&format!("http://{address}/pay?secret=1"))).send().await;
    (request.await.unwrap(), sent)
}

fn header<'a>(request: &'a str, name: &str) -> Vec<&'a str> {
    request.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).collect()
}

#[tokio::test]
async fn the_idempotency_key_is_the_same_on_every_attempt_and_the_attempt_is_told() {
    let first = with_claim(plain(), |claim| claim.traceparent = Some("00-a-b-01".to_owned()));
    let task_id = first.task_id();
    let second = with_claim(plain(), |claim| {
        (claim.task_id, claim.attempt, claim.claim_no) = (task_id, 2, 5)
    });
    let (request, _) = called(&first, response("200 OK", "", ""), |r| r).await;
    assert!(request.starts_with("POST /pay?secret=1 HTTP/1.1\r\n"), "{request}");
    assert_eq!(header(&request, "traceparent"), ["00-a-b-01"]);
    assert_eq!(header(&request, "tasker-attempt"), ["1"]);
    let key = first.idempotency_key();
    assert_eq!(
        (key.as_str(), key == second.idempotency_key()),
        (format!("{task_id}:s").as_str(), true)
    );
    assert_eq!(header(&request, "idempotency-key"), [&key]);
    let (request, _) =
        called(&second, response("200 OK", "", ""), |r| r.idempotency_suffix("refund")).await;
    assert_eq!(header(&request, "idempotency-key"), [format!("{key}:refund")]);
    assert_eq!(header(&request, "tasker-attempt"), ["2"]);
    let (request, _) = called(&second, response("200 OK", "", ""), |r| {
        r.header("Idempotency-Key", "mine").json(&json!([1]))
    })
    .await;
    assert_eq!(header(&request, "idempotency-key"), ["mine"]);
    assert_eq!(header(&request, "content-type"), ["application/json"]);
    assert!(request.ends_with("\r\n\r\n[1]"), "{request}");
}

#[tokio::test]
async fn the_idempotency_key_is_another_after_a_checkpoint_and_stays_on_every_attempt() {
    let task_id = plain().task_id();
    let key = |checkpoint: Value, attempt: i32| {
        let change = |claim: &mut Claim| {
            (claim.task_id, claim.checkpoint, claim.attempt) = (task_id, raw(&checkpoint), attempt);
        };
        with_claim(plain(), change).idempotency_key()
    };
    let at = |n: u64| {
        json!({
            "cursor": {"file": "x", "at": n},
            "items_processed": n,
            "accumulated": null,
        })
    };
    assert_eq!(key(Value::Null, 1), format!("{task_id}:s"));
    // FNV-1a of the canonical JSON: another release of a worker must come to it as well.
    assert_eq!(key(at(5), 1), format!("{task_id}:s:d414a9d14c16070c"));
    assert_eq!(key(at(5), 1), key(at(5), 3));
    assert_ne!(key(at(5), 1), key(at(6), 1));
    let ctx = with_claim(plain(), |claim| claim.checkpoint = raw(&at(5)));
    let (request, _) =
        called(&ctx, response("200 OK", "", ""), |r| r.idempotency_suffix("refund")).await;
    assert_eq!(
        header(&request, "idempotency-key"),
        [format!("{}:s:d414a9d14c16070c:refund", ctx.task_id())]
    );
}

#[tokio::test]
async fn an_answer_is_typed_and_one_that_does_not_fit_fails_for_good() {
    let ctx = plain();
    let answer = |body: &str| response("201 Created", "x-n: 7\r\n", body);
    let (_, sent) = called(&ctx, answer("{\"n\": [1]}"), |r| r.body("text/csv", "a,b")).await;
    let sent = sent.unwrap();
    assert_eq!((sent.status(), sent.header("x-n")), (201, Some("7")));
    let body: std::collections::BTreeMap<String, Vec<u8>> = sent.json().await.unwrap();
    assert_eq!(body["n"], [1]);
    for (body, words) in
        [("{\"n\": 1}", "/pay: body.n: invalid type"), ("<html>", "/pay: body: expected")]
    {
        let (_, sent) = called(&ctx, answer(body), |r| r).await;
        let error =
            sent.unwrap().json::<std::collections::BTreeMap<String, Vec<u8>>>().await.unwrap_err();
        assert!(!error.is_retryable() && error.message().contains(words), "{error}");
        assert!(!error.message().contains("secret"), "{error}");
    }
    let (_, sent) = called(&ctx, answer("abc"), |r| r.max_bytes(2)).await;
    let error = sent.unwrap().text().await.unwrap_err();
    assert_eq!(Failure::from(error).code.as_deref(), Some("response_too_large"));
}

#[tokio::test]
async fn statuses_are_failures_unless_the_handler_wants_them() {
    let ctx = plain();
    let missing = || response("404 Not Found", "", "no such order");
    let (_, sent) = called(&ctx, missing(), |r| r).await;
    let failure = Failure::from(sent.unwrap_err());
    assert_eq!((failure.retryable, failure.code.as_deref()), (false, Some("http_404")));
    assert!(failure.message.ends_with("/pay answered 404 Not Found: no such order"), "{failure:?}");
    let (_, sent) = called(&ctx, missing(), |r| r.allow_status(404)).await;
    let sent = sent.unwrap();
    assert_eq!((sent.status(), sent.text().await.unwrap().as_str()), (404, "no such order"));
    let busy = response("503 Service Unavailable", "retry-after: 3\r\n", "");
    let failure = Failure::from(called(&ctx, busy, |r| r).await.1.unwrap_err());
    assert_eq!((failure.retryable, failure.retry_after_ms), (true, Some(3_000)));
    assert!(failure.message.ends_with("/pay answered 503 Service Unavailable"), "{failure:?}");
}

#[tokio::test]
async fn headers_of_other_letters_are_there() {
    let answer = response("200 OK", "x-utf8: caf\u{e9}\r\n", "");
    let (_, sent) = called(&plain(), answer, |r| r).await;
    let sent = sent.unwrap();
    assert_eq!(sent.header("x-utf8"), Some("caf\u{e9}"));
    assert!(sent.headers().contains(&("x-utf8".to_owned(), "caf\u{e9}".to_owned())));
}

#[tokio::test]
async fn retry_after_may_be_a_date_by_the_servers_clock() {
    let ctx = plain();
    let delay = async |headers: &str| {
        let (_, sent) = called(&ctx, response("503 Service Unavailable", headers, ""), |r| r).await;
        Failure::from(sent.unwrap_err()).retry_after_ms
    };
    let at = "retry-after: Wed, 21 Oct 2015 07:28:30 GMT\r\n";
    assert_eq!(delay(&format!("date: Wed, 21 Oct 2015 07:28:00 GMT\r\n{at}")).await, Some(30_000));
    assert_eq!(delay(&format!("date: Wed, 21 Oct 2015 07:28:40 GMT\r\n{at}")).await, Some(0));
    assert_eq!(
        delay(&format!("date: Wed, 14 Oct 2015 07:28:40 GMT\r\n{at}")).await,
        Some(24 * 60 * 60 * 1_000)
    );
    assert_eq!(delay("retry-after: soon\r\n").await, None);
    // Without a date of the server's, by this machine's; the header has whole seconds.
    let soon = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3_600));
    let ms = delay(&format!("retry-after: {soon}\r\n")).await.unwrap();
    assert!((3_500_000..=3_600_000).contains(&ms), "{ms}");
}

#[tokio::test]
async fn an_answer_whose_body_stalls_keeps_its_status_and_what_came_of_it() {
    // A length that is never reached, on a connection that stays.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let stalls = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        assert!(socket.read(&mut [0; 4096]).await.unwrap() > 0);
        let answer = "HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: \
            900\r\n\r\nslow down";
        socket.write_all(answer.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let sent = timeout(Duration::from_secs(20), plain().get(&url).send()).await.unwrap();
    stalls.abort();
    let failure = Failure::from(sent.unwrap_err());
    assert_eq!((failure.retry_after_ms, failure.code.as_deref()), (Some(7_000), Some("http_429")));
    assert!(failure.message.ends_with("slow down"), "{failure:?}");
}

#[tokio::test]
async fn an_error_over_the_limit_is_quoted_by_its_beginning() {
    let body = format!("sold out{}", "\u{e9}".repeat(5_000));
    let answer = response("409 Conflict", "", &body);
    let (_, sent) = called(&plain(), answer, |r| r.max_bytes(100)).await;
    let failure = Failure::from(sent.unwrap_err());
    let quote: String = body.chars().take(500).collect();
    assert!(failure.message.ends_with(&format!("409 Conflict: {quote}")), "{failure:?}");
}

#[tokio::test]
async fn a_call_ends_with_its_timeout_and_with_its_step() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let ctx = plain();
    let error = ctx.get(&url).timeout(Duration::from_millis(50)).send().await.unwrap_err();
    assert_eq!(Failure::from(error).code.as_deref(), Some("timeout"));
    let (cancelled, started) = (ctx.cancelled(), Instant::now());
    let call = tokio::spawn(ctx.get(&url).send());
    cancelled.cancel();
    let failure = Failure::from(call.await.unwrap().unwrap_err());
    assert_eq!((failure.retryable, failure.code.as_deref()), (true, Some("cancelled")));
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_request_that_is_none_fails_for_good_with_what_is_wrong() {
    let ctx = plain();
    let requests = [
        (ctx.get("not a url"), "url: "),
        (ctx.get("ftp://x/"), "url: scheme ftp"),
        (ctx.request("A B", "http://x/"), "method: "),
        (ctx.get("http://x/").header("a b", "c"), "headers.a b: "),
        (ctx.get("http://x/").idempotency_suffix("a\nb"), "headers.idempotency-key: "),
        (ctx.post("http://x/").json(&std::collections::HashMap::from([(vec![1_u8], 1)])), "body: "),
    ];
    for (request, words) in requests {
        let error = timeout(Duration::from_secs(5), request.send()).await.unwrap().unwrap_err();
        assert!(!error.is_retryable() && error.message().starts_with(words), "{words}: {error}");
    }
}
