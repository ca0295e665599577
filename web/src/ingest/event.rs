//! One event as a client sends it -> one envelope as the log keeps it. Pure.

use super::document::{Shown, check_object, read_object, shown, text, without_place};
use super::limits::{
    ATTRIBUTES_DEPTH, CLOCK_SKEW, ENVIRONMENT_CHARS, EVENT_BYTES, EVENT_ID_CHARS, FIRST_YEAR, MESSAGE_BYTES,
    PAYLOAD_DEPTH,
};
use crate::auth::Principal;
use crate::error::FieldError;
use chrono::{DateTime, Datelike, Utc};
use schema::envelope::Envelope;
use schema::event::{EventType, Severity};
use schema::fingerprint::{Grouping, fingerprint};
use schema::names::SCHEMA_VERSION;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use ulid::Ulid;

/// `environment` of an event that names none.
const DEFAULT_ENVIRONMENT: &str = "dev";

/// On whose behalf and when a request is taken in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intake<'a> {
    pub(super) principal: &'a Principal,
    pub(super) received_at: DateTime<Utc>,
}

/// Why an event is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is no JSON.
    Malformed(String),
    /// It is too large.
    TooLarge,
    /// These members are wrong; the pointers start at the event.
    Invalid(Vec<FieldError>),
}

/// The members as they stand in the request. `null` is as good as absent.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Sent<'a> {
    #[serde(borrow)]
    event_type: Option<&'a RawValue>,
    #[serde(borrow)]
    message: Option<&'a RawValue>,
    #[serde(borrow)]
    severity: Option<&'a RawValue>,
    #[serde(borrow)]
    environment: Option<&'a RawValue>,
    #[serde(borrow)]
    occurred_at: Option<&'a RawValue>,
    #[serde(borrow)]
    event_id: Option<&'a RawValue>,
    #[serde(borrow)]
    attributes: Option<&'a RawValue>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Appends the envelope of the event that `json` describes to `log`, and returns its id.
pub(super) fn take_in(json: &str, intake: Intake<'_>, log: &mut Vec<u8>) -> Result<String, Refused> {
    let json = json.trim_ascii();
    if json.len() > EVENT_BYTES {
        return Err(Refused::TooLarge);
    }
    let sent: Sent<'_> = read_object(json).map_err(|error| {
        if error.is_data() {
            Refused::Invalid(vec![FieldError::new("", without_place(&error))])
        } else {
            Refused::Malformed(error.to_string())
        }
    })?;
    let envelope = Checks::default().envelope(&sent, intake).map_err(Refused::Invalid)?;
    // A buffer in memory takes everything, and each of the envelope's members has a JSON form.
    serde_json::to_writer(log, &envelope).map_err(|error| Refused::Malformed(error.to_string()))?;
    Ok(envelope.event_id.into_owned())
}

/// Collects what is wrong, so that a client learns of all of it at once.
#[derive(Default)]
struct Checks {
    errors: Vec<FieldError>,
}

impl Checks {
    fn envelope<'a>(mut self, sent: &Sent<'a>, intake: Intake<'a>) -> Result<Envelope<'a>, Vec<FieldError>> {
        let event_type = self.required("/event_type", sent.event_type, parsed::<EventType>);
        let message = self.required("/message", sent.message, |text| Ok(kept(text)));
        let severity = self.optional("/severity", sent.severity, parsed::<Severity>);
        let environment = self.optional("/environment", sent.environment, environment);
        let occurred_at =
            self.optional("/occurred_at", sent.occurred_at, |text| occurred_at(&text, intake.received_at));
        let event_id = self.optional("/event_id", sent.event_id, event_id);
        let attributes = self.object("/attributes", sent.attributes, ATTRIBUTES_DEPTH);
        let payload = self.object("/payload", sent.payload, PAYLOAD_DEPTH);
        let shown = self.shown(attributes);
        let (Some(event_type), Some(message), true) = (event_type, message, self.errors.is_empty()) else {
            return Err(self.errors);
        };
        let environment = environment.unwrap_or(Cow::Borrowed(DEFAULT_ENVIRONMENT));
        let fingerprint = fingerprint(&Grouping {
            error_code: shown.error_code.as_deref(),
            route: shown.route.as_deref(),
            environment: &environment,
            message: &message,
            custom: shown.fingerprint.as_ref().map(|parts| parts.iter().map(AsRef::as_ref).collect()),
        });
        Ok(Envelope {
            schema_version: Cow::Borrowed(SCHEMA_VERSION),
            event_id: event_id.unwrap_or_else(|| Cow::Owned(fresh_id(intake.received_at))),
            occurred_at: occurred_at.unwrap_or(intake.received_at),
            received_at: intake.received_at,
            org_id: Cow::Borrowed(&intake.principal.org_id),
            project_id: Cow::Borrowed(&intake.principal.project_id),
            environment,
            event_type,
            severity: severity.unwrap_or(if event_type == EventType::Error { Severity::Error } else { Severity::Info }),
            message,
            fingerprint: Cow::Owned(fingerprint),
            attributes,
            payload,
        })
    }

