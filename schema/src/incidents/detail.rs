//! One incident and what is kept of it.

use super::{COLUMNS, IncidentRow};
use crate::ai::{self, SummaryRow};
use crate::event::{EventType, Severity};
use crate::prepared::Prepare;
use crate::status::IncidentStatus;
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// Steps that are shown; of more, the newest.
const TRANSITIONS_SHOWN: i64 = 100;
/// How far before its last event the trend of an incident begins.
const TREND: TimeDelta = TimeDelta::hours(24);
/// How far from an incident's first event a deploy is near.
const NEARBY: TimeDelta = TimeDelta::minutes(30);

/// A kept event of an incident.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct SampleRow {
    /// The event was the incident's n-th, from 1.
    #[diesel(sql_type = BigInt)]
    pub ordinal: i64,
    /// Client's id.
    #[diesel(sql_type = Text)]
    pub event_id: String,
    /// Event time.
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
    /// Kind.
    #[diesel(sql_type = Text)]
    pub event_type: EventType,
    /// Severity.
    #[diesel(sql_type = Text)]
    pub severity: Severity,
    /// Message.
    #[diesel(sql_type = Text)]
    pub message: String,
    /// JSON object, as the client wrote it.
    #[diesel(sql_type = Text)]
    pub attributes: String,
}

/// A step of an incident's life.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct TransitionRow {
    /// State before; none for a new incident.
    #[diesel(sql_type = Nullable<Text>)]
    pub from_status: Option<IncidentStatus>,
    /// State after.
    #[diesel(sql_type = Text)]
    pub to_status: IncidentStatus,
    /// `event` or `command`.
    #[diesel(sql_type = Text)]
    pub cause: String,
    /// The event that caused it.
    #[diesel(sql_type = Nullable<Text>)]
    pub event_id: Option<String>,
    /// The command that caused it.
    #[diesel(sql_type = Nullable<Text>)]
    pub command_id: Option<String>,
    /// Who gave the command: the id of an API key.
    #[diesel(sql_type = Nullable<Text>)]
    pub principal: Option<String>,
    /// Event time, or when the command was accepted.
    #[diesel(sql_type = Timestamptz)]
    pub occurred_at: DateTime<Utc>,
}

/// Events of one minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct Minute {
    /// Start of the minute, event time.
    #[diesel(sql_type = Timestamptz)]
    pub bucket_time: DateTime<Utc>,
    /// Events.
    #[diesel(sql_type = BigInt)]
    pub value: i64,
}

/// What is kept of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Its newest events, newest first.
    pub samples: Vec<SampleRow>,
    /// Its summary.
    pub summary: Option<SummaryRow>,
    /// The steps of its life, oldest first.
    pub transitions: Vec<TransitionRow>,
    /// Errors by minute.
    pub trend: Vec<Minute>,
    /// Deploys near its beginning, by minute.
    pub deploys_nearby: Vec<Minute>,
}

/// The incident, if the project has one of that id.
///
/// # Errors
/// The database's.
pub async fn find(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    incident_id: &str,
) -> QueryResult<Option<IncidentRow>> {
    diesel::sql_query(format!("SELECT {COLUMNS} FROM incidents WHERE id = $1 AND project_id = $2"))
        .bind::<Text, _>(incident_id)
        .bind::<Text, _>(project_id)
        .prepared()
        .get_result(connection)
        .await
        .optional()
}

/// All that is kept of the incident. Of one moment only within a transaction that reads one snapshot.
///
/// # Errors
/// The database's.
pub async fn kept(connection: &mut AsyncPgConnection, incident: &IncidentRow) -> QueryResult<Kept> {
    let deploys_nearby = deploys_nearby(connection, incident).await?;
    kept_beside(connection, incident, deploys_nearby).await
}

/// The same for whoever has read its [`deploys_nearby`] already.
///
/// # Errors
/// The database's.
pub async fn kept_beside(
    connection: &mut AsyncPgConnection,
    incident: &IncidentRow,
    deploys_nearby: Vec<Minute>,
) -> QueryResult<Kept> {
    Ok(Kept {
        samples: samples(connection, incident).await?,
        summary: ai::summary_of(connection, &incident.id).await?,
        transitions: transitions(connection, incident).await?,
        trend: trend(connection, incident).await?,
        deploys_nearby,
    })
}

