//! What the client over HTTP makes of servers that are away, are not Tasker's, or refuse.

use pgtasker_client::{Client, Error, HttpClient};
use pgtasker_tests::WebServer;
use rstest::rstest;
use uuid::Uuid;

const KEY: &str = "tk_secret";

fn client(address: &str, path: &str) -> HttpClient {
    HttpClient::new(&format!("http://{address}{path}"), Some(KEY)).unwrap()
}

async fn error(answer: &'static [(u16, &'static str)]) -> Error {
    let server = WebServer::start(answer).await;
    let error = client(&server.address, "").task_status(Uuid::nil()).await.unwrap_err();
    assert!(!format!("{error} {error:?}").contains(KEY), "{error:?}");
    error
}

#[tokio::test]
async fn a_request_has_the_key_and_the_path_of_the_reverse_proxy() {
    let server = WebServer::start(&[(200, "[]")]).await;
    let queues = client(&server.address, "/ops/tasker/").list_queues().await.unwrap();
    assert_eq!(queues, []);
    let sent = &server.requests()[0];
    assert_eq!(sent.line, "GET /ops/tasker/v1/queues HTTP/1.1");
    assert_eq!(sent.headers["authorization"], format!("Bearer {KEY}"));
}

#[tokio::test]
async fn names_and_values_reach_the_server_as_they_are() {
    let server = WebServer::start(&[(200, "[]")]).await;
    client(&server.address, "").step_transitions(Uuid::nil(), "a b/c?d#é").await.unwrap();
    client(&server.address, "").list_templates(Some("x&y=z w")).await.unwrap();
    let lines: Vec<String> = server.requests().into_iter().map(|request| request.line).collect();
    assert!(lines[0].contains("/steps/a%20b%2Fc%3Fd%23%C3%A9/transitions HTTP"), "{lines:?}");
    assert!(lines[1].contains("/v1/templates?namespace=x%26y%3Dz+w HTTP"), "{lines:?}");
}

#[rstest]
#[case::html(&[(404, "<html>no such page</html>")], "is this the URL of a Tasker?")]
#[case::another_json(&[(200, "{\"hello\": 1}")], "not what this version of the API says")]
#[case::nothing(&[(500, "")], "500 Internal Server Error")]
#[tokio::test]
async fn what_is_no_tasker_is_told(
    #[case] answer: &'static [(u16, &'static str)],
    #[case] text: &str,
) {
    match error(answer).await {
        Error::Protocol(message) => {
            assert!(message.contains(text) && message.contains("/status"), "{message}")
        }
        other => panic!("{other:?}"),
    }
}

#[rstest]
#[case::by_the_server(
    &[(503, r#"{
        "type": "x",
        "title": "The database is away",
        "status": 503,
        "code": "database_unavailable"
    }"#)],
    "The database is away (database_unavailable)"
)]
#[case::by_a_proxy(&[(502, "<html>Bad Gateway</html>")], "502 Bad Gateway")]
#[tokio::test]
async fn what_is_away_is_worth_another_try(
    #[case] answer: &'static [(u16, &'static str)],
    #[case] text: &str,
) {
    let error = error(answer).await;
    assert!(error.is_transient(), "{error:?}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn a_server_that_is_not_there_is_named_without_the_key() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    drop(listener);
    let error = client(&address, "").health().await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    let text = format!("{error} {error:?}");
    assert!(text.contains(&format!("http://{address}")) && text.contains("refused"), "{text}");
    assert!(!text.contains(KEY), "{text}");
}

#[tokio::test]
async fn a_refusal_of_the_api_keeps_its_code_and_what_to_do() {
    const FORBIDDEN: &str = r#"{
        "type": "x",
        "title": "The key may not do this",
        "status": 403,
        "code": "forbidden",
        "detail": "it lacks tasks:read",
        "hint": "Ask for it.",
        "more": 1
    }"#;
    match error(&[(403, FORBIDDEN)]).await {
        Error::Api { status: 403, code, title, detail, hint } => {
            assert_eq!((code.as_str(), title.as_str()), ("forbidden", "The key may not do this"));
            assert_eq!(detail.as_deref(), Some("it lacks tasks:read"));
            assert_eq!(hint.as_deref(), Some("Ask for it."));
        }
        other => panic!("{other:?}"),
    }
}
