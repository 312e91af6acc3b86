//! What the unit tests share.

use crate::{StepContext, claim::Claim, testing::TestStep};
use serde_json::{Value, value::RawValue};
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::oneshot,
};

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
    let mut test = TestStep::new().context(context).config(config);
    for (name, result) in parents.as_object().into_iter().flatten() {
        test = test.parent(name, result);
    }
    test.claim.step = "s".into();
    test.claim.template_step = "s".to_owned();
    test.claim.handler = "h".to_owned();
    test.claim.timeout = Duration::from_secs(5);
    test.into_context()
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
