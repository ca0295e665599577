//! What the core API shows of incidents. These are not the tables' rows: a table may change, a shape is a promise.

use super::ai_shapes::AiSummary;
use chrono::{DateTime, Utc};
use schema::event::{EventType, Severity};
use schema::incidents::{IncidentRow, Minute, SampleRow, TransitionRow};
use schema::status::IncidentStatus;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Object, ObjectBuilder, Type};

/// An incident: errors of one fingerprint, from the first until it was resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Incident {
    /// ULID.
    pub id: String,
    /// Owner of the project.
    pub org_id: String,
    /// Project.
    pub project_id: String,
    /// Environment of all its events.
    pub environment: String,
    /// What its events have in common: 64 hex digits.
    pub fingerprint: String,
    /// State.
    #[schema(schema_with = status)]
    pub status: IncidentStatus,
    /// Highest severity seen.
    #[schema(schema_with = severity)]
    pub severity: Severity,
    /// First line of its first event's message.
    pub title: String,
    /// Events, each counted once.
    pub event_count: i64,
    /// Time of its earliest event.
    pub opened_at: DateTime<Utc>,
    /// Time of its latest event.
    pub last_seen_at: DateTime<Utc>,
    /// When it was resolved; null while it is not.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Whether it has come back after a resolution.
    pub regression: bool,
    /// The resolved incident of the same fingerprint before it.
    pub previous_incident_id: Option<String>,
}

impl From<IncidentRow> for Incident {
    fn from(row: IncidentRow) -> Self {
        Self {
            id: row.id,
            org_id: row.org_id,
            project_id: row.project_id,
            environment: row.environment,
            fingerprint: row.fingerprint,
            status: row.status,
            severity: row.severity,
            title: row.title,
            event_count: row.event_count,
            opened_at: row.first_seen,
            last_seen_at: row.last_seen,
            resolved_at: row.resolved_at,
            regression: row.previous_incident_id.is_some(),
            previous_incident_id: row.previous_incident_id,
        }
    }
}

/// Where a page stands in its list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Pagination {
    /// Entries that the filters let through.
    pub total: i64,
    /// Entries that the page could hold.
    pub limit: i64,
    /// Entries before this page: skipped, or on the pages before.
    pub offset: i64,
    /// Whether another page follows.
    pub has_more: bool,
    /// What to send as `cursor` to get it; null on the last page.
    pub next_cursor: Option<String>,
}

/// A page of incidents.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct IncidentList {
    /// The incidents.
    pub incidents: Vec<Incident>,
    /// Where they stand.
    pub pagination: Pagination,
    /// Every event that was answered with 202 before this moment is counted here; null while that is not known of every
    /// partition of the log.
    pub complete_until: Option<DateTime<Utc>>,
}

/// One incident with what is kept of it.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncidentDetail {
    /// The incident.
    pub incident: Incident,
    /// Its newest events, newest first, at most 20.
    pub events: Vec<IncidentEvent>,
    /// What a model, or Signals' own rules, have made of it; null until then.
    pub ai_summary: Option<AiSummary>,
    /// The steps of its life, oldest first, at most the last 100.
    pub transitions: Vec<Transition>,
    /// Its events by minute, every minute once, up to the last one; at most 24 hours.
    pub trend: Vec<MinuteCount>,
    /// Deploys into its environment by minute, up to 30 minutes before and after its first event.
    pub deploys_nearby: Vec<MinuteCount>,
    /// Path of this API where all of its events are searched.
    pub search: String,
    /// Every event that was answered with 202 before this moment is counted here; null while that is not known of every
    /// partition of the log.
    pub complete_until: Option<DateTime<Utc>>,
}

