//! What can be asked of the index of all events, and what it answers. Two backends stand behind [`SearchIndex`].
//!
//! Events are sorted by `occurred_at`, newest first, then by document id; a page goes on after the last event of the page
//! before it ([`SortKey`]), so that events written meanwhile make it neither skip nor repeat one.
//! Times are whole microseconds ([`document::index_time`]), texts are compared by their [`terms`], and the fields that are
//! filtered by are bounded ([`document::keyword`]), before a backend sees them: so the two agree.

pub mod document;
mod facet;
pub mod terms;
pub mod text;

use crate::event::{EventType, Severity};
use async_trait::async_trait;
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::fmt;

/// One event as the index keeps it: the envelope's fields, and beside them the attributes that can be filtered by.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct IndexedEvent {
    /// The client's id of it; unique within the project.
    pub event_id: String,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
    /// When ingest took it; its day (UTC) chooses the daily index.
    pub received_at: DateTime<Utc>,
    /// Owner of the project.
    pub org_id: String,
    /// Whose event it is.
    pub project_id: String,
    /// `prod`, `dev` and so on.
    pub environment: String,
    /// What kind.
    pub event_type: EventType,
    /// How bad.
    pub severity: Severity,
    /// At most 8 KiB; full text.
    pub message: String,
    /// 64 lower-case hex digits.
    pub fingerprint: String,
    /// `attributes.route` as a template ([`crate::fingerprint::template_route`]), if it is a text and not empty.
    pub route: Option<String>,
    /// `attributes.error_code`, if it is a text that is not empty, or a number.
    pub error_code: Option<String>,
    /// `attributes.release`, likewise.
    pub release: Option<String>,
    /// A JSON object as the client sent it.
    pub attributes: Box<RawValue>,
    /// A JSON object as the client sent it; kept, not searched.
    pub payload: Box<RawValue>,
}

/// What became of one event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemOutcome {
    /// It is durable in the index now.
    Stored,
    /// A document of this id was there already: a replay.
    AlreadyThere,
    /// Not now (overload, a shard that is away); may be sent again.
    Retry(String),
    /// Never: the index refuses its content.
    Refused(String),
}

/// Why the index as a whole did not answer.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    /// Not reachable, overloaded or too slow: try again.
    #[error("the search index does not answer: {0}")]
    Unavailable(String),
    /// It answered with what we do not understand, or refused the request: a defect or a misconfiguration.
    #[error("the search index refused: {0}")]
    Refused(String),
}

/// The place in the sort order of one event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SortKey {
    /// As the index keeps it.
    pub occurred_at: DateTime<Utc>,
    /// The document's id.
    pub id: String,
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Page {
    /// This many hits in; for small pages (offset + limit <= 10,000).
    Offset(usize),
    /// Behind this event.
    After(SortKey),
}

/// Words that must, or must not, stand in the message. Empty: every event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextQuery {
    /// All must match.
    pub must: Vec<Clause>,
    /// None may match.
    pub must_not: Vec<Clause>,
}

/// One part of a [`TextQuery`], already in the index's terms (lower case).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Clause {
    /// The word stands in the message.
    Term(String),
    /// A word begins with it.
    Prefix(String),
    /// The words stand there one after the other.
    Phrase(Vec<String>),
}

/// What the hits must be; within a field any of its values, an empty list does not restrict.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Any of these environments.
    pub environment: Vec<String>,
    /// Any of these kinds.
    pub event_type: Vec<EventType>,
    /// Any of these severities.
    pub severity: Vec<Severity>,
    /// Any of these routes.
    pub route: Vec<String>,
    /// Any of these error codes.
    pub error_code: Vec<String>,
    /// Any of these fingerprints.
    pub fingerprint: Vec<String>,
}

