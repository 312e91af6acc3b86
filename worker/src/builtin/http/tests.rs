//! The `http` handler against a small server of our own.

use super::*;
use crate::fixtures::{context, response, server};
use serde_json::json;
use tokio::net::TcpListener;

/// The default of a request.
const MAX_BODY: usize = 1 << 20;

async fn call(allow: &str, config: Value) -> Result<StepOutcome, StepError> {
    let http = Arc::new(Http::new(AllowList::parse(allow).unwrap()));
    http.run(context(json!({"order": 1}), config, json!({"p": [1]}))).await
}

async fn answered(status: &str, headers: &str, body: &str) -> Result<StepOutcome, StepError> {
    let (address, _request) = server(response(status, headers, body)).await;
    call("127.0.0.1", json!({"url": format!("http://{address}/hook?secret=1")})).await
}

#[tokio::test]
async fn it_posts_the_envelope_with_its_headers() {
    let (address, request) = server(response("200 OK", "", "{\"ok\": true}")).await;
    let config = json!({"url": format!("http://{address}/hook"), "headers": {"x-key": "k"}});
    let outcome = call(&address.to_string(), config).await.unwrap();
    assert_eq!(outcome, StepOutcome::success(json!({"ok": true})));
    let request = request.await.unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    assert!(
        request.contains("x-key: k\r\n") && request.contains("content-type: application/json\r\n"),
        "{request}"
    );
    assert!(
        request.contains(":s\r\n")
            && request.contains("idempotency-key: ")
            && request.contains("tasker-attempt: 1\r\n"),
        "{request}"
    );
    let body: Value = serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&body["context"], &body["parents"]), (&json!({"order": 1}), &json!({"p": [1]})));
}

#[tokio::test]
async fn the_body_is_the_result() {
    assert_eq!(answered("200 OK", "", "plain").await.unwrap(), StepOutcome::success("plain"));
    let json = "content-type: application/json\r\n";
    assert_eq!(answered("204 No Content", "", "").await.unwrap(), StepOutcome::success(()));
    assert_eq!(answered("204 No Content", json, "").await.unwrap(), StepOutcome::success(()));
    assert_eq!(answered("200 OK", "", "").await.unwrap(), StepOutcome::success(()));
    // It was cut off before it began.
    assert!(answered("200 OK", json, "").await.unwrap_err().is_retryable());
    let failure = r#"{"$tasker": {"type": "failure", "message": "later", "retry_after_ms": 5}}"#;
    let StepOutcome::Failure(failure) = answered("200 OK", "", failure).await.unwrap() else {
        panic!("no failure")
    };
    assert_eq!((failure.message.as_str(), failure.retry_after_ms), ("later", Some(5)));
    let decision = r#"{"$tasker": {"type": "decision", "create_steps": ["a"], "result": 1}}"#;
    let outcome = answered("200 OK", "", decision).await.unwrap();
    assert_eq!(outcome, StepOutcome::decision(["a"]).with_result(1));
    let batches = r#"{"$tasker": {"type": "batches", "cursors": [{"start": 0, "end": 9}]}}"#;
    let outcome = answered("200 OK", "", batches).await.unwrap();
    assert_eq!(outcome, StepOutcome::batches(vec![json!({"start": 0, "end": 9})]));
    let checkpoint = r#"{"$tasker": {
        "type": "checkpoint", "cursor": 5, "items_processed": 5, "accumulated": [1]
    }}"#;
    let outcome = answered("200 OK", "", checkpoint).await.unwrap();
    assert_eq!(outcome, StepOutcome::checkpoint(json!(5), 5, json!([1])));
    let outcome = answered("200 OK", "", r#"{"$tasker": {"type": "skip"}}"#).await.unwrap();
    assert_eq!(outcome, StepOutcome::skip());
}