async fn samples(connection: &mut AsyncPgConnection, incident: &IncidentRow) -> QueryResult<Vec<SampleRow>> {
    diesel::sql_query(
        "SELECT ordinal, event_id, occurred_at, event_type, severity, message, attributes::text AS attributes \
         FROM incident_events WHERE incident_id = $1 ORDER BY ordinal DESC",
    )
    .bind::<Text, _>(&incident.id)
    .prepared()
    .load(connection)
    .await
}

async fn transitions(connection: &mut AsyncPgConnection, incident: &IncidentRow) -> QueryResult<Vec<TransitionRow>> {
    let mut newest_first: Vec<TransitionRow> = diesel::sql_query(
        "SELECT from_status, to_status, cause, event_id, command_id, principal, occurred_at \
         FROM incident_transitions WHERE incident_id = $1 ORDER BY log_offset DESC LIMIT $2",
    )
    .bind::<Text, _>(&incident.id)
    .bind::<BigInt, _>(TRANSITIONS_SHOWN)
    .prepared()
    .load(connection)
    .await?;
    newest_first.reverse();
    Ok(newest_first)
}

/// Errors by minute over the incident's own life, at most the 24 hours before its last event. Minutes without
/// an error are there with 0. Time is the events', so an old incident keeps its picture.
async fn trend(connection: &mut AsyncPgConnection, incident: &IncidentRow) -> QueryResult<Vec<Minute>> {
    let last = minute(incident.last_seen);
    let first = minute(incident.first_seen).max(moved(last, TimeDelta::minutes(1) - TREND));
    let known: Vec<Minute> = diesel::sql_query(
        "SELECT bucket_time, value FROM trend_minutes WHERE project_id = $1 AND fingerprint = $2 AND environment = $3 \
             AND hour BETWEEN date_trunc('hour', $4, 'UTC') AND $5 AND bucket_time BETWEEN $4 AND $5 \
         ORDER BY bucket_time",
    )
    .bind::<Text, _>(&incident.project_id)
    .bind::<Text, _>(&incident.fingerprint)
    .bind::<Text, _>(&incident.environment)
    .bind::<Timestamptz, _>(first)
    .bind::<Timestamptz, _>(last)
    .prepared()
    .load(connection)
    .await?;
    Ok(without_holes(&known, first, last))
}

/// Deploys into the incident's environment by minute, from 30 minutes before its first event until 30 after.
///
/// # Errors
/// The database's.
pub async fn deploys_nearby(connection: &mut AsyncPgConnection, incident: &IncidentRow) -> QueryResult<Vec<Minute>> {
    diesel::sql_query(
        "SELECT bucket_time, value FROM metrics_bucket WHERE project_id = $1 AND fingerprint = '' \
             AND metric_name = 'events.deploy' AND environment = $2 AND bucket_time BETWEEN $3 AND $4 \
         ORDER BY bucket_time",
    )
    .bind::<Text, _>(&incident.project_id)
    .bind::<Text, _>(&incident.environment)
    .bind::<Timestamptz, _>(moved(minute(incident.first_seen), -NEARBY))
    .bind::<Timestamptz, _>(moved(minute(incident.first_seen), NEARBY))
    .prepared()
    .load(connection)
    .await
}

/// The start of the minute that `at` is in.
fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp().div_euclid(60).saturating_mul(60), 0).unwrap_or(at)
}

/// At the end of time it stays where it is.
fn moved(at: DateTime<Utc>, by: TimeDelta) -> DateTime<Utc> {
    at.checked_add_signed(by).unwrap_or(at)
}

fn without_holes(known: &[Minute], first: DateTime<Utc>, last: DateTime<Utc>) -> Vec<Minute> {
    let mut known = known.iter().peekable();
    let mut whole = Vec::new();
    let mut next = Some(first);
    while let Some(bucket_time) = next.filter(|minute| *minute <= last) {
        let value = known.next_if(|minute| minute.bucket_time == bucket_time).map_or(0, |minute| minute.value);
        whole.push(Minute { bucket_time, value });
        next = bucket_time.checked_add_signed(TimeDelta::minutes(1));
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trend_has_every_minute_once() {
        let at = |minute: i64| DateTime::from_timestamp(1_790_000_040 + minute * 60, 0).unwrap();
        let known = [Minute { bucket_time: at(1), value: 7 }, Minute { bucket_time: at(3), value: 2 }];
        let values: Vec<i64> = without_holes(&known, at(0), at(4)).iter().map(|minute| minute.value).collect();
        assert_eq!(values, [0, 7, 0, 2, 0]);
        assert_eq!(minute(DateTime::from_timestamp(-1, 5).unwrap()), DateTime::from_timestamp(-60, 0).unwrap());
    }
}
