//! What is made of an API's answers, and that no secret is in any.

use super::{super::*, JSON, SECRET, answered, at, call, first_line, refused_call, run};
use crate::fixtures::{response, server};
use pgtasker_core::Failure;
use serde_json::json;
use std::time::Duration;
use tokio::{net::TcpListener, time::timeout};

/// An answer that is written as it is.
async fn written(answer: &str, more: Value) -> Result<Value, StepError> {
    let (address, _request) = server(answer.to_owned()).await;
    let mut config = json!({"url": format!("http://{address}/x")});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(config, json!({})).await
}

#[tokio::test]
async fn the_body_is_the_result() {
    let text = "content-type: text/plain\r\n";
    let no_content = "204 No Content";
    for (status, headers, body, whole, as_text) in [
        ("200 OK", JSON, r#"{"a": 1}"#, json!({"a": 1}), r#"{"a": 1}"#),
        ("200 OK", "content-type: application/hal+json; v=1\r\n", "7", json!(7), "7"),
        ("201 Created", JSON, "\u{feff}[1]", json!([1]), "[1]"),
        ("200 OK", "", r#"{"a": 1}"#, json!({"a": 1}), r#"{"a": 1}"#),
        ("200 OK", text, "[1] and more", json!("[1] and more"), "[1] and more"),
        ("200 OK", text, "007", json!("007"), "007"),
        ("200 OK", "", "null", json!("null"), "null"),
        ("200 OK", "", "<a/>", json!("<a/>"), "<a/>"),
        ("200 OK", JSON, "", json!(null), ""),
        ("200 OK", "", "", json!(null), ""),
        (no_content, JSON, "", json!(null), ""),
        (no_content, "content-encoding: gzip\r\n", "", json!(null), ""),
    ] {
        let result = async |more| answered(status, headers, body, more).await.unwrap();
        assert_eq!(result(json!({})).await, whole, "{headers}{body}");
        assert_eq!(result(json!({"response": "body"})).await, whole, "{headers}{body}");
        assert_eq!(result(json!({"response": "text"})).await, as_text, "{headers}{body}");
        let full = result(json!({"response": "full"})).await;
        assert_eq!(full["body"], whole, "{headers}{body}");
        assert_eq!(full["status"].to_string(), status[..3]);
    }
    let head = answered("200 OK", JSON, "", json!({"method": "HEAD", "response": "full"})).await;
    assert_eq!(head.unwrap()["body"], json!(null));
}

#[tokio::test]
async fn all_of_an_answer_has_its_headers() {
    let headers = "X-Total: 7\r\nLink: <a>\r\nlink: <b>\r\nx-old: \u{e4}\r\n";
    let full = answered("404 Not Found", headers, "gone", json!({"response": "full", "ok": [404]}));
    assert_eq!(
        full.await.unwrap(),
        json!({
            "status": 404,
            "headers": {
                "x-total": "7", "link": "<a>, <b>", "x-old": "\u{e4}", "content-length": "4",
                "connection": "close",
            },
            "body": "gone",
        })
    );
}

#[tokio::test]
async fn an_answer_ends_no_task() {
    for tasker in [
        json!({"type": "failure", "message": "ended"}),
        json!({"type": "decision", "create_steps": ["x"]}),
        json!(7),
    ] {
        let body = json!({"$tasker": tasker});
        for headers in [JSON, ""] {
            let result = answered("200 OK", headers, &body.to_string(), json!({})).await;
            assert_eq!(result.unwrap(), body);
        }
    }
}

#[tokio::test]
async fn what_is_not_readable_is_no_result() {
    for (headers, body, retryable) in [
        (JSON, "plain", false),
        (JSON, "[1] [2]", false),
        (JSON, r#"{"a": "#, true),
        ("content-encoding: gzip\r\n", "\u{1f}x", false),
        ("content-encoding: gzip\r\ncontent-type: application/json\r\n", "\u{1f}x", false),
    ] {
        let failure =
            Failure::from(answered("200 OK", headers, body, json!({})).await.unwrap_err());
        assert_eq!(failure.code.as_deref(), Some("invalid_result"), "{headers}{body}");
        assert_eq!(failure.retryable, retryable, "{headers}{body}: {}", failure.message);
    }
    let huge = answered("200 OK", "", &"x".repeat((1 << 20) + 1), json!({})).await.unwrap_err();
    assert_eq!(Failure::from(huge).code.as_deref(), Some("response_too_large"));
}

#[tokio::test]
async fn an_answer_may_come_in_chunks_but_has_to_end() {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n";
    let whole = format!("{head}4\r\n[1, \r\n2\r\n2]\r\n0\r\n\r\n");
    assert_eq!(written(&whole, json!({})).await.unwrap(), json!([1, 2]));
    for cut in [
        format!("{head}3\r\nabc\r\n"),
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc".to_owned(),
        "HTTP/1.1 200".to_owned(),
    ] {
        let error = written(&cut, json!({})).await.unwrap_err();
        assert!(error.is_retryable(), "{cut}: {error}");
    }
}

#[tokio::test]
async fn the_status_decides() {
    for (status, ok, code, retryable) in [
        ("200 OK", json!(null), None, false),
        ("299 Odd", json!(null), None, false),
        ("404 Not Found", json!([200, 404]), None, false),
        ("503 Service Unavailable", json!([503]), None, false),
        ("302 Found", json!([302]), None, false),
        ("201 Created", json!([200]), Some("http_201"), false),
        ("404 Not Found", json!(null), Some("http_404"), false),
        ("302 Found", json!(null), Some("http_302"), false),
        ("408 Request Timeout", json!(null), Some("http_408"), true),
        ("425 Too Early", json!(null), Some("http_425"), true),
        ("500 Oh", json!([200]), Some("http_500"), true),
    ] {
        let more = if ok.is_null() { json!({}) } else { json!({"ok": ok}) };
        match (answered(status, "", "why it is", more).await, code) {
            (Ok(result), None) => assert_eq!(result, "why it is", "{status}"),
            (Err(error), Some(code)) => {
                let failure = Failure::from(error);
                assert_eq!(failure.code.as_deref(), Some(code));
                assert_eq!(failure.retryable, retryable, "{status}");
                let redirect = status.starts_with('3');
                assert!(failure.message.ends_with("why it is") != redirect, "{}", failure.message);
            }
            (result, _) => panic!("{status}: {result:?}"),
        }
    }
    let later = answered("429 Too Many Requests", "retry-after: 7\r\n", "", json!({})).await;
    let later = Failure::from(later.unwrap_err());
    assert_eq!((later.retryable, later.retry_after_ms), (true, Some(7_000)));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (elsewhere, request) = server(response("200 OK", "", "1")).await;
    let location = format!("http://{elsewhere}/");
    let headers = format!("location: {location}\r\n");
    let error = answered("307 Temporary Redirect", &headers, "", json!({})).await.unwrap_err();
    assert!(error.message().contains("redirects are not followed"), "{error}");
    let full = json!({"ok": [307], "response": "full"});
    let full = answered("307 Temporary Redirect", &headers, "", full).await.unwrap();
    assert_eq!(full["headers"]["location"], location);
    assert!(timeout(Duration::from_millis(50), request).await.is_err());
}

#[tokio::test]
async fn a_slow_answer_is_waited_for_as_the_template_says() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let config = json!({"url": url, "timeout_seconds": 0.05});
    let failure = Failure::from(call(config, json!({})).await.unwrap_err());
    assert_eq!((failure.code.as_deref(), failure.retryable), (Some("timeout"), true));
}

/// The secret in each form in which a server may give it back.
fn echoes() -> Vec<String> {
    let encoded = encode(SECRET);
    let form = encoded.replace("%20", "+");
    vec![SECRET.to_owned(), encoded.to_ascii_lowercase(), encoded, form]
}

#[tokio::test]
async fn a_secret_is_sent_and_no_answer_tells_it() {
    let config = json!({
        "url": "http://HOST/x",
        "query": {"key": "{secret:PAY}", "id": "{id}"},
        "headers": {"authorization": "Bearer {secret:PAY}, {id}"},
    });
    let secret = "{secret:PAY}{secret:ELSEWHERE}";
    for echo in echoes() {
        for response_kind in ["body", "text", "full"] {
            let headers = format!("x-echo: <{echo}>\r\ncontent-encoding: identity\r\n");
            let (address, request) = server(response("200 OK", &headers, &echo)).await;
            let mut config = at(address, &config);
            config["response"] = json!(response_kind);
            let result = call(config, json!({"id": secret})).await.unwrap();
            let full = response_kind == "full";
            assert_eq!(if full { &result["body"] } else { &result }, "***", "{echo}");
            assert!(!full || result["headers"]["x-echo"] == "<***>", "{result}");
            let request = request.await.unwrap();
            let line = format!("GET /x?id={}&key={} HTTP/1.1", encode(secret), encode(SECRET));
            assert_eq!(first_line(&request), line);
            let header = format!("authorization: Bearer {SECRET}, {secret}\r\n");
            assert!(request.contains(&header), "a value is not looked at again: {request}");
        }
        let cases = [
            ("400 Bad Request", String::new()),
            ("500 Oh", String::new()),
            ("200 OK", format!("content-encoding: {echo}\r\n")),
            ("200 OK", format!("content-type: application/json\r\nx-a: {echo}\r\n")),
            ("307 Temporary Redirect", format!("location: http://a/{echo}\r\n")),
        ];
        for (status, headers) in cases {
            let (address, _request) = server(response(status, &headers, &echo)).await;
            let error = call(at(address, &config), json!({"id": 1})).await.unwrap_err();
            let shown = format!("{error} {error:?}");
            assert!(!shown.contains("s3cret"), "{status}: {shown}");
        }
    }
}

#[tokio::test]
async fn a_secret_goes_to_its_hosts_only() {
    for place in ["headers", "query"] {
        for (secret, words) in [
            ("{secret:ELSEWHERE}", "secret ELSEWHERE is not for http://127.0.0.1"),
            ("{secret:MISSING}", "the worker has no secret MISSING"),
            ("{secret:pay}", "a secret's name is of A-Z"),
        ] {
            let config = json!({"url": "{url}", place: {"key": secret}});
            let error = refused_call(config, json!({"url": "http://HOST/"})).await;
            assert!(error.starts_with(&format!("config.{place}.key: ")), "{error}");
            assert!(error.contains(words) && !error.contains("s3cret"), "{error}");
        }
        // Only what is bound to loopback goes unencrypted.
        let config = json!({"url": "http://api.example/", place: {"key": "{secret:ELSEWHERE}"}});
        let error = refused_call(config, json!({})).await;
        assert!(error.contains("by https"), "{error}");
    }
}

/// Without `api: true` the whole step goes to the receiver, as it always has.
#[tokio::test]
async fn without_it_nothing_changes() {
    for api in [json!(null), json!(false), json!("true"), json!("v2")] {
        let config = json!({"url": "http://HOST/{x}", "api": api, "query": {"q": "{x}"}});
        let (address, request) =
            server(response("200 OK", "", r#"{"$tasker": {"type": "success"}}"#)).await;
        let outcome = run(at(address, &config), json!({"x": 1})).await.unwrap();
        assert_eq!(outcome, StepOutcome::success(()));
        let request = request.await.unwrap();
        assert_eq!(first_line(&request), "POST /%7Bx%7D HTTP/1.1");
        assert!(request.contains(r#""query":{"q":"{x}"}"#), "{request}");
    }
}