#[tokio::test]
async fn an_answer_that_is_not_whole_json_is_no_success() {
    let json = "content-type: application/problem+json; charset=utf-8\r\n";
    let cut = r#"{"$tasker": {"type": "failure", "mess"#;
    let deep = format!("{}1{}", "[".repeat(200), "]".repeat(200));
    let huge = format!("[1e{}]", 1_000_000);
    let cases = [
        ("", cut),
        ("", "[NaN]"),
        ("", &deep),
        ("", "[1] [2]"),
        ("", r#"["\ud800"]"#),
        ("", "{'a': 1}"),
    ];
    let json_only =
        [(json, "NaN"), (json, "plain"), (json, "\u{feff}\u{feff}1"), (json, r#""\ud800""#)];
    for (headers, body) in cases.into_iter().chain(json_only) {
        let error = answered("200 OK", headers, body).await.unwrap_err();
        assert_eq!(error.is_retryable(), body == cut, "{body}: {error}");
        assert_eq!(
            pgtasker_core::Failure::from(error).code.as_deref(),
            Some("invalid_result"),
            "{body}"
        );
    }
    let error = answered("200 OK", "content-encoding: gzip\r\n", "x").await.unwrap_err();
    assert_eq!(pgtasker_core::Failure::from(error).code.as_deref(), Some("invalid_result"));
    // What it holds is looked at by all handlers' results alike.
    for body in [r#"["\u0000"]"#, &huge] {
        let outcome = crate::run::storable::storable(answered("200 OK", json, body).await.unwrap());
        let StepOutcome::Failure(failure) = outcome else { panic!("{body} is stored") };
        assert_eq!((failure.code.as_deref(), failure.retryable), (Some("invalid_result"), false));
    }
    assert!(result(b"{\"a\": \"\xff\"}", Form::Text).is_err());
    assert!(result(b"\xff", Form::Json).is_err());
}

#[tokio::test]
async fn an_answer_keeps_its_digits_and_may_begin_with_a_byte_order_mark() {
    let digits = "[123456789012345678901234567890,3.14159265358979323846264338327950288]";
    for body in
        [digits.to_owned(), format!(r#"{{"$tasker": {{"type": "success", "result": {digits}}}}}"#)]
    {
        let outcome = answered("200 OK", "", &body).await.unwrap();
        let StepOutcome::Success { result } = outcome else { panic!("failed") };
        assert_eq!(result.to_string(), digits);
    }
    let marked =
        answered("200 OK", "content-type: application/json\r\n", "\u{feff}{\"a\": 1}").await;
    assert_eq!(marked.unwrap(), StepOutcome::success(json!({"a": 1})));
    assert_eq!(answered("200 OK", "", "\u{feff}").await.unwrap(), StepOutcome::success(()));
    assert_eq!(answered("200 OK", "", "NaN").await.unwrap(), StepOutcome::success("NaN"));
}

#[tokio::test]
async fn a_wait_that_is_no_count_of_milliseconds_fails_no_differently() {
    for (wait, ms) in [
        ("1500.0", 1500),
        ("-1", 0),
        ("0.4", 0),
        ("1e400", 999_999_999),
        ("2592000000", 999_999_999),
    ] {
        let body = format!(
            r#"{{"$tasker": {{"type": "failure", "message": "later", "retry_after_ms": {wait}}}}}"#
        );
        let outcome = answered("200 OK", "", &body).await.unwrap();
        let StepOutcome::Failure(failure) = outcome else { panic!("{wait}") };
        assert_eq!((failure.retryable, failure.retry_after_ms), (true, Some(ms)), "{wait}");
    }
}

#[tokio::test]
async fn an_outcome_of_the_wrong_form_fails_for_good_with_the_form_of_its_type() {
    let cases = [
        (json!(7), r#""type" is success, failure, decision"#),
        (json!({"type": "what"}), r#""type" is success, failure, decision"#),
        (json!({"type": "success", "resutl": 1}), r#"{"type": "success", "result": any}"#),
        (json!({"type": "decision", "create_steps": "a"}), r#""create_steps": [names of steps]"#),
        (json!({"type": "batches", "cursors": 3}), r#""cursors": [any]"#),
        (json!({"type": "checkpoint", "items_processed": 1}), r#""cursor": any"#),
        (json!({"type": "skip", "result": 1}), r#"{"type": "skip"}"#),
    ];
    for (outcome, form) in cases {
        let body = json!({"$tasker": outcome}).to_string();
        let error = answered("200 OK", "", &body).await.unwrap_err();
        assert!(!error.is_retryable() && error.message().contains("under $tasker"), "{error}");
        assert!(error.message().contains(form), "{outcome}: {error}");
    }
}

#[tokio::test]
async fn the_status_decides_whether_it_is_tried_again() {
    let cases = [
        ("500 Internal Server Error", true),
        ("503 Service Unavailable", true),
        ("408 Request Timeout", true),
        ("425 Too Early", true),
        ("429 Too Many Requests", true),
        ("400 Bad Request", false),
        ("404 Not Found", false),
        ("302 Found", false),
    ];
    for (status, retryable) in cases {
        let error = answered(status, "", "why").await.unwrap_err();
        assert_eq!(error.is_retryable(), retryable, "{error}");
        assert!(
            error.message().contains(&status[..3]) && !error.message().contains("secret"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn retry_after_is_honoured_in_seconds() {
    let error = answered("429 Too Many Requests", "retry-after: 7\r\n", "").await.unwrap_err();
    let failure = pgtasker_core::Failure::from(error);
    assert_eq!((failure.retry_after_ms, failure.code.as_deref()), (Some(7_000), Some("http_429")));
}

#[tokio::test]
async fn a_large_body_fails_for_good() {
    let error = answered("200 OK", "", &"x".repeat(MAX_BODY + 1)).await.unwrap_err();
    assert!(!error.is_retryable() && error.message().contains("larger"), "{error}");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, request) = server(response("200 OK", "", "1")).await;
    let error =
        answered("307 Temporary Redirect", &format!("location: http://{elsewhere}/\r\n"), "")
            .await
            .unwrap_err();
    assert!(error.message().contains("redirects are not followed"), "{error}");
    assert!(tokio::time::timeout(Duration::from_millis(50), request).await.is_err());
}

#[tokio::test]
async fn no_connection_and_no_answer_are_retryable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let config = json!({"url": format!("http://{address}/"), "timeout_seconds": 0.05});
    let error = call("127.0.0.1", config.clone()).await.unwrap_err();
    assert!(error.is_retryable());
    assert_eq!(pgtasker_core::Failure::from(error).code.as_deref(), Some("timeout"));
    drop(listener);
    let error = call("127.0.0.1", config).await.unwrap_err();
    assert!(error.is_retryable() && error.message().contains("refused"), "{error}");
}

#[tokio::test]
async fn hosts_not_allowed_are_refused_with_what_to_do() {
    for allow in ["", "example.com", "127.0.0.1:1", "*"] {
        let error = call(allow, json!({"url": "http://127.0.0.1:9/"})).await.unwrap_err();
        assert!(!error.is_retryable() && error.message().contains("TASKER_HTTP_ALLOW"), "{error}");
    }
    let error = call("*", json!({"url": "file:///etc/passwd"})).await.unwrap_err();
    assert!(error.message().contains("scheme file"), "{error}");
    for (config, words) in [
        (json!({"url": "http://x/", "method": "A B"}), "config.method: "),
        (json!({"url": "http://x/", "headers": {"a b": "c"}}), "config.headers.a b: "),
        (json!({"url": "http://x/", "timeout_seconds": -1}), "config.timeout_seconds: "),
        (json!({"url": "x"}), "config.url: "),
    ] {
        let error = call("*", config).await.unwrap_err();
        assert!(!error.is_retryable() && error.message().starts_with(words), "{error}");
    }
    let error = call("*", json!({})).await.unwrap_err();
    assert_eq!(error.message(), "config: missing field `url`");
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused_at_the_connection() {
    // Named without its address; where the name is not known, nothing is called either.
    let name = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let config = json!({"url": format!("http://{}:9/", name.trim())});
    if name.trim().is_empty() || tokio::net::lookup_host((name.trim(), 9)).await.is_err() {
        return;
    }
    for allow in ["*", name.trim()] {
        let error = call(allow, config.clone()).await.unwrap_err();
        assert!(!error.is_retryable() && error.message().contains("does not name it"), "{error}");
    }
}

#[tokio::test]
async fn only_the_handler_frames_a_request() {
    for name in ["Host", "content-length", "Transfer-Encoding", "connection", "TE"] {
        let config = json!({"url": "http://127.0.0.1:9/", "headers": {name: "x"}});
        let error = call("127.0.0.1", config).await.unwrap_err();
        assert!(
            !error.is_retryable() && error.message().contains("by the handler alone"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_secret_is_sent_and_what_echoes_it_is_masked() {
    let folder =
        std::env::temp_dir().join(format!("tasker-http-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("PAY"), "very-s3cret\n").unwrap();
    std::fs::write(folder.join("PAY.hosts"), "127.0.0.1").unwrap();
    let call = async |address: std::net::SocketAddr| {
        let mut http = Http::new(AllowList::parse("127.0.0.1").unwrap());
        http.secrets = Secrets::new(Some(folder.clone()));
        let config = json!({
            "url": format!("http://{address}/"),
            "headers": {"authorization": "Bearer {secret:PAY}"},
        });
        Arc::new(http).run(context(json!({}), config, json!({}))).await
    };
    let (address, request) =
        server(response("200 OK", "", "{\"got\": \"Bearer very-s3cret\"}")).await;
    assert_eq!(call(address).await.unwrap(), StepOutcome::success(json!({"got": "Bearer ***"})));
    let request = request.await.unwrap();
    assert!(request.contains("authorization: Bearer very-s3cret\r\n"), "{request}");
    assert!(request.contains("Bearer {secret:PAY}"), "the body has the template's text: {request}");
    for status in ["400 Bad Request", "500 Oh"] {
        let (address, _request) = server(response(status, "", "no key very-s3cret known")).await;
        let error = call(address).await.unwrap_err();
        assert!(error.message().ends_with("no key *** known"), "{error}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn every_kind_of_outcome_has_its_form() {
    for kind in StepOutcome::KINDS {
        let form = form(&json!({"type": kind}));
        assert!(form.contains(&format!(r#"{{"type": "{kind}""#)), "{kind}: {form}");
    }
}
