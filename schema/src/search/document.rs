//! From an event of the log to an event of the index: the same for both backends, whatever they are made of.

use super::IndexedEvent;
use crate::envelope::Envelope;
use crate::fingerprint::{lower_hex, template_route};
use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

/// Characters of a route, an error code, a release and an environment that the index keeps, and that a filter compares. The
/// attributes keep the whole text.
pub const KEYWORD_CHARS: usize = 256;

/// Bytes of the hash that is the document's id.
const ID_BYTES: usize = 16;

/// The document's id: 32 lower-case hex digits that only these two make. It is the same in every replay, and in each of the
/// two an event is stored in the index of the same day.
pub fn document_id(project_id: &str, event_id: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    // The length tells where the project's name ends.
    hasher.update(&u64::try_from(project_id.len()).unwrap_or(u64::MAX).to_le_bytes());
    hasher.update(project_id.as_bytes());
    hasher.update(event_id.as_bytes());
    lower_hex(hasher.finalize().as_bytes().get(..ID_BYTES).unwrap_or_default())
}

/// The beginning of a text, as [`KEYWORD_CHARS`] says.
pub fn keyword(text: &str) -> String {
    text.chars().take(KEYWORD_CHARS).collect()
}

/// A time as the index keeps it: whole microseconds, the rest cut off; a leap second is the one after it.
pub fn index_time(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(at.timestamp_micros()).unwrap_or(at)
}

/// JSON without line breaks, which mean nothing between its parts and cannot stand within a text: what is sent to an index may
/// be a line.
fn one_line(json: &RawValue) -> Box<RawValue> {
    if !json.get().contains('\n') {
        return json.to_owned();
    }
    RawValue::from_string(json.get().replace('\n', " ")).unwrap_or_else(|_| json.to_owned())
}

/// What can be filtered by of `attributes`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Filterable {
    error_code: Value,
    route: Value,
    release: Value,
}

/// A text, or a number as its text: one that is empty counts as none.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(keyword(text)),
        Value::Number(number) => Some(keyword(&number.to_string())),
        _ => None,
    }
}

impl From<&Envelope<'_>> for IndexedEvent {
    fn from(event: &Envelope<'_>) -> Self {
        // Attributes that are no object have nothing to filter by.
        let of: Filterable = serde_json::from_str(event.attributes.get()).unwrap_or_default();
        let route = of.route.as_str().map(|route| keyword(&template_route(route)));
        Self {
            event_id: event.event_id.clone().into_owned(),
            occurred_at: index_time(event.occurred_at),
            received_at: index_time(event.received_at),
            org_id: event.org_id.clone().into_owned(),
            project_id: event.project_id.clone().into_owned(),
            environment: keyword(&event.environment),
            event_type: event.event_type,
            severity: event.severity,
            message: event.message.clone().into_owned(),
            fingerprint: event.fingerprint.clone().into_owned(),
            route: route.filter(|route| !route.is_empty()),
            error_code: text(&of.error_code),
            release: text(&of.release),
            attributes: one_line(event.attributes),
            payload: one_line(event.payload),
        }
    }
}

impl IndexedEvent {
    /// See [`document_id`].
    pub fn id(&self) -> String {
        document_id(&self.project_id, &self.event_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_pairs_share_an_id_because_their_parts_run_together() {
        assert_eq!(document_id("p", "e").len(), 2 * ID_BYTES);
        assert_eq!(document_id("p", "e"), document_id("p", "e"));
        assert_ne!(document_id("pp", "e"), document_id("p", "pe"));
        assert_ne!(document_id("", "pe"), document_id("pe", ""));
    }

    fn indexed(attributes: &str) -> IndexedEvent {
        let record = format!(
            r#"{{"schema_version":"1.0","event_id":"e","occurred_at":"2026-11-24T05:00:00.123456789Z",
            "received_at":"2026-11-24T05:00:01Z","org_id":"o","project_id":"p","environment":"prod","event_type":"error",
            "severity":"error","message":"m","fingerprint":"f","attributes":{attributes},"payload":{{"a":[1]}}}}"#
        );
        IndexedEvent::from(&serde_json::from_str::<Envelope<'_>>(&record).unwrap())
    }

    #[test]
    fn what_can_be_filtered_by_is_taken_from_the_attributes_and_bounded() {
        let event = indexed(r#"{"route":"/users/42?x=1","error_code":504,"release":"v2"}"#);
        assert_eq!((event.route.as_deref(), event.error_code.as_deref()), (Some("/users/:id"), Some("504")));
        assert_eq!(event.release.as_deref(), Some("v2"));
        assert_eq!(event.occurred_at.to_rfc3339(), "2026-11-24T05:00:00.123456+00:00");
        assert_eq!(event.attributes.get(), r#"{"route":"/users/42?x=1","error_code":504,"release":"v2"}"#);
        let long = indexed(&format!(r#"{{"error_code":"{}"}}"#, "é".repeat(KEYWORD_CHARS + 1)));
        assert_eq!(long.error_code.map(|code| code.chars().count()), Some(KEYWORD_CHARS));
    }

    #[test]
    fn line_breaks_of_a_client_are_gone() {
        let event = indexed("{\n  \"error_code\": \"a\\nb\"\r\n}");
        assert_eq!(event.attributes.get(), "{   \"error_code\": \"a\\nb\"\r }");
        assert_eq!(event.error_code.as_deref(), Some("a\nb"));
    }

    #[test]
    fn a_leap_second_is_one_that_both_indexes_can_read() {
        let leap = "2016-12-31T23:59:60.5Z".parse().unwrap();
        assert_eq!(index_time(leap).to_rfc3339(), "2017-01-01T00:00:00.500+00:00");
    }

    #[test]
    fn what_is_no_text_is_not_there() {
        for attributes in
            [r#"{"route":["/a"],"error_code":{},"release":null}"#, r#"{"route":"","error_code":""}"#, "[]"]
        {
            let event = indexed(attributes);
            assert_eq!((event.route, event.error_code, event.release), (None, None, None), "{attributes}");
        }
    }
}
