//! What the unit tests share.

use crate::{StepContext, claim::Claim, http_client::HttpClient};
use serde_json::{Value, value::RawValue};
use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Changes the claim of a context that nobody shares yet.
pub(crate) fn with_claim(mut ctx: StepContext, change: impl FnOnce(&mut Claim)) -> StepContext {
    change(Arc::get_mut(&mut ctx.claim).expect("not shared"));
    ctx
}

/// The text of a document, as a claim has it.
pub(crate) fn raw(value: &Value) -> Box<RawValue> {
    serde_json::value::to_raw_value(value).expect("a value has a text")
}

/// The context of a step `s`, in its first attempt.
pub(crate) fn context(context: Value, config: Value, parents: Value) -> StepContext {
    let claim = Claim {
        task_id: Uuid::now_v7(),
        step: "s".into(),
        template_id: Uuid::nil(),
        template_step: "s".to_owned(),
        handler: "h".to_owned(),
        attempt: 1,
        claim_no: 1,
        context: raw(&context),
        inputs: RawValue::NULL.to_owned(),
        parents: parents
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, value)| (name.clone(), raw(value)))
            .collect(),
        paged: false,
        bytes: 0,
        checkpoint: RawValue::NULL.to_owned(),
        timeout: Duration::from_secs(5),
        correlation_id: None,
        traceparent: None,
        lease: None,
        waited: None,
        lease_losses: 0,
        run_alone: false,
    };
    StepContext {
        claim: Arc::new(claim),
        config: raw(&config).into(),
        state: Arc::default(),
        cancelled: CancellationToken::new(),
        template: Arc::default(),
        worker: None,
        own: Arc::default(),
        http: HttpClient::default(),
        traceparent: None,
        slot: Weak::new(),
    }
}

/// Answers one request with `response`; what was sent comes out of the channel.
pub(crate) async fn server(response: String) -> (SocketAddr, oneshot::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, request) = oneshot::channel();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        let mut buffer = [0_u8; 4096];
        loop {
            let n = socket.read(&mut buffer).await.unwrap();
            text.push_str(&String::from_utf8_lossy(&buffer[..n]));
            let length = text
                .lines()
                .find_map(|l| l.strip_prefix("content-length: "))
                .map_or(0, |n| n.parse().unwrap());
            if n == 0 || text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length) {
                break;
            }
        }
        seen.send(text).ok();
        // A client that has read enough may be gone.
        socket.write_all(response.as_bytes()).await.ok();
    });
    (address, request)
}

/// An HTTP response as text.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}