/// One question. Tenancy is part of it: `projects` is never empty and no backend answers beyond it.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// Whose events may be seen.
    pub projects: Vec<String>,
    /// Words of the message.
    pub text: TextQuery,
    /// Fields.
    pub filters: Filters,
    /// Earliest `occurred_at`, inclusive; whole microseconds.
    pub from: Option<DateTime<Utc>>,
    /// Latest `occurred_at`, exclusive; whole microseconds.
    pub to: Option<DateTime<Utc>>,
    /// Where the page begins.
    pub page: Page,
    /// Hits on the page, at most 101; 0: only what is counted.
    pub limit: usize,
    /// Width of the histogram's bars, whole milliseconds; none: no histogram.
    pub interval: Option<TimeDelta>,
    /// How many values a facet shows at most; 0: no facets.
    pub facet_size: usize,
}

/// The fields that are counted as facets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Facet {
    /// [`Filters::event_type`].
    EventType,
    /// [`Filters::severity`].
    Severity,
    /// [`Filters::environment`].
    Environment,
    /// [`Filters::error_code`].
    ErrorCode,
    /// [`Filters::route`].
    Route,
}

/// How many hits have this value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FacetCount {
    /// The value.
    pub value: String,
    /// Hits that all other fields' filters let through.
    pub count: u64,
}

/// One bar: hits with `start <= occurred_at < start + interval`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bar {
    /// A multiple of the interval since the epoch.
    pub start: DateTime<Utc>,
    /// Hits within.
    pub count: u64,
}

/// The answer to one [`SearchRequest`].
#[derive(Clone, Debug, Default)]
pub struct SearchAnswer {
    /// The page, in sort order, each with its place.
    pub hits: Vec<(SortKey, IndexedEvent)>,
    /// All hits, exact.
    pub total: u64,
    /// By facet: values by count (most first), then by value. A facet ignores its own field's filter, so that its siblings stay visible.
    pub facets: BTreeMap<Facet, Vec<FacetCount>>,
    /// Bars with hits, oldest first.
    pub histogram: Vec<Bar>,
    /// `occurred_at` of the oldest and of the newest of all hits; none if there are none.
    pub span: Option<(DateTime<Utc>, DateTime<Utc>)>,
    /// Days of `received_at` whose events could not be read: the answer lacks them.
    pub missing_days: Vec<NaiveDate>,
}

/// The index of all events.
#[async_trait]
pub trait SearchIndex: fmt::Debug + Send + Sync {
    /// `opensearch` or `tantivy`, for logs and the operator's view.
    fn name(&self) -> &'static str;

    /// Makes what must be there (templates, folders); may be called again.
    ///
    /// # Errors
    /// When the index does not answer or refuses.
    async fn prepare(&self) -> Result<(), SearchError>;

    /// Stores a batch, durably; one outcome an event, in its order. An event whose id its day holds already stays as it is.
    ///
    /// # Errors
    /// When the index as a whole did not take it; then any part of it may be stored, and sending it again does no harm.
    async fn store(&self, events: &[IndexedEvent]) -> Result<Vec<ItemOutcome>, SearchError>;

    /// Makes all that was stored before visible to searches.
    ///
    /// # Errors
    /// When the index does not answer.
    async fn refresh(&self) -> Result<(), SearchError>;

    /// Answers a question.
    ///
    /// # Errors
    /// When the index does not answer in time or refuses.
    async fn search(&self, request: &SearchRequest) -> Result<SearchAnswer, SearchError>;

    /// One event by its document id, if one of these projects owns it.
    ///
    /// # Errors
    /// When the index does not answer.
    async fn event(&self, projects: &[String], id: &str) -> Result<Option<IndexedEvent>, SearchError>;

    /// Deletes the days before `oldest`; says which were deleted.
    ///
    /// # Errors
    /// When the index does not answer.
    async fn drop_days_before(&self, oldest: NaiveDate) -> Result<Vec<NaiveDate>, SearchError>;

    /// Whether it answers now.
    ///
    /// # Errors
    /// When it does not.
    async fn ping(&self) -> Result<(), SearchError>;
}
