//! What a search shows.

use super::super::shapes::{Pagination, event_type, readable, severity};
use super::bars::Window;
use super::cursor::SearchCursor;
use super::excerpt::excerpt;
use super::query::SearchQuery;
use chrono::{DateTime, NaiveDate, Utc};
use schema::event::{EventType, Severity};
use schema::names::SCHEMA_VERSION;
use schema::search::{Bar, Facet, IndexedEvent, SearchAnswer, TextQuery};
use serde::Serialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// A page of events, and all hits by field and by time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventPage {
    /// The events, the newest first.
    events: Vec<FoundEvent>,
    /// All hits by value, the most frequent first.
    facets: Facets,
    /// All hits by time, every bar once, the oldest first, at most 60; empty without hits if `from` or `to` is missing.
    histogram: Vec<HistogramBar>,
    /// Width of a bar in seconds; null without bars. Bars begin at multiples of it.
    histogram_interval_seconds: Option<i64>,
    /// Where the page stands among all hits.
    pagination: Pagination,
    /// Days of receipt (UTC) whose events cannot be read now and are missing here; empty when all is well.
    missing_days: Vec<NaiveDate>,
}

/// An event as the log keeps it, and its id.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FoundEvent {
    /// Names the event in `/v1/search/events/{id}`.
    id: String,
    /// Version of the event's shape.
    schema_version: &'static str,
    /// The client's id of the event.
    event_id: String,
    /// When it happened.
    occurred_at: DateTime<Utc>,
    /// When it was taken in.
    received_at: DateTime<Utc>,
    /// Owner of the project.
    org_id: String,
    /// Project.
    project_id: String,
    /// Environment.
    environment: String,
    /// Kind.
    #[schema(schema_with = event_type)]
    event_type: EventType,
    /// How bad.
    #[schema(schema_with = severity)]
    severity: Severity,
    /// Message.
    message: String,
    /// What the events of one incident have in common: 64 hex digits.
    fingerprint: String,
    /// As the client sent them. Attributes that not every JSON parser reads (a lone surrogate, a number without
    /// end) come as `{"unreadable": "<their text>"}`.
    #[schema(value_type = Object)]
    attributes: Box<RawValue>,
    /// As the client sent it; likewise.
    #[schema(value_type = Object)]
    payload: Box<RawValue>,
    /// Where the words were found; null if none were asked for.
    highlight: Option<Highlight>,
}

/// The part of the message that made it a hit.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Highlight {
    /// HTML that is safe to show: the found words in `<mark>`, everything else escaped, `…` where something is left out.
    message: String,
}

/// All hits by value. A field ignores its own filter, so that the other values stay visible; at most 50 values each.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Facets {
    /// By kind.
    event_type: Vec<ValueCount>,
    /// By severity.
    severity: Vec<ValueCount>,
    /// By environment.
    environment: Vec<ValueCount>,
    /// By error code; events without one are not counted.
    error_code: Vec<ValueCount>,
    /// By route; events without one are not counted.
    route: Vec<ValueCount>,
}

/// How many hits have a value.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ValueCount {
    /// The value.
    value: String,
    /// Hits.
    count: u64,
}

/// Hits of one bar.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HistogramBar {
    /// Start of the bar.
    timestamp: DateTime<Utc>,
    /// Hits.
    count: u64,
}

impl EventPage {
    pub(super) fn new(query: &SearchQuery, mut answer: SearchAnswer, window: Option<Window>) -> Self {
        let total = i64::try_from(answer.total).unwrap_or(i64::MAX);
        let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
        let has_more = answer.hits.len() > limit;
        answer.hits.truncate(limit);
        let walked = query.offset.saturating_add(query.limit);
        let last = answer.hits.last().filter(|_| has_more).map(|(place, _)| place.clone());
        let next_cursor = last.map(|place| SearchCursor { place, walked }.encode(&query.request, &query.q));
        let bars = window.map_or_else(Vec::new, |window| window.fill(&answer.histogram));
        let mut facets = answer.facets;
        let text = &query.request.text;
        Self {
            events: answer
                .hits
                .into_iter()
                .map(|(place, event)| FoundEvent::new(place.id, event, Some(text)))
                .collect(),
            facets: Facets::new(&mut facets),
            histogram_interval_seconds: window.map(|window| window.interval.num_seconds()),
            histogram: bars.into_iter().map(|Bar { start, count }| HistogramBar { timestamp: start, count }).collect(),
            pagination: Pagination { total, limit: query.limit, offset: query.offset, has_more, next_cursor },
            missing_days: answer.missing_days,
        }
    }
}

impl FoundEvent {
    /// `text`: what is to be marked in the message.
    pub(super) fn new(id: String, event: IndexedEvent, text: Option<&TextQuery>) -> Self {
        let highlight = text.and_then(|text| excerpt(&event.message, text)).map(|message| Highlight { message });
        Self {
            id,
            schema_version: SCHEMA_VERSION,
            event_id: event.event_id,
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            org_id: event.org_id,
            project_id: event.project_id,
            environment: event.environment,
            event_type: event.event_type,
            severity: event.severity,
            message: event.message,
            fingerprint: event.fingerprint,
            attributes: shown(event.attributes),
            payload: shown(event.payload),
            highlight,
        }
    }
}

fn shown(kept: Box<RawValue>) -> Box<RawValue> {
    // Text always has a JSON form, so nothing fails here.
    readable(kept.get().to_owned()).unwrap_or(kept)
}

impl Facets {
    fn new(counted: &mut BTreeMap<Facet, Vec<schema::search::FacetCount>>) -> Self {
        let mut of = |facet| {
            let counts = counted.remove(&facet).unwrap_or_default().into_iter();
            counts.map(|count| ValueCount { value: count.value, count: count.count }).collect()
        };
        Self {
            event_type: of(Facet::EventType),
            severity: of(Facet::Severity),
            environment: of(Facet::Environment),
            error_code: of(Facet::ErrorCode),
            route: of(Facet::Route),
        }
    }
}
