//! A service that handlers call: it answers with the status in the path, and tells in the body what
//! it was sent.

use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// Its URL. It runs as long as the runtime.
pub async fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    url
}

/// One request; a client that is gone meanwhile is its own affair.
async fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    let words: Vec<String> = line.split(' ').map(ToOwned::to_owned).collect();
    let mut headers = BTreeMap::new();
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).await?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let path = words.get(1).cloned().unwrap_or_default();
    let status = path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default();
    let told = ["idempotency-key", "tasker-attempt", "traceparent", "content-type", "x-own"];
    let told: Value = told.iter().map(|name| json!([name, headers.get(*name)])).collect();
    let said = json!({"method": words[0], "path": path, "headers": told,
                      "body": String::from_utf8_lossy(&body), "big": u64::MAX});
    let text = match path.ends_with("/garbage") {
        true => "{no JSON".to_owned(),
        false => said.to_string(),
    };
    let answer = format!(
        "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         retry-after: 0\r\nconnection: close\r\n\r\n{text}",
        text.len()
    );
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}
