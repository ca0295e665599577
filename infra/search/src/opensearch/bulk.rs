//! A batch as the server's bulk form, and what became of each of its events.

use super::call::{Reason, misunderstood};
use super::layout::index_of;
use chrono::{DateTime, Utc};
use schema::search::{IndexedEvent, ItemOutcome, SearchError, terms};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Attributes with a longer JSON text are kept without being indexed: Lucene refuses a document with a term of more than
/// 32,766 bytes, and the term of an attribute is its path and its value.
const INDEXED_ATTRIBUTES: usize = 30_000;

/// What the server answers with a 400 though no event is to blame: the limit of shards of the cluster; an index of that day
/// that somebody closed; a name that somebody took, of an index or of the alias.
const MENDABLE: [&str; 5] = [
    "validation_exception",
    "index_closed_exception",
    "invalid_alias_name_exception",
    "invalid_index_name_exception",
    "resource_already_exists_exception",
];

#[derive(Serialize)]
struct Action<'a> {
    create: Place<'a>,
}

#[derive(Serialize)]
struct Place<'a> {
    _index: &'a str,
    _id: &'a str,
}

/// What the index keeps. The same names are read back by [`super::answer`].
#[derive(Serialize)]
struct Document<'a> {
    id: &'a str,
    event_id: &'a str,
    occurred_at: DateTime<Utc>,
    occurred_us: i64,
    received_at: DateTime<Utc>,
    org_id: &'a str,
    project_id: &'a str,
    environment: &'a str,
    event_type: &'a str,
    severity: &'a str,
    message: &'a str,
    terms: String,
    fingerprint: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    release: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    attributes: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    large_attributes: Option<&'a RawValue>,
    payload: &'a RawValue,
}

impl<'a> Document<'a> {
    fn of(event: &'a IndexedEvent, id: &'a str) -> Self {
        let is_large = event.attributes.get().len() > INDEXED_ATTRIBUTES;
        let attributes = Some(&*event.attributes);
        Self {
            id,
            event_id: &event.event_id,
            occurred_at: event.occurred_at,
            occurred_us: event.occurred_at.timestamp_micros(),
            received_at: event.received_at,
            org_id: &event.org_id,
            project_id: &event.project_id,
            environment: &event.environment,
            event_type: event.event_type.as_str(),
            severity: event.severity.as_str(),
            message: &event.message,
            terms: terms::joined(&event.message),
            fingerprint: &event.fingerprint,
            route: event.route.as_deref(),
            error_code: event.error_code.as_deref(),
            release: event.release.as_deref(),
            attributes: attributes.filter(|_| !is_large),
            large_attributes: attributes.filter(|_| is_large),
            payload: &event.payload,
        }
    }
}

/// Each event as two lines.
pub(super) fn lines(prefix: &str, events: &[IndexedEvent]) -> serde_json::Result<Vec<u8>> {
    let size =
        |event: &IndexedEvent| 700 + 2 * event.message.len() + event.attributes.get().len() + event.payload.get().len();
    let mut lines = Vec::with_capacity(events.iter().map(size).sum());
    for event in events {
        let id = event.id();
        let index = index_of(prefix, event.received_at);
        serde_json::to_writer(&mut lines, &Action { create: Place { _index: &index, _id: &id } })?;
        lines.push(b'\n');
        let start = lines.len();
        serde_json::to_writer(&mut lines, &Document::of(event, &id))?;
        // Attributes and payload stand as the client wrote them, line breaks included: each would end the document, and what
        // follows would be read as an action of ours. Within texts JSON has none.
        lines.iter_mut().skip(start).filter(|byte| **byte == b'\n').for_each(|byte| *byte = b' ');
        lines.push(b'\n');
    }
    Ok(lines)
}

#[derive(Deserialize)]
struct Answer {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    create: Created,
}

#[derive(Deserialize)]
struct Created {
    status: u16,
    error: Option<Reason>,
}

/// One outcome an event, in their order.
pub(super) fn outcomes(body: &[u8], events: usize) -> Result<Vec<ItemOutcome>, SearchError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|error| misunderstood(&error))?;
    if answer.items.len() != events {
        return Err(SearchError::Refused(format!("it answers {} items of {events}", answer.items.len())));
    }
    Ok(answer.items.into_iter().map(|item| outcome(item.create)).collect())
}

/// Only what the content of this event brought about is refused; whatever an operator or time can mend is tried again.
fn outcome(created: Created) -> ItemOutcome {
    let reason = created.error.unwrap_or_default();
    match created.status {
        200..=299 => ItemOutcome::Stored,
        409 => ItemOutcome::AlreadyThere,
        400 if MENDABLE.contains(&reason.kind.as_str()) => ItemOutcome::Retry(reason.words()),
        400 | 413 => ItemOutcome::Refused(reason.words()),
        status => ItemOutcome::Retry(format!("{status}: {}", reason.words())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_an_event_itself_brought_about_is_refused() {
        let item = |status: u16, kind: &str| {
            let error =
                if status < 300 { String::new() } else { format!(r#","error":{{"type":"{kind}","reason":"r"}}"#) };
            format!(r#"{{"create":{{"status":{status}{error}}}}}"#)
        };
        for (status, kind, wanted) in [
            (201, "", ItemOutcome::Stored),
            (409, "version_conflict_engine_exception", ItemOutcome::AlreadyThere),
            (400, "mapper_parsing_exception", ItemOutcome::Refused("mapper_parsing_exception: r".into())),
            (400, "validation_exception", ItemOutcome::Retry("validation_exception: r".into())),
            (400, "index_closed_exception", ItemOutcome::Retry("index_closed_exception: r".into())),
            (400, "invalid_alias_name_exception", ItemOutcome::Retry("invalid_alias_name_exception: r".into())),
            (429, "rejected_execution_exception", ItemOutcome::Retry("429: rejected_execution_exception: r".into())),
            (503, "unavailable_shards_exception", ItemOutcome::Retry("503: unavailable_shards_exception: r".into())),
            (403, "cluster_block_exception", ItemOutcome::Retry("403: cluster_block_exception: r".into())),
            (404, "index_not_found_exception", ItemOutcome::Retry("404: index_not_found_exception: r".into())),
        ] {
            let body = format!(r#"{{"items":[{}]}}"#, item(status, kind));
            assert_eq!(outcomes(body.as_bytes(), 1).unwrap(), [wanted]);
        }
        assert!(outcomes(br#"{"items":[]}"#, 1).is_err());
    }
}
