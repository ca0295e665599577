//! The facts as one JSON document: what a model is sent, and what the deterministic summary is computed from.
//!
//! Every member is always there. Times are RFC 3339 in UTC, whole seconds. A fact's name is its dotted path, items by
//! index: `counts.total`, `deploys.0.minutes_before_first_event`. Nothing in it depends on the clock, so that the same
//! incident gives the same document.

use serde::{Deserialize, Serialize};

/// The word under [`Facts::facts`].
pub const VERSION: &str = "facts.v1";

/// All that is known of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Facts {
    /// [`VERSION`].
    pub facts: String,
    /// What and when.
    pub incident: IncidentFacts,
    /// How many.
    pub counts: Counts,
    /// Events by minute, oldest first, minutes without one left out; at most the last 60 minutes up to the last event.
    pub trend: Vec<MinuteFact>,
    /// Kinds of messages among the kept events, the most frequent first.
    pub templates: Vec<TemplateFact>,
    /// Routes of the kept events, the most frequent first.
    pub routes: Vec<RouteFact>,
    /// Releases of the kept events, the most frequent first.
    pub releases: Vec<ReleaseFact>,
    /// Status codes of the kept events, the most frequent first.
    pub status_codes: Vec<StatusCodeFact>,
    /// Who was hit, if the events tell.
    pub users: Option<UserFacts>,
    /// Newest events that are kept of the incident; all that is called `samples` counts among these.
    pub samples_kept: i64,
    /// The earliest and the latest of the kept events, oldest first.
    pub samples: Vec<SampleFact>,
    /// Deploys near the first event, oldest first.
    pub deploys: Vec<DeployFact>,
    /// Other incidents of the project that began about the same time, the nearest first.
    pub nearby_incidents: Vec<NearbyFact>,
    /// The incident of the same fingerprint that was resolved before this one began.
    pub previous_incident: Option<PreviousFact>,
    /// The whole project and environment in the hour up to the incident's last event.
    pub project: ProjectFacts,
    /// What was left out to keep the document small, in words.
    pub omitted: Vec<String>,
}

/// The incident itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentFacts {
    /// ULID.
    pub id: String,
    /// First line of its first event's message.
    pub title: String,
    /// State.
    pub status: String,
    /// Highest severity seen.
    pub severity: String,
    /// Environment.
    pub environment: String,
    /// Error code of its first event.
    pub error_code: Option<String>,
    /// Templated route of its first event.
    pub route: Option<String>,
    /// Earliest event time.
    pub first_seen: String,
    /// Latest event time.
    pub last_seen: String,
    /// Whole minutes between the two.
    pub duration_minutes: i64,
    /// Client's id of the event that opened it.
    pub first_event_id: Option<String>,
    /// Whether an earlier incident of the same fingerprint had been resolved.
    pub is_regression: bool,
    /// The steps of its life after its opening, oldest first, at most the last 5.
    pub state_changes: Vec<StateChange>,
}

/// A step of an incident's life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateChange {
    /// State before.
    pub from: Option<String>,
    /// State after.
    pub to: String,
    /// When.
    pub at: String,
    /// `event` or `command`.
    pub by: String,
}

/// How many events there are and how they are spread. By event time.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counts {
    /// Events, each counted once.
    pub total: i64,
    /// Events of the 10 minutes up to the last event.
    pub last_10_minutes: i64,
    /// Events of the 10 minutes before these.
    pub previous_10_minutes: i64,
    /// The former divided by the latter, to one decimal; null if there were none before.
    pub change_factor: Option<f64>,
    /// Events of the busiest minute.
    pub peak_per_minute: i64,
    /// The busiest minute, the first of several.
    pub peak_minute: Option<String>,
    /// Minutes that have an event, of the last 24 hours.
    pub minutes_with_events: i64,
    /// Events per such minute, rounded.
    pub average_per_active_minute: i64,
}

/// Events of one minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MinuteFact {
    /// Its start.
    pub minute: String,
    /// Events.
    pub events: i64,
}

/// A kind of message.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateFact {
    /// The message without what differs from event to event.
    pub template: String,
    /// Kept events that have it.
    pub samples: i64,
    /// The same in percent of all kept ones.
    pub share_percent: i64,
    /// Up to 3 of them, the newest first.
    pub event_ids: Vec<String>,
}

/// A route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteFact {
    /// Templated.
    pub route: String,
    /// Kept events that have it.
    pub samples: i64,
    /// The same in percent of all kept ones.
    pub share_percent: i64,
}

/// A release.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFact {
    /// As the client names it.
    pub release: String,
    /// Kept events that have it.
    pub samples: i64,
    /// The same in percent of all kept ones.
    pub share_percent: i64,
    /// Event time of the earliest of them.
    pub earliest: String,
}

/// A status code.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusCodeFact {
    /// As text, whatever the client sent.
    pub status_code: String,
    /// Kept events that have it.
    pub samples: i64,
}

/// Who was hit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserFacts {
    /// Different users among the kept events.
    pub distinct_in_samples: i64,
    /// Kept events that name a user.
    pub samples_with_user: i64,
}

/// A kept event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleFact {
    /// Client's id.
    pub event_id: String,
    /// The event was the incident's n-th, from 1.
    pub number: i64,
    /// Event time.
    pub occurred_at: String,
    /// Severity.
    pub severity: String,
    /// At most 500 characters of the message.
    pub message: String,
    /// Its attributes that are single values, at most 12, each at most 120 characters.
    pub attributes: std::collections::BTreeMap<String, String>,
}

/// Deploys of one minute.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeployFact {
    /// Its start.
    pub minute: String,
    /// Deploys.
    pub deploys: i64,
    /// Whole minutes from then to the minute of the first event; negative if it was after it.
    pub minutes_before_first_event: i64,
}

/// Another incident of the project.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NearbyFact {
    /// ULID.
    pub id: String,
    /// Title.
    pub title: String,
    /// Highest severity seen.
    pub severity: String,
    /// State.
    pub status: String,
    /// Environment.
    pub environment: String,
    /// Earliest event time.
    pub first_seen: String,
    /// Events.
    pub events: i64,
    /// Whole minutes from this incident's first event to that one's; negative if that was earlier.
    pub minutes_after_this_began: i64,
}

/// The incident before a regression.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviousFact {
    /// ULID.
    pub id: String,
    /// Title.
    pub title: String,
    /// Events.
    pub events: i64,
    /// Earliest event time.
    pub first_seen: String,
    /// Latest event time.
    pub last_seen: String,
    /// When it was resolved.
    pub resolved_at: Option<String>,
    /// Whole minutes from its resolution to this incident's first event.
    pub minutes_until_return: Option<i64>,
    /// Title of its summary.
    pub summary_title: Option<String>,
    /// The first likely cause of its summary.
    pub summary_cause: Option<String>,
}

/// The project around the incident.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProjectFacts {
    /// Error events.
    pub errors_last_hour: i64,
    /// Served requests that were reported.
    pub requests_last_hour: i64,
}
