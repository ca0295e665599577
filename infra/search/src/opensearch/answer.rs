//! What the server answers to a question, as ours. Pure.

use super::call::misunderstood;
use super::question::{FACETS, field};
use chrono::{DateTime, Utc};
use schema::event::{EventType, Severity};
use schema::search::{Bar, FacetCount, IndexedEvent, SearchAnswer, SearchError, SortKey};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

#[derive(Deserialize)]
struct Answer {
    timed_out: bool,
    _shards: Shards,
    hits: Hits,
    #[serde(default)]
    aggregations: BTreeMap<String, Aggregation>,
}

#[derive(Deserialize)]
struct Shards {
    failed: u64,
}

#[derive(Deserialize)]
struct Hits {
    total: Option<Total>,
    hits: Vec<Hit>,
}

#[derive(Deserialize)]
struct Total {
    value: u64,
}

#[derive(Deserialize)]
struct Hit {
    _source: Kept,
}

/// A document as it was stored. Its terms are not read, and not left out by the server either: it would put the members of
/// what a client sent into another order.
#[derive(Deserialize)]
struct Kept {
    id: String,
    event_id: String,
    occurred_at: DateTime<Utc>,
    received_at: DateTime<Utc>,
    org_id: String,
    project_id: String,
    environment: String,
    event_type: EventType,
    severity: Severity,
    message: String,
    fingerprint: String,
    route: Option<String>,
    error_code: Option<String>,
    release: Option<String>,
    attributes: Option<Box<RawValue>>,
    large_attributes: Option<Box<RawValue>>,
    payload: Box<RawValue>,
}

impl Kept {
    fn event(self) -> (String, IndexedEvent) {
        let event = IndexedEvent {
            event_id: self.event_id,
            occurred_at: self.occurred_at,
            received_at: self.received_at,
            org_id: self.org_id,
            project_id: self.project_id,
            environment: self.environment,
            event_type: self.event_type,
            severity: self.severity,
            message: self.message,
            fingerprint: self.fingerprint,
            route: self.route,
            error_code: self.error_code,
            release: self.release,
            attributes: self.attributes.or(self.large_attributes).unwrap_or_else(|| RawValue::NULL.to_owned()),
            payload: self.payload,
        };
        (self.id, event)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Aggregation {
    values: Buckets,
    bars: Buckets,
    oldest: Figure,
    newest: Figure,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Figure {
    value: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Buckets {
    buckets: Vec<Bucket>,
}

#[derive(Deserialize)]
struct Bucket {
    key: Value,
    doc_count: u64,
}

/// An answer that is complete: one that a shard is missing from, or that ran out of time, is none.
fn complete(body: &[u8]) -> Result<Answer, SearchError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| misunderstood(&error))?;
    if answer.timed_out {
        return Err(SearchError::Unavailable("the search took too long".to_owned()));
    }
    if answer._shards.failed > 0 {
        return Err(SearchError::Unavailable(format!("{} shards do not answer", answer._shards.failed)));
    }
    Ok(answer)
}

/// The one event that was asked for, if it is there.
pub(super) fn event(body: &[u8]) -> Result<Option<IndexedEvent>, SearchError> {
    let answer = complete(body)?;
    Ok(answer.hits.hits.into_iter().next().map(|hit| hit._source.event().1))
}

/// The whole answer.
pub(super) fn answer(body: &[u8]) -> Result<SearchAnswer, SearchError> {
    let mut answer = complete(body)?;
    let hits = answer.hits.hits.into_iter().map(|hit| {
        let (id, event) = hit._source.event();
        (SortKey { occurred_at: event.occurred_at, id }, event)
    });
    let matching = answer.aggregations.remove("matching").unwrap_or_default();
    let facets = FACETS.into_iter().filter_map(|facet| {
        let counts = answer.aggregations.remove(field(facet))?.values.buckets.into_iter().map(count);
        Some((facet, counts.collect()))
    });
    let span = micros(&matching.oldest).zip(micros(&matching.newest));
    Ok(SearchAnswer {
        hits: hits.collect(),
        total: answer.hits.total.map_or(0, |total| total.value),
        facets: facets.collect(),
        histogram: matching.bars.buckets.into_iter().filter_map(bar).collect(),
        span,
        ..SearchAnswer::default()
    })
}

fn count(bucket: Bucket) -> FacetCount {
    let value = match bucket.key {
        Value::String(text) => text,
        other => other.to_string(),
    };
    FacetCount { value, count: bucket.doc_count }
}

fn bar(bucket: Bucket) -> Option<Bar> {
    let start = DateTime::from_timestamp_millis(bucket.key.as_i64()?)?;
    Some(Bar { start, count: bucket.doc_count })
}

/// Microseconds of our times are below 2^53, so a double holds them exactly.
#[expect(clippy::as_conversions, reason = "there is no other way from a double to an integer, and this one saturates")]
fn micros(figure: &Figure) -> Option<DateTime<Utc>> {
    figure.value.and_then(|value| DateTime::from_timestamp_micros(value as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_is_not_complete_is_none() {
        for (timed_out, failed, is_complete) in [(false, 0, true), (true, 0, false), (false, 1, false)] {
            let body = format!(
                r#"{{"timed_out":{timed_out},"_shards":{{"failed":{failed}}},"hits":{{"total":{{"value":3}},"hits":[]}}}}"#
            );
            let answer = answer(body.as_bytes());
            assert_eq!(answer.is_ok(), is_complete, "{answer:?}");
            assert!(answer.is_ok_and(|answer| answer.total == 3) || !is_complete);
        }
        assert!(matches!(answer(b"{}"), Err(SearchError::Refused(_))));
    }
}
