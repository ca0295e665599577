//! Bytes of a record -> what the engine routes by. Pure.

use chrono::{DateTime, Utc};
use schema::command::IncidentCommand;
use schema::envelope::Envelope;
use serde::Deserialize;
use std::borrow::Cow;

/// Why a record cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the record is no {expected}: {cause}")]
pub struct Undecodable {
    /// What it should have been.
    pub expected: &'static str,
    /// The parser's words.
    pub cause: serde_json::Error,
}

/// Decodes an event; borrows from `payload`.
///
/// # Errors
/// [`Undecodable`] if it is not the envelope of DESIGN section 6.
pub fn decode_event(payload: &[u8]) -> Result<Envelope<'_>, Undecodable> {
    serde_json::from_slice(payload).map_err(|cause| Undecodable { expected: "event", cause })
}

/// Decodes a person's command.
///
/// # Errors
/// [`Undecodable`].
pub fn decode_command(payload: &[u8]) -> Result<IncidentCommand, Undecodable> {
    serde_json::from_slice(payload).map_err(|cause| Undecodable { expected: "command", cause })
}

/// All that the dedupe window needs of a record it has counted before.
#[derive(Debug, Deserialize)]
pub struct Identity<'a> {
    /// Project.
    #[serde(borrow)]
    pub project_id: Cow<'a, str>,
    /// Client's id.
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    /// Ingest time.
    pub received_at: DateTime<Utc>,
}

/// What of `attributes` is shown with an incident.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Shown {
    /// Error code; a number stands as its text.
    pub error_code: serde_json::Value,
    /// Route.
    pub route: serde_json::Value,
}

impl Shown {
    /// From the attributes' text; nothing if they are of another shape.
    pub fn of(attributes: &str) -> Self {
        serde_json::from_str(attributes).unwrap_or_default()
    }
}

/// A string or a number as text.
pub fn text_of(value: &serde_json::Value) -> Option<String> {
    match value {
        serde_json::Value::String(text) => Some(without_nul(text)),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// PostgreSQL's text holds no NUL.
pub fn without_nul(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}
