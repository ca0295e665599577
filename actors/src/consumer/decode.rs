//! Bytes of a record -> what the engine routes by. Pure.

use chrono::{DateTime, Utc};
use schema::command::{IncidentCommand, LIFT_QUARANTINE, QuarantineLift};
use schema::envelope::Envelope;
use serde::Deserialize;
use std::borrow::Cow;

/// Why a record cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum Undecodable {
    /// It is not the JSON that it should be.
    #[error("the record is no {expected}: {cause}")]
    Json {
        /// What it should have been.
        expected: &'static str,
        /// The parser's words.
        cause: serde_json::Error,
    },
    /// A name that no table could hold.
    #[error("{member} must be 1 to {most} bytes without NUL")]
    Name {
        /// Member of the record.
        member: &'static str,
        /// Its bound.
        most: usize,
    },
    /// A time that no table could hold.
    #[error("{0} must lie between the years 1970 and 9999")]
    Time(&'static str),
}

/// Bytes of a project's, environment's or event's name; ingest allows less.
const NAME: usize = 256;
/// Seconds from 1970 to the end of 9999.
const LAST_SECOND: i64 = 253_402_300_799;

fn name(member: &'static str, text: &str) -> Result<(), Undecodable> {
    let fits = (1..=NAME).contains(&text.len()) && !text.as_bytes().contains(&0);
    if fits { Ok(()) } else { Err(Undecodable::Name { member, most: NAME }) }
}

fn time(member: &'static str, at: DateTime<Utc>) -> Result<(), Undecodable> {
    if (0..=LAST_SECOND).contains(&at.timestamp()) { Ok(()) } else { Err(Undecodable::Time(member)) }
}

/// Decodes an event; borrows from `payload`.
///
/// # Errors
/// [`Undecodable`] if it is not an envelope, or one that no table could hold: whoever wrote it was not our ingest.
pub fn decode_event(payload: &[u8]) -> Result<Envelope<'_>, Undecodable> {
    let event: Envelope<'_> =
        serde_json::from_slice(payload).map_err(|cause| Undecodable::Json { expected: "event", cause })?;
    name("project_id", &event.project_id)?;
    name("event_id", &event.event_id)?;
    name("environment", &event.environment)?;
    name("fingerprint", &event.fingerprint)?;
    time("occurred_at", event.occurred_at)?;
    time("received_at", event.received_at)?;
    Ok(event)
}

/// What a person can tell the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// For an incident.
    Incident(IncidentCommand),
    /// For the router.
    Lift(QuarantineLift),
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
}

/// Decodes a person's command.
///
/// # Errors
/// [`Undecodable`].
pub fn decode_command(payload: &[u8]) -> Result<Command, Undecodable> {
    let failed = |cause| Undecodable::Json { expected: "command", cause };
    let Kind { kind } = serde_json::from_slice(payload).map_err(failed)?;
    if kind != LIFT_QUARANTINE {
        return decode_incident_command(payload).map(Command::Incident);
    }
    let lift: QuarantineLift = serde_json::from_slice(payload).map_err(failed)?;
    name("project_id", &lift.project_id)?;
    name("fingerprint", &lift.fingerprint)?;
    name("command_id", &lift.command_id)?;
    name("principal", &lift.principal)?;
    time("received_at", lift.received_at)?;
    Ok(Command::Lift(lift))
}

fn decode_incident_command(payload: &[u8]) -> Result<IncidentCommand, Undecodable> {
    let command: IncidentCommand =
        serde_json::from_slice(payload).map_err(|cause| Undecodable::Json { expected: "command", cause })?;
    name("project_id", &command.project_id)?;
    name("fingerprint", &command.fingerprint)?;
    name("command_id", &command.command_id)?;
    name("incident_id", &command.incident_id)?;
    name("principal", &command.principal)?;
    time("received_at", command.received_at)?;
    Ok(command)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(member: &str, value: &str) -> String {
        let whole = r#"{"schema_version":"1.0","event_id":"e","occurred_at":"2026-11-24T05:00:00Z",
            "received_at":"2026-11-24T05:00:00Z","org_id":"o","project_id":"p","environment":"prod","event_type":"error",
            "severity":"error","message":"m","fingerprint":"f","attributes":{},"payload":{}}"#;
        let mut json: serde_json::Value = serde_json::from_str(whole).unwrap();
        json[member] = serde_json::from_str(value).unwrap();
        json.to_string()
    }

    #[test]
    fn commands_are_told_apart_by_their_kind() {
        let lift = r#"{"schema_version":"1.0","command_id":"c","kind":"lift_quarantine","project_id":"p","fingerprint":"f",
            "principal":"me","received_at":"2026-11-24T05:00:00Z"}"#;
        assert!(matches!(decode_command(lift.as_bytes()), Ok(Command::Lift(lift)) if lift.principal == "me"));
        let incident = lift
            .replace("lift_quarantine", "resolve")
            .replace("\"project_id\"", "\"incident_id\":\"i\",\"project_id\"");
        assert!(
            matches!(decode_command(incident.as_bytes()), Ok(Command::Incident(command)) if command.incident_id == "i")
        );
        let nameless = lift.replace("\"p\"", "\"\"");
        assert!(decode_command(nameless.as_bytes()).unwrap_err().to_string().contains("project_id"));
        assert!(decode_command(b"{}").is_err());
    }

    #[test]
    fn what_no_table_could_hold_is_refused_by_name() {
        assert!(decode_event(event("event_id", "\"fine\"").as_bytes()).is_ok());
        let long = format!("\"{}\"", "x".repeat(257));
        for (member, value) in [
            ("project_id", "\"\""),
            ("environment", "\"a\\u0000b\""),
            ("fingerprint", long.as_str()),
            ("event_id", long.as_str()),
            ("occurred_at", "\"1969-12-31T23:59:59Z\""),
        ] {
            let refused = decode_event(event(member, value).as_bytes()).unwrap_err().to_string();
            assert!(refused.contains(member), "{member}: {refused}");
        }
    }
}