    fn required<'a, T>(
        &mut self,
        pointer: &str,
        raw: Option<&'a RawValue>,
        read: impl FnOnce(Cow<'a, str>) -> Result<T, String>,
    ) -> Option<T> {
        if raw.is_none() {
            self.errors.push(FieldError::new(pointer, "is required"));
        }
        self.optional(pointer, raw, read)
    }

    fn optional<'a, T>(
        &mut self,
        pointer: &str,
        raw: Option<&'a RawValue>,
        read: impl FnOnce(Cow<'a, str>) -> Result<T, String>,
    ) -> Option<T> {
        let value = text(raw?).and_then(read);
        value.map_err(|detail| self.errors.push(FieldError::new(pointer, detail))).ok()
    }

    /// The object as it was sent; an empty one if there is none.
    fn object<'a>(&mut self, pointer: &str, raw: Option<&'a RawValue>, depth: usize) -> &'a RawValue {
        let empty = || serde_json::from_str("{}").unwrap_or(RawValue::NULL);
        let Some(raw) = raw else { return empty() };
        if let Err(error) = check_object(raw, pointer, depth) {
            self.errors.push(error);
            return empty();
        }
        raw
    }

    fn shown<'a>(&mut self, attributes: &'a RawValue) -> Shown<'a> {
        shown(attributes).unwrap_or_else(|errors| {
            self.errors.extend(errors);
            Shown::default()
        })
    }
}

fn parsed<T: std::str::FromStr<Err: ToString>>(text: Cow<'_, str>) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

/// The beginning of a message, whole characters only.
fn kept(message: Cow<'_, str>) -> Cow<'_, str> {
    let mut end = message.len().min(MESSAGE_BYTES);
    while !message.is_char_boundary(end) {
        end -= 1;
    }
    match message {
        Cow::Borrowed(text) => Cow::Borrowed(text.get(..end).unwrap_or(text)),
        Cow::Owned(mut text) => {
            text.truncate(end);
            Cow::Owned(text)
        }
    }
}

fn environment(text: Cow<'_, str>) -> Result<Cow<'_, str>, String> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-' | b':');
    if !(1..=ENVIRONMENT_CHARS).contains(&text.len()) || !text.bytes().all(allowed) {
        return Err(format!("must be 1 to {ENVIRONMENT_CHARS} letters, digits, '.', '_', '-' or ':'"));
    }
    Ok(text)
}

fn event_id(text: Cow<'_, str>) -> Result<Cow<'_, str>, String> {
    if !(1..=EVENT_ID_CHARS).contains(&text.len()) || !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(format!("must be 1 to {EVENT_ID_CHARS} visible ASCII characters without blanks"));
    }
    Ok(text)
}

fn occurred_at(text: &str, received_at: DateTime<Utc>) -> Result<DateTime<Utc>, String> {
    let at = DateTime::parse_from_rfc3339(text)
        .map_err(|_| "must be an RFC 3339 time, such as 2026-01-31T12:00:00Z".to_owned())?
        .to_utc();
    if at > received_at + CLOCK_SKEW {
        return Err(format!("is more than {} minutes later than now", CLOCK_SKEW.as_secs() / 60));
    }
    if at.year() < FIRST_YEAR {
        return Err(format!("is before the year {FIRST_YEAR}"));
    }
    Ok(at)
}

/// A ULID of the time of receipt.
fn fresh_id(received_at: DateTime<Utc>) -> String {
    let millis = u64::try_from(received_at.timestamp_millis()).unwrap_or(0);
    Ulid::from_parts(millis, rand::random()).to_string()
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
