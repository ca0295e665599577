//! An OpenAI-compatible endpoint over real HTTP on loopback that answers as a test says.
//!
//! It lives on a thread of its own with its own runtime, so it serves tests of any runtime, also with paused time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, dead_code)]

use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Value,
    pub at: Instant,
}

impl Seen {
    /// The document that the model is asked about.
    pub fn document(&self) -> Value {
        serde_json::from_str(self.body["messages"][1]["content"].as_str().unwrap()).unwrap()
    }

    /// The model that is asked.
    pub fn model(&self) -> &str {
        self.body["model"].as_str().unwrap()
    }

    /// json_schema, json_object, tool or plain.
    pub fn mode(&self) -> &str {
        match self.body["response_format"]["type"].as_str() {
            Some(format) => format,
            None if self.body.get("tools").is_some() => "tool",
            None => "plain",
        }
    }
}

/// What the server does with a request.
#[derive(Clone, Debug)]
pub enum Reply {
    /// A completion whose content is this text; through the tool if one is asked for.
    Says(String),
    /// A completion as it stands.
    Completion(Value),
    /// Any answer.
    Raw { status: u16, headers: Vec<(&'static str, String)>, body: Vec<u8> },
    /// The same, later.
    After(Duration, Box<Reply>),
    /// No answer as long as the server lives.
    Never,
    /// Half an answer, and then nothing more as long as the server lives.
    Drips,
    /// The connection is closed without an answer.
    Tears,
}

impl Reply {
    /// A believable answer to whatever was asked: it cites the total and an event.
    pub fn good(seen: &Seen) -> Self {
        Self::Says(good_answer(&seen.document()).to_string())
    }

    /// An answer of this kind with an error as its body.
    pub fn error(status: u16, message: &str) -> Self {
        Self::refusal(status, message, &[])
    }

    /// The same with headers.
    pub fn refusal(status: u16, message: &str, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        let body = json!({"error": {"message": message, "type": "scripted"}}).to_string().into_bytes();
        Self::Raw { status, headers, body }
    }
}

/// An answer that can be believed, about any document of facts.
pub fn good_answer(document: &Value) -> Value {
    let total = &document["counts"]["total"];
    let mut cites = vec![json!("counts.total")];
    cites.extend(document.pointer("/samples/0/event_id").cloned());
    json!({
        "title": "Requests fail again and again",
        "impact": format!("{total} events were counted."),
        "likely_causes": ["The service it depends on may not answer."],
        "evidence": [{"statement": format!("The incident has {total} events."), "cites": cites}],
        "next_steps": ["Look at the service that it depends on."],
        "confidence": 0.6,
    })
}

/// A completion with this content and 1,000 + 200 tokens.
pub fn completion(model: &str, content: &str, finish: &str) -> Value {
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": model,
        "choices": [{"index": 0, "message": {"role": "assistant", "content": content}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 1_000, "completion_tokens": 200, "total_tokens": 1_200},
    })
}

type Script = dyn FnMut(&Seen) -> Reply + Send;

struct Shared {
    seen: Mutex<Vec<Seen>>,
    script: Mutex<Box<Script>>,
}

/// The running server; it ends when this is dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl ModelServer {
    /// Answers each request as `script` says.
    pub fn start(script: impl FnMut(&Seen) -> Reply + Send + 'static) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { seen: Mutex::default(), script: Mutex::new(Box::new(script)) });
        let (stop, stopped) = oneshot::channel();
        let state = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                tokio::select! {
                    () = serve(TcpListener::from_std(listener).unwrap(), state) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// Answers the n-th request with the n-th of these; the last one is repeated.
    pub fn replies(replies: Vec<Reply>) -> Self {
        let mut number = 0;
        Self::start(move |_| {
            number += 1;
            replies.get(number - 1).or(replies.last()).unwrap().clone()
        })
    }

    /// Answers every request well.
    pub fn good() -> Self {
        Self::start(Reply::good)
    }

    /// For `GRADIENT_BASE_URL`.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { return };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A client that goes away is a case of many tests.
            let _ = connection(stream, &shared).await;
        });
    }
}

/// One request and its answer.
async fn connection(mut stream: TcpStream, shared: &Shared) -> std::io::Result<()> {
    let Some(seen) = request(&mut stream).await? else { return Ok(()) };
    shared.seen.lock().unwrap().push(seen.clone());
    let mut reply = (shared.script.lock().unwrap())(&seen);
    while let Reply::After(wait, inner) = reply {
        tokio::time::sleep(wait).await;
        reply = *inner;
    }
    let (status, headers, body) = match reply {
        Reply::Says(text) => (200, Vec::new(), said(&seen, &text).to_string().into_bytes()),
        Reply::Completion(completion) => (200, Vec::new(), completion.to_string().into_bytes()),
        Reply::Raw { status, headers, body } => (status, headers, body),
        Reply::Tears => return Ok(()),
        Reply::Never => std::future::pending().await,
        Reply::Drips => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n{\"id\":")
                .await?;
            stream.flush().await?;
            std::future::pending().await
        }
        Reply::After(..) => unreachable!("waited for above"),
    };
    let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\nconnection: close\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "content-type") {
        head.push_str("content-type: application/json\r\n");
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await
}

fn said(seen: &Seen, text: &str) -> Value {
    let mut completion = completion(seen.model(), text, "stop");
    if seen.mode() == "tool" {
        let name = &seen.body["tool_choice"]["function"]["name"];
        let call = json!({"id": "call_1", "type": "function", "function": {"name": name, "arguments": text}});
        completion["choices"][0] = json!({
            "index": 0, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": null, "tool_calls": [call]},
        });
    }
    completion
}

async fn request(stream: &mut TcpStream) -> std::io::Result<Option<Seen>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let (method, path) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length: usize = headers.get("content-length").map_or(0, |length| length.parse().unwrap());
    while bytes.len() < end + length {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let body = serde_json::from_slice(&bytes[end..end + length]).unwrap_or(Value::Null);
    Ok(Some(Seen { method, path, headers, body, at: Instant::now() }))
}
