//! The two HTTP APIs as a client sees them.

use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// No answer of ours takes longer.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// Event counts by incident title.
pub type Counts = BTreeMap<String, i64>;

/// Both APIs, spoken to with one project's key.
#[derive(Clone)]
pub struct Api {
    http: Client,
    pub ingest: String,
    core: String,
    pub key: String,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// Seconds.
    pub retry_after: Option<u64>,
    /// Null if it is no JSON.
    pub body: Value,
}

impl Api {
    pub fn new(ingest: String, core: String, key: &str) -> Self {
        // A connection each time: a kept one may belong to a program that was killed.
        let http = Client::builder().timeout(ANSWERS_WITHIN).pool_max_idle_per_host(0).build().unwrap();
        Self { http, ingest, core, key: key.to_owned() }
    }

    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    async fn ask(&self, request: RequestBuilder) -> Result<Answer, String> {
        let response = request.header("x-api-key", &self.key).send().await.map_err(|error| format!("{error:?}"))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
        let bytes = response.bytes().await.map_err(|error| format!("{error:?}"))?;
        Ok(Answer { status, retry_after, body: serde_json::from_slice(&bytes).unwrap_or(Value::Null) })
    }

    /// Posts a body to ingest.
    pub async fn try_post(&self, path: &str, media_type: &str, body: String) -> Result<Answer, String> {
        let request = self.http.post(format!("{}{path}", self.ingest)).header("content-type", media_type).body(body);
        self.ask(request).await
    }

    /// Posts JSON to ingest.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.try_post(path, "application/json", body.to_string()).await.unwrap()
    }

    /// Posts one event; it must be accepted.
    pub async fn send(&self, event: &Value) {
        let answer = self.post("/v1/events", event).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }

    /// Asks the core API.
    pub async fn try_get(&self, path: &str) -> Result<Answer, String> {
        self.ask(self.http.get(format!("{}{path}", self.core))).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.try_get(path).await.unwrap()
    }

    /// Gives an incident a command.
    pub async fn command(&self, id: &str, step: &str) -> Answer {
        self.order(&format!("/v1/incidents/{id}/{step}")).await
    }

    /// Posts to the core API, without a body.
    pub async fn order(&self, path: &str) -> Answer {
        self.ask(self.http.post(format!("{}{path}", self.core))).await.unwrap()
    }

    /// Both APIs must say that they want work.
    pub async fn readiness(&self) -> Result<(), String> {
        for base in [&self.ingest, &self.core] {
            let answer = self.ask(self.http.get(format!("{base}/readyz"))).await?;
            if answer.status != 200 {
                return Err(format!("{answer:?}"));
            }
        }
        Ok(())
    }

    /// All incidents of the project, the oldest first.
    pub async fn try_incidents(&self) -> Result<Vec<Value>, String> {
        let mut incidents = Vec::new();
        let mut path = "/v1/incidents?limit=100&sort=opened_at:asc".to_owned();
        loop {
            let mut answer = self.try_get(&path).await?;
            if answer.status != 200 {
                return Err(format!("{answer:?}"));
            }
            incidents.append(answer.body["incidents"].as_array_mut().unwrap());
            let Some(cursor) = answer.body["pagination"]["next_cursor"].as_str() else { return Ok(incidents) };
            path = format!("/v1/incidents?limit=100&sort=opened_at:asc&cursor={cursor}");
        }
    }

    pub async fn incidents(&self) -> Vec<Value> {
        self.try_incidents().await.unwrap()
    }

    /// Events by title; a title of several incidents is their sum.
    pub async fn try_counts(&self) -> Result<Counts, String> {
        let mut counts = Counts::new();
        for incident in self.try_incidents().await? {
            let title = incident["title"].as_str().unwrap().to_owned();
            *counts.entry(title).or_default() += incident["event_count"].as_i64().unwrap();
        }
        Ok(counts)
    }

    /// The incidents of this title, the oldest first.
    pub async fn titled(&self, title: &str) -> Vec<Value> {
        let mut incidents = self.incidents().await;
        incidents.retain(|incident| incident["title"] == title);
        incidents
    }
}
