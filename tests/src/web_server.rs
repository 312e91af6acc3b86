//! A web server on this machine that answers as a test says and keeps what it was sent.

use serde_json::Value;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

/// What it was sent.
#[derive(Debug, Clone)]
pub struct WebRequest {
    /// As in `POST /charge HTTP/1.1`.
    pub line: String,
    /// By their names in lower case.
    pub headers: BTreeMap<String, String>,
    /// Null where it is no JSON.
    pub body: Value,
    /// The body as it came.
    pub bytes: Vec<u8>,
}

/// Answers with the given statuses and bodies in turn, the last one forever.
pub struct WebServer {
    /// Host and port.
    pub address: String,
    requests: Arc<Mutex<Vec<WebRequest>>>,
}

impl WebServer {
    /// Runs until the test ends.
    pub async fn start(answers: &'static [(u16, &'static str)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&requests);
        tokio::spawn(async move {
            for n in 0.. {
                let (stream, _) = listener.accept().await.unwrap();
                let mut stream = BufReader::new(stream);
                let request = read(&mut stream).await;
                // Noted first, so that a test with its answer finds it here.
                seen.lock().unwrap().push(request);
                answer(stream, answers[n.min(answers.len() - 1)]).await;
            }
        });
        Self { address, requests }
    }

    /// The requests so far, in order.
    pub fn requests(&self) -> Vec<WebRequest> {
        self.requests.lock().unwrap().clone()
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> WebRequest {
    let (mut first, mut headers) = (String::new(), BTreeMap::new());
    stream.read_line(&mut first).await.unwrap();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.unwrap();
        let Some((name, value)) = line.trim().split_once(": ") else { break };
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let mut body =
        vec![0; headers.get("content-length").map_or(0, |length| length.parse().unwrap())];
    stream.read_exact(&mut body).await.unwrap();
    let json = serde_json::from_slice(&body).unwrap_or(Value::Null);
    WebRequest { line: first.trim().to_owned(), headers, body: json, bytes: body }
}

async fn answer(mut stream: BufReader<TcpStream>, (status, body): (u16, &str)) {
    let head = format!(
        "HTTP/1.1 {status} Status\r\ncontent-type: application/json\r\ncontent-length: \
         {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
}