/// An event that is kept as an example.
#[derive(Debug, Serialize, ToSchema)]
pub struct IncidentEvent {
    /// The incident's id and the event's number in it.
    pub id: String,
    /// The client's id of the event.
    pub event_id: String,
    /// Event time.
    pub occurred_at: DateTime<Utc>,
    /// Kind.
    #[schema(schema_with = event_type)]
    pub event_type: EventType,
    /// How bad.
    #[schema(schema_with = severity)]
    pub severity: Severity,
    /// Message.
    pub message: String,
    /// As the client sent them. Attributes that not every JSON parser reads (a lone surrogate, a number without
    /// end) come as `{"unreadable": "<their text>"}`.
    #[schema(value_type = Object)]
    pub attributes: Box<RawValue>,
}

impl IncidentEvent {
    /// The sample of the incident `incident_id`.
    ///
    /// # Errors
    /// None that its types allow: text always has a JSON form.
    pub fn new(incident_id: &str, row: SampleRow) -> serde_json::Result<Self> {
        Ok(Self {
            id: format!("{incident_id}-{}", row.ordinal),
            event_id: row.event_id,
            occurred_at: row.occurred_at,
            event_type: row.event_type,
            severity: row.severity,
            message: row.message,
            attributes: readable(row.attributes)?,
        })
    }
}

/// What every JSON parser reads, as it is; else its text.
pub(super) fn readable(attributes: String) -> serde_json::Result<Box<RawValue>> {
    if serde_json::from_str::<serde_json::Value>(&attributes).is_ok() {
        return RawValue::from_string(attributes);
    }
    to_raw_value(&serde_json::json!({ "unreadable": attributes }))
}

/// A step of an incident's life.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Transition {
    /// State before; null for a new incident.
    #[schema(schema_with = status)]
    pub from: Option<IncidentStatus>,
    /// State after.
    #[schema(schema_with = status)]
    pub to: IncidentStatus,
    /// `event` or `command`.
    pub cause: String,
    /// The event that caused it.
    pub event_id: Option<String>,
    /// The command that caused it.
    pub command_id: Option<String>,
    /// Who gave the command: the id of an API key.
    pub principal: Option<String>,
    /// Event time, or when the command was accepted.
    pub occurred_at: DateTime<Utc>,
}

impl From<TransitionRow> for Transition {
    fn from(row: TransitionRow) -> Self {
        Self {
            from: row.from_status,
            to: row.to_status,
            cause: row.cause,
            event_id: row.event_id,
            command_id: row.command_id,
            principal: row.principal,
            occurred_at: row.occurred_at,
        }
    }
}

/// Events of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MinuteCount {
    /// Start of the minute.
    pub timestamp: DateTime<Utc>,
    /// Events.
    pub value: i64,
}

impl From<Minute> for MinuteCount {
    fn from(minute: Minute) -> Self {
        Self { timestamp: minute.bucket_time, value: minute.value }
    }
}

/// A command that was obeyed.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CommandApplied {
    /// The incident after it.
    pub incident: Incident,
    /// Names the command in the incident's transitions.
    pub command_id: String,
}

/// A command that is safe in the log and will be looked at.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct CommandAccepted {
    /// Always true.
    pub accepted: bool,
    /// Names the command in the incident's transitions, once it is obeyed.
    pub command_id: String,
}

fn one_of(values: impl IntoIterator<Item = &'static str>) -> Object {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(values)).build()
}

fn status() -> Object {
    one_of(IncidentStatus::ALL.iter().map(|value| value.as_str()))
}

pub(super) fn severity() -> Object {
    one_of(Severity::ALL.iter().map(|value| value.as_str()))
}

pub(super) fn event_type() -> Object {
    one_of(EventType::ALL.iter().map(|value| value.as_str()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn attributes_stay_as_they_are_or_say_that_they_cannot() {
        let kept = |text: &str| readable(text.to_owned()).unwrap().get().to_owned();
        assert_eq!(kept(r#"{"n": 1.50, "z":"\u0000"}"#), r#"{"n": 1.50, "z":"\u0000"}"#);
        for odd in [r#"{"a":"\ud800"}"#, r#"{"a":1e999}"#] {
            let shown: serde_json::Value = serde_json::from_str(&kept(odd)).unwrap();
            assert_eq!(shown, serde_json::json!({ "unreadable": odd }));
        }
    }
}
