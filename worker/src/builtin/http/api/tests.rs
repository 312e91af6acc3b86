//! Calls of an API against a small server of our own.

mod answers;

use super::{super::secrets::Secrets, *};
use crate::{
    builtin::http::allow::AllowList,
    fixtures::{context, raw, response, server, with_claim},
};
use percent_encoding::percent_decode_str;
use pgtasker_core::Failure;
use serde_json::json;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{net::TcpListener, time::timeout};

const JSON: &str = "content-type: application/json\r\n";
const SECRET: &str = "very-s3cret*~ /+";

/// The result of a call with `api: true`.
async fn call(config: Value, inputs: Value) -> Result<Value, StepError> {
    let mut config = config;
    config["api"] = json!(true);
    match run(config, inputs).await? {
        StepOutcome::Success { result } => Ok(result),
        other => panic!("no success: {other:?}"),
    }
}

/// The outcome of a step of the handler.
async fn run(config: Value, inputs: Value) -> Result<StepOutcome, StepError> {
    let folder = std::env::temp_dir().join(format!("tasker-api-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&folder).unwrap();
    for (file, text) in [
        ("PAY", SECRET),
        ("PAY.hosts", "127.0.0.1"),
        ("ELSEWHERE", "other-s3cret"),
        ("ELSEWHERE.hosts", "api.example"),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    let mut http = Http::new(AllowList::parse("127.0.0.1,api.example").unwrap());
    http.secrets = Secrets::new(Some(folder.clone()));
    let ctx =
        with_claim(context(json!({}), config, json!({})), |claim| claim.inputs = raw(&inputs));
    let outcome = Arc::new(http).run(ctx).await;
    std::fs::remove_dir_all(&folder).unwrap();
    outcome
}

/// The text HOST is the address.
fn at(address: SocketAddr, value: &Value) -> Value {
    serde_json::from_str(&value.to_string().replace("HOST", &address.to_string())).unwrap()
}

/// What is sent, where the server answers 200.
async fn sent(config: Value, inputs: Value) -> String {
    let (address, request) = server(response("200 OK", "", "")).await;
    call(at(address, &config), at(address, &inputs)).await.unwrap();
    request.await.unwrap()
}

/// The result of a GET that is answered so.
async fn answered(
    status: &str,
    headers: &str,
    body: &str,
    more: Value,
) -> Result<Value, StepError> {
    let (address, _request) = server(response(status, headers, body)).await;
    let mut config = json!({"url": format!("http://{address}/x")});
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call(config, json!({})).await
}

/// The message of a call that fails for good before anything is sent.
async fn refused_call(config: Value, inputs: Value) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // What is sent all the same gets no answer.
    let called = timeout(Duration::from_secs(5), call(at(address, &config), at(address, &inputs)));
    let error = called.await.unwrap_or_else(|_| panic!("{config} is sent")).unwrap_err();
    assert!(timeout(Duration::from_millis(1), listener.accept()).await.is_err(), "{config}");
    let failure = Failure::from(error);
    assert_eq!((failure.code.as_deref(), failure.retryable), (Some("invalid_input"), false));
    failure.message
}

fn first_line(request: &str) -> &str {
    request.lines().next().unwrap()
}

#[tokio::test]
async fn it_sends_what_the_template_says() {
    let request = sent(
        json!({
            "url": "http://HOST/pets/{id}/toys?all=1", "query": {"n": "{n}", "x y": 1.5, "z": true},
            "headers": {"x-id": "<{id}>", "Accept": "application/json"},
        }),
        json!({"id": "a b", "n": 7}),
    )
    .await;
    assert_eq!(first_line(&request), "GET /pets/a%20b/toys?all=1&n=7&x%20y=1.5&z=true HTTP/1.1");
    for header in ["x-id: <a b>\r\n", "accept: application/json\r\n", "tasker-attempt: 1\r\n"] {
        assert!(request.contains(header), "{request}");
    }
    assert!(request.contains("idempotency-key: "), "{request}");
    assert!(request.ends_with("\r\n\r\n") && !request.contains("content-"), "no body: {request}");
    let request = sent(json!({"url": "{url}"}), json!({"url": "http://HOST/a/../b?c=d#e"})).await;
    assert_eq!(first_line(&request), "GET /b?c=d HTTP/1.1");
    let request = sent(json!({"url": "http://HOST", "method": "post"}), json!(null)).await;
    assert!(request.starts_with("POST / ") && request.contains("content-length: 0\r\n"));
}

#[tokio::test]
async fn a_body_is_json_form_or_text() {
    let body = async |config: Value, inputs: Value| {
        let mut config = config;
        config["url"] = json!("http://HOST/x");
        let request = sent(config, inputs).await;
        assert!(request.starts_with("POST /x "), "{request}");
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        let kind = head.lines().find_map(|line| line.strip_prefix("content-type: ")).unwrap();
        (kind.to_owned(), body.to_owned())
    };
    let inputs = json!({"a": "x&y=1 {a}", "o": {"k": [null]}, "none": null, "n": 1});
    let json = json!({"json": {
        "text": "<{a}>", "same": "{o}", "list": ["{none}", "{n}", "n{n}", "{{n}}"], "{n}": 2.50,
    }});
    let (kind, sent) = body(json, inputs.clone()).await;
    assert_eq!(kind, "application/json");
    assert_eq!(
        serde_json::from_str::<Value>(&sent).unwrap(),
        json!({
            "text": "<x&y=1 {a}>", "same": {"k": [null]}, "list": [null, 1, "n1", "{n}"],
            "{n}": 2.50,
        })
    );
    assert_eq!(body(json!({"json": null}), json!({})).await.1, "null");
    assert_eq!(body(json!({"json": "{o}"}), inputs.clone()).await.1, r#"{"k":[null]}"#);
    let (kind, sent) = body(json!({"form": {"a": "{a}", "b": 1}}), inputs.clone()).await;
    assert_eq!(kind, "application/x-www-form-urlencoded");
    assert_eq!(sent, "a=x%26y%3D1%20%7Ba%7D&b=1");
    let (kind, sent) = body(json!({"text": "a={a}"}), inputs.clone()).await;
    assert_eq!((&*kind, &*sent), ("text/plain; charset=utf-8", "a=x&y=1 {a}"));
    let xml = json!({"text": "<a/>", "headers": {"Content-Type": "application/xml"}});
    assert_eq!(body(xml, json!({})).await.0, "application/xml");
}

#[tokio::test]
async fn numbers_keep_their_digits_both_ways() {
    let (digits, decimal) = ("123456789012345678901234567890", "0.100000000000000000000000000001");
    let inputs: Value =
        serde_json::from_str(&format!("{{\"n\": {digits}, \"d\": {decimal}}}")).unwrap();
    let config: Value = serde_json::from_str(&format!(
        r#"{{"url": "http://HOST/{{n}}", "query": {{"d": "{{d}}", "c": {digits}}},
             "json": ["{{n}}", "{{d}}", "{{n}}!", {digits}]}}"#
    ))
    .unwrap();
    let request = sent(config, inputs).await;
    let line = format!("POST /{digits}?c={digits}&d={decimal} HTTP/1.1");
    assert_eq!(first_line(&request), line);
    assert!(
        request.ends_with(&format!("[{digits},{decimal},\"{digits}!\",{digits}]")),
        "{request}"
    );
    let answer = answered("200 OK", JSON, &format!("[{digits},{decimal}]"), json!({})).await;
    assert_eq!(answer.unwrap().to_string(), format!("[{digits},{decimal}]"));
}

#[test]
fn a_value_is_one_part_of_a_path_or_query_whatever_it_holds() {
    let odd = [
        "../x",
        "..\\x",
        "a/b",
        "?x=1",
        "#",
        "\r\n",
        "%2e%2e",
        "%2f",
        "@evil",
        ":8080",
        "//evil",
        "\u{e4}",
        "\u{2025}",
        "\u{ff0e}\u{ff0e}",
        "{b}",
        "{secret:PAY}",
        "{{",
        "...",
        "a;b",
    ];
    let each = (0..128_u8).map(|c| format!("x{}", char::from(c)));
    for value in odd.into_iter().map(str::to_owned).chain(each) {
        let inputs = Inputs::of(&raw(&json!({"a": value, "b": "b"})));
        let url = url("https://api.example/v1/{a}/e?p={a}&q=1", &inputs).unwrap();
        let segments: Vec<&str> = url.path_segments().unwrap().collect();
        let ["v1", segment, "e"] = segments[..] else { panic!("{value:?}: {url}") };
        assert_eq!(percent_decode_str(segment).decode_utf8().unwrap(), value);
        let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(pairs, [("p".into(), value), ("q".into(), "1".into())]);
        assert_eq!((url.host_str(), url.fragment()), (Some("api.example"), None));
    }
}

#[tokio::test]
async fn a_value_leads_to_no_other_path() {
    for (url, value) in [
        ("http://HOST/a/{x}", ".."),
        ("http://HOST/a/{x}/b", "."),
        ("http://HOST/a/.{x}?q", "."),
        ("http://HOST/a/{x}{x}", "."),
        ("http://HOST/a/%2e{x}", "."),
        ("http://HOST/a/%2E%2e/{x}", "x"),
        ("http://HOST/a/../{x}", "x"),
    ] {
        let error = refused_call(json!({"url": url}), json!({"x": value})).await;
        assert!(error.starts_with("config.url: a segment of its path is "), "{url}: {error}");
    }
    // A parser takes them for slashes, or away.
    for url in ["http://HOST/a\\{x}", "http://HOST/.\t{x}", "http://HOST/a\\..\\{x}"] {
        let error = refused_call(json!({"url": url}), json!({"x": "."})).await;
        assert!(error.contains("write it percent-encoded"), "{url}: {error}");
    }
    for url in ["http://HOST/%{x}", "http://HOST/%2{x}", "http://HOST/?%{x}"] {
        let error = refused_call(json!({"url": url}), json!({"x": "f"})).await;
        assert!(error.contains("the % before {x} is not whole"), "{url}: {error}");
    }
    let error = refused_call(json!({"url": "http://HOST/pets/{x}"}), json!({"x": ""})).await;
    assert_eq!(error, "config.url: input x is empty: the path without it leads elsewhere");
    let request = sent(json!({"url": "http://HOST/p?x={x}"}), json!({"x": ""})).await;
    assert_eq!(first_line(&request), "GET /p?x= HTTP/1.1");
    let long = "x".repeat(MAX_URL);
    let error = refused_call(json!({"url": "http://HOST/{x}"}), json!({"x": long})).await;
    assert!(error.contains("over 60000 bytes"), "{error}");
}

#[tokio::test]
async fn only_a_url_that_is_a_value_has_its_host_from_there() {
    for template in [
        "https://{x}/",
        "https://api.example{x}/",
        "https://api.example:{x}/",
        "https://{x}",
        "{x}/a",
        "{x}{y}",
        "https://api.example?{x}",
        "https:/{x}/",
        "//{x}",
        "{{{x}",
        "https:\\\\{x}/",
        "https://api.example\\{x}/",
        "https://api.example#/{x}",
        "",
        "/a/{x}",
        "ftp://api.example/{x}",
        "https://api.\nexample/{x}",
    ] {
        let error = refused_call(json!({"url": template}), json!({"x": "evil.example", "y": "y"}));
        let error = error.await;
        assert!(error.starts_with("config.url: "), "{template}: {error}");
    }
    for (url, words) in [
        ("http://user@HOST/", "a user or a password"),
        ("http://:pass@HOST/", "a user or a password"),
        ("file:///etc/passwd", "scheme file"),
        ("HOST/x", "relative URL"),
    ] {
        for (template, inputs) in [(url, json!({})), ("{x}", json!({"x": url}))] {
            let error = refused_call(json!({"url": template}), inputs).await;
            assert!(error.starts_with("config.url: "), "{template}: {error}");
            assert!(error.contains(words) || template != "{x}", "{template}: {error}");
        }
    }
    for url in [
        "http://evil.example/",
        "http://10.0.0.1/",
        "http://api.example@evil.example/",
        "http://api.example.evil.example/",
        "http://[::1]/",
    ] {
        let error = call(json!({"url": "{x}"}), json!({"x": url})).await.unwrap_err();
        let code = Failure::from(error).code;
        let user = url.contains('@').then_some("invalid_input");
        assert_eq!(code.as_deref(), user.or(Some("host_not_allowed")), "{url}");
    }
}

#[tokio::test]
async fn a_value_is_no_other_header() {
    for value in ["a\r\nx-evil: 1", "a\nb", "a\rb", "a\0", "a\tb", "\u{7f}", "\u{85}"] {
        let config = json!({"url": "http://HOST/", "headers": {"x-a": "{x}"}});
        let error = refused_call(config, json!({"x": value})).await;
        assert_eq!(error, "config.headers.x-a: input x has a control character", "{value:?}");
    }
    for name in ["Host", "content-length", "Transfer-Encoding", "connection"] {
        let config = json!({"url": "http://HOST/", "headers": {name: "x"}});
        let error = refused_call(config, json!({})).await;
        assert!(error.ends_with("this header is set by the handler alone"), "{error}");
    }
}

#[tokio::test]
async fn a_value_that_has_no_text_stands_in_json_only() {
    let inputs = json!({"null": null, "list": [1], "map": {}});
    for name in ["null", "list", "map", "absent"] {
        let place = format!("{{{name}}}");
        for config in [
            json!({"url": format!("http://HOST/{place}")}),
            json!({"url": place}),
            json!({"url": "http://HOST/", "query": {"q": place}}),
            json!({"url": "http://HOST/", "headers": {"x-q": place}}),
            json!({"url": "http://HOST/", "form": {"q": place}}),
            json!({"url": "http://HOST/", "text": place}),
            json!({"url": "http://HOST/", "json": [format!("a{place}")]}),
        ] {
            let error = refused_call(config.clone(), inputs.clone()).await;
            assert!(error.contains(&format!("input {name}")), "{config}: {error}");
        }
    }
    let config = json!({"url": "http://HOST/", "json": "{absent}"});
    let error = refused_call(config, inputs).await;
    assert!(error.starts_with("config.json: the step has no input absent: add it"), "{error}");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_refused() {
    for (config, words) in [
        (json!({"jsno": 1}), "config.jsno: unknown field `jsno`"),
        (json!({"response": "all"}), "config.response: unknown variant `all`"),
        (json!({"ok": ["200"]}), "config.ok[0]: "),
        (json!({"ok": []}), "config.ok: "),
        (json!({"method": "BREW"}), "config.method: "),
        (json!({"method": "GET", "json": 1}), "config.method: a GET has no body"),
        (json!({"json": 1, "text": "a"}), "config.json, form, and text: "),
        (json!({"timeout_seconds": -1}), "config.timeout_seconds: "),
        (json!({"query": {"q": null}}), "config.query.q: "),
        (json!({"form": {"q": []}}), "config.form.q: "),
        (json!({"headers": {"a b": "c"}}), "config.headers.a b: "),
        (json!({"query": {"q": "{"}}), "config.query.q: a single {: write {name}"),
        (json!({"text": "{secret:PAY}"}), "config.text: {secret:PAY}: secrets go into headers"),
        (json!({"json": "{secret:PAY}"}), "config.json: {secret:PAY}: secrets go into headers"),
        (json!({"url": "http://HOST/{secret:PAY}"}), "config.url: {secret:PAY}: secrets go into"),
        (json!({"url": "{secret:PAY}"}), "config.url: before its first value"),
        (json!({"url": null}), "config.url: invalid type"),
    ] {
        let mut whole = json!({"url": "http://HOST/"});
        whole.as_object_mut().unwrap().extend(config.as_object().unwrap().clone());
        let error = refused_call(whole, json!({})).await;
        assert!(error.contains(words), "{config}: {error}");
    }
}
