//! What the tests of the OpenSearch backend share: a room of their own on the real server, and listeners before it.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

pub mod scripted;
pub mod tls;

use chrono::{DateTime, Utc};
use schema::event::{EventType, Severity};
use schema::search::{Filters, IndexedEvent, Page, SearchIndex, SearchRequest, TextQuery};
use search::{OpenSearch, OpenSearchConfig};
use serde_json::Value;
use serde_json::value::RawValue;
use url::Url;

/// The real server.
pub fn server() -> String {
    std::env::var("OPENSEARCH_URL").expect("OPENSEARCH_URL must name a real OpenSearch; see CONTRIBUTING.md")
}

/// Indices of one test.
pub struct Room {
    pub index: OpenSearch,
    pub prefix: String,
}

impl Room {
    pub fn new() -> Self {
        let prefix = format!("test-{}", uuid::Uuid::new_v4());
        let index = OpenSearch::new(&OpenSearchConfig::at(server()), 30).unwrap().with_prefix(&prefix);
        Self { index, prefix }
    }

    /// Asks the server itself.
    pub async fn ask(&self, method: &str, path: &str) -> (u16, Value) {
        ask(&server(), method, path).await
    }

    /// Takes everything away.
    pub async fn end(self) {
        self.ask("DELETE", &format!("{}-*", self.prefix)).await;
        self.ask("DELETE", &format!("_index_template/{}", self.prefix)).await;
    }
}

/// One request without more, by hand: so that what is checked does not pass through the client under test.
pub async fn ask(server: &str, method: &str, path: &str) -> (u16, Value) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let url = Url::parse(server).unwrap();
    let (host, port) = (url.host_str().unwrap(), url.port().unwrap());
    let mut socket = tokio::net::TcpStream::connect((host, port)).await.unwrap();
    let request = format!("{method} /{path} HTTP/1.0\r\nHost: {host}:{port}\r\nContent-Length: 0\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or(Value::Null))
}

pub fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

pub fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

pub fn event(event_id: &str, received_at: &str) -> IndexedEvent {
    IndexedEvent {
        event_id: event_id.to_owned(),
        occurred_at: at(received_at),
        received_at: at(received_at),
        org_id: "org".to_owned(),
        project_id: "project".to_owned(),
        environment: "prod".to_owned(),
        event_type: EventType::Error,
        severity: Severity::Error,
        message: "Payment TIMEOUT at /checkout".to_owned(),
        fingerprint: "f".repeat(64),
        route: Some("/checkout".to_owned()),
        error_code: None,
        release: None,
        attributes: raw(r#"{"route":"/checkout"}"#),
        payload: raw("{}"),
    }
}

pub fn everything() -> SearchRequest {
    SearchRequest {
        projects: vec!["project".to_owned()],
        text: TextQuery::default(),
        filters: Filters::default(),
        from: None,
        to: None,
        page: Page::Offset(0),
        limit: 100,
        interval: None,
        facet_size: 10,
    }
}

/// How many events the project has, once they can be seen.
pub async fn count(index: &dyn SearchIndex) -> u64 {
    index.refresh().await.unwrap();
    index.search(&everything()).await.unwrap().total
}
