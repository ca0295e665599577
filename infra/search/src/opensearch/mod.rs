//! The index of a deployment: one index a day on an OpenSearch server, all behind one alias.

mod answer;
mod bulk;
mod call;
pub(crate) mod config;
mod layout;
mod question;
mod retention;

use async_trait::async_trait;
use bytes::Bytes;
use call::{Call, failure};
use chrono::NaiveDate;
use config::{ConfigError, OpenSearchConfig};
use opensearch::http::transport::Transport;
use opensearch::http::{Method, StatusCode};
use schema::search::{IndexedEvent, ItemOutcome, SearchAnswer, SearchError, SearchIndex, SearchRequest};
use serde_json::{Value, json};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The alias, and the beginning of every index's name.
const PREFIX: &str = "signals-events-v1";
/// How long the server may take for what is neither a batch nor a search.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to store a batch.
const STORE_PATIENCE: Duration = Duration::from_secs(60);
/// How long it may take for a search; it is told to give up a little earlier itself.
const SEARCH_PATIENCE: Duration = Duration::from_secs(6);
const SHARD_PATIENCE: &str = "5s";
/// How often a search is tried whose shards are not there, and the time in between.
const SEARCH_TRIES: u32 = 4;
const SEARCH_PAUSE: Duration = Duration::from_millis(250);
/// A search before the first day has an index finds nothing; one that a shard is missing from fails.
const SEARCH: [(&str, &str); 2] = [("ignore_unavailable", "true"), ("allow_partial_search_results", "false")];

/// What was made on the server.
#[derive(Clone, Copy, Debug, Default)]
struct Prepared {
    is_done: bool,
    /// Whether the server deletes old days.
    server_retains: bool,
}

/// Events on an OpenSearch server.
pub struct OpenSearch {
    transport: Transport,
    prefix: String,
    retention_days: u32,
    prepared: Mutex<Prepared>,
}

// The transport holds the password.
impl fmt::Debug for OpenSearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSearch").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl OpenSearch {
    /// Connects when it is asked something. Days are kept for `retention_days`.
    ///
    /// # Errors
    /// Settings that cannot be.
    pub fn new(config: &OpenSearchConfig, retention_days: u32) -> Result<Self, ConfigError> {
        let transport = config.transport()?;
        Ok(Self { transport, prefix: PREFIX.to_owned(), retention_days, prepared: Mutex::default() })
    }

    /// The same with another alias, for a test that shares the server: lower-case letters, digits and `-`.
    #[must_use]
    pub fn with_prefix(self, prefix: &str) -> Self {
        Self { prefix: prefix.to_owned(), ..self }
    }

    /// What is sent to the server for a batch, for whoever measures.
    ///
    /// # Errors
    /// If an event has no JSON form.
    pub fn bulk_body(&self, events: &[IndexedEvent]) -> serde_json::Result<Vec<u8>> {
        bulk::lines(&self.prefix, events)
    }

    fn prepared(&self) -> Prepared {
        *self.prepared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_prepared(&self, prepared: Prepared) {
        *self.prepared.lock().unwrap_or_else(PoisonError::into_inner) = prepared;
    }

    /// Asks a question. A day's index takes a moment from its creation to its first answer, in which it makes the whole
    /// search fail: that is waited for.
    async fn ask(&self, body: &Value) -> Result<Bytes, SearchError> {
        let path = format!("{}/_search", self.prefix);
        let mut tries = SEARCH_TRIES;
        loop {
            let call = Call::new(Method::Post, &path, SEARCH_PATIENCE).query(&SEARCH).json(body);
            let (status, answer) = call.answer(&self.transport).await?;
            tries -= 1;
            match status {
                status if status.is_success() => return Ok(answer),
                StatusCode::SERVICE_UNAVAILABLE if tries > 0 => tokio::time::sleep(SEARCH_PAUSE).await,
                status => return Err(failure(status, &answer)),
            }
        }
    }

    async fn send_bulk(&self, events: &[IndexedEvent]) -> Result<Vec<ItemOutcome>, SearchError> {
        let lines = self.bulk_body(events).map_err(|error| SearchError::Refused(error.to_string()))?;
        // No more of the answer than what is read.
        let wanted = [("filter_path", "items.*.status,items.*.error")];
        let call = Call::new(Method::Post, "_bulk", STORE_PATIENCE).query(&wanted).lines(Bytes::from(lines));
        bulk::outcomes(&call.send(&self.transport).await?, events.len())
    }
}

#[async_trait]
impl SearchIndex for OpenSearch {
    fn name(&self) -> &'static str {
        "opensearch"
    }

    async fn prepare(&self) -> Result<(), SearchError> {
        let path = format!("_index_template/{}", self.prefix);
        Call::new(Method::Put, &path, PATIENCE).json(&layout::template(&self.prefix)).send(&self.transport).await?;
        let server_retains = self.give_retention_to_server().await?;
        self.set_prepared(Prepared { is_done: true, server_retains });
        Ok(())
    }

    async fn store(&self, events: &[IndexedEvent]) -> Result<Vec<ItemOutcome>, SearchError> {
        if events.is_empty() {
            return Ok(Vec::new());
        }
        // A day's index is made by its first event, so the template must be there before; a server that was away may have
        // come back without it.
        if !self.prepared().is_done {
            self.prepare().await?;
        }
        let stored = self.send_bulk(events).await;
        if stored.is_err() {
            self.set_prepared(Prepared { is_done: false, ..self.prepared() });
        }
        stored
    }

    async fn refresh(&self) -> Result<(), SearchError> {
        let path = format!("{}/_refresh", self.prefix);
        let call = Call::new(Method::Post, &path, PATIENCE).query(&[("ignore_unavailable", "true")]);
        call.send(&self.transport).await.map(drop)
    }

    async fn search(&self, request: &SearchRequest) -> Result<SearchAnswer, SearchError> {
        answer::answer(&self.ask(&question::body(request, SHARD_PATIENCE)).await?)
    }

    async fn event(&self, projects: &[String], id: &str) -> Result<Option<IndexedEvent>, SearchError> {
        let found = [question::of_projects(projects), json!({"term": {"id": id}})];
        let body = json!({"query": {"bool": {"filter": found}}, "size": 1});
        answer::event(&self.ask(&body).await?)
    }

    async fn drop_days_before(&self, oldest: NaiveDate) -> Result<Vec<NaiveDate>, SearchError> {
        if !self.prepared().is_done {
            self.prepare().await?;
        }
        if self.prepared().server_retains {
            return Ok(Vec::new());
        }
        self.delete_days_before(oldest).await
    }

    async fn ping(&self) -> Result<(), SearchError> {
        Call::new(Method::Get, "", PATIENCE).send(&self.transport).await.map(drop)
    }
}
