//! The durable image of an incident and what else one record can leave behind.

use crate::event::{EventType, Severity};
use crate::status::IncidentStatus;
use chrono::{DateTime, Utc};
use std::ops::Deref;
use std::sync::Arc;

/// What of an incident never changes once it is open. Shared by all its images.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentIdentity {
    /// ULID of its first event's time and place in the log.
    pub id: String,
    /// Owner of the project.
    pub org_id: String,
    /// Project.
    pub project_id: String,
    /// Environment of its first event; part of the fingerprint.
    pub environment: String,
    /// 64 hex digits.
    pub fingerprint: String,
    /// 1 for the fingerprint's first incident, one more after each resolution.
    pub generation: i32,
    /// First line of its first event's message.
    pub title: String,
    /// `attributes.error_code` of its first event.
    pub error_code: Option<String>,
    /// Templated `attributes.route` of its first event.
    pub route: Option<String>,
    /// The incident before it, if this is a regression.
    pub previous_incident_id: Option<String>,
    /// Partition of the log.
    pub partition: i32,
}

/// One row of `incidents` as its actor knows it: who it is, and what changes. Absolute values, not differences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncidentSnapshot {
    /// Who it is; its members are read as if they were the image's own.
    pub identity: Arc<IncidentIdentity>,
    /// State.
    pub status: IncidentStatus,
    /// Highest severity seen.
    pub severity: Severity,
    /// Events, each counted once.
    pub event_count: i64,
    /// Earliest event time.
    pub first_seen: DateTime<Utc>,
    /// Latest event time.
    pub last_seen: DateTime<Utc>,
    /// When it was resolved, while it is.
    pub resolved_at: Option<DateTime<Utc>>,
    /// Offset of the last record that this image contains.
    pub applied_through: i64,
}

impl Deref for IncidentSnapshot {
    type Target = IncidentIdentity;

    fn deref(&self) -> &IncidentIdentity {
        &self.identity
    }
}

/// A kept example of an incident's events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Incident.
    pub incident_id: String,
    /// The event was the incident's n-th, from 1.
    pub ordinal: i64,
    /// Client's id.
    pub event_id: String,
    /// Event time.
    pub occurred_at: DateTime<Utc>,
    /// Ingest time.
    pub received_at: DateTime<Utc>,
    /// Kind.
    pub event_type: EventType,
    /// Severity.
    pub severity: Severity,
    /// Message without NUL.
    pub message: String,
    /// JSON object as text.
    pub attributes: String,
    /// Place in the log.
    pub log_offset: i64,
}

/// What made an incident change its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An event of the log.
    Event {
        /// Its id.
        event_id: String,
    },
    /// A person's command.
    Command {
        /// Its id.
        command_id: String,
        /// Who gave it.
        principal: String,
    },
}

/// One step of an incident's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// Incident.
    pub incident_id: String,
    /// Record that caused it.
    pub log_offset: i64,
    /// State before; none for a new incident.
    pub from_status: Option<IncidentStatus>,
    /// State after.
    pub to_status: IncidentStatus,
    /// Why.
    pub cause: Cause,
    /// Event time, or when the command was accepted.
    pub occurred_at: DateTime<Utc>,
}

/// What became of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutcome {
    /// The command.
    pub command_id: String,
    /// The incident it spoke of.
    pub incident_id: String,
    /// Whether the incident changed.
    pub applied: bool,
    /// Why not, or the new state.
    pub detail: String,
    /// When the command was accepted.
    pub occurred_at: DateTime<Utc>,
}

/// Events to add to one minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BucketDelta {
    /// Start of the minute, event time.
    pub bucket_time: DateTime<Utc>,
    /// `events.<type>`.
    pub metric_name: &'static str,
    /// Project.
    pub project_id: String,
    /// Environment.
    pub environment: String,
    /// Events to add.
    pub value: i64,
}

/// Errors to add to one hour of a fingerprint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrendDelta {
    /// The fingerprint, its project and its environment.
    pub identity: Arc<IncidentIdentity>,
    /// Hours since 1970, event time.
    pub hour: i64,
    /// (minute of the hour, errors), each minute at most once, in rising order.
    pub minutes: Vec<(u8, i64)>,
}

/// Events to add to one line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerDelta {
    /// Project.
    pub project_id: String,
    /// `counted`, `duplicate`, `dead_lettered` or `dropped:<reason>`.
    pub outcome: &'static str,
    /// Events to add.
    pub events: i64,
}

/// Offsets [from, to) that the log no longer held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGap {
    /// First missing offset.
    pub from_offset: i64,
    /// First offset after the hole.
    pub to_offset: i64,
}

/// A fingerprint's quarantine as it stands: absolute values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantineImage {
    /// Project.
    pub project_id: String,
    /// 64 hex digits.
    pub fingerprint: String,
    /// Why, in a sentence.
    pub reason: String,
    /// Records that went to the dead letters because of it.
    pub records: i64,
    /// Received time of the record that brought it about.
    pub since_at: DateTime<Utc>,
    /// Received time of the record that ended it.
    pub lifted_at: Option<DateTime<Utc>>,
    /// Who ended it: an API key or a person's name; none if its time was over.
    pub lifted_by: Option<String>,
}

/// A record that killed its incident's actor twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoisonRecord {
    /// Its offset.
    pub log_offset: i64,
    /// Project.
    pub project_id: String,
    /// Fingerprint.
    pub fingerprint: String,
    /// When it was received.
    pub received_at: DateTime<Utc>,
}

/// What bounds one project: absolute values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectLimits {
    /// Project.
    pub project_id: String,
    /// Start of the window, received time.
    pub window_start: DateTime<Utc>,
    /// Fingerprints that it opened in this window.
    pub newcomers: i64,
    /// Environments that are counted by their own names.
    pub environments: Vec<String>,
}
