//! Summaries that are due to be written again: who asks for that, and what can tell it.

use crate::event::{Severity, UnknownValue, wire_enum};
use crate::status::IncidentStatus;
use diesel::sql_types::{Array, BigInt, Double, Nullable, Text};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

wire_enum! {
    /// What a summary is wanted for.
    Cause {
        /// The incident is new.
        Opened = "opened",
        /// It has ten times as many events as when its summary was written.
        CountGrew = "count_grew",
        /// It has been seen in a release that the summary does not know.
        NewRelease = "new_release",
        /// It is worse than it was.
        SeverityRaised = "severity_raised",
        /// It is open again.
        Recurred = "recurred",
        /// Somebody asked for it.
        Requested = "requested",
    }
}

/// Asks for a summary now. If a job for the incident waits or runs, that one is it; one that waits for its next attempt is
/// due at once if a person asks. Returns the job's id; none if the project has no such incident.
///
/// # Errors
/// The database's.
pub async fn request(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    incident_id: &str,
    cause: Cause,
) -> QueryResult<Option<String>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        id: String,
    }
    // Two who ask at the same time make the same id; the second finds the first one's job.
    diesel::sql_query(
        "INSERT INTO ai_jobs (id, incident_id, project_id, job_type, cause) \
         SELECT 'summarize:' || i.id || ':' || (SELECT count(*) FROM ai_jobs WHERE incident_id = i.id), i.id, \
             i.project_id, 'summarize', $3 \
         FROM incidents i WHERE i.id = $1 AND i.project_id = $2 AND NOT EXISTS \
             (SELECT 1 FROM ai_jobs WHERE incident_id = i.id AND status IN ('queued', 'running')) \
         ON CONFLICT DO NOTHING",
    )
    .bind::<Text, _>(incident_id)
    .bind::<Text, _>(project_id)
    .bind::<Text, _>(cause.as_str())
    .execute(connection)
    .await?;
    if cause == Cause::Requested {
        diesel::sql_query(
            "UPDATE ai_jobs SET run_after = now(), updated_at = now() \
             WHERE incident_id = $1 AND status = 'queued' AND run_after > now()",
        )
        .bind::<Text, _>(incident_id)
        .execute(connection)
        .await?;
    }
    let row: Option<Row> = diesel::sql_query(
        "SELECT id FROM ai_jobs WHERE incident_id = $1 AND project_id = $2 \
         ORDER BY status IN ('queued', 'running') DESC, created_at DESC, id DESC LIMIT 1",
    )
    .bind::<Text, _>(incident_id)
    .bind::<Text, _>(project_id)
    .get_result(connection)
    .await
    .optional()?;
    Ok(row.map(|row| row.id))
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct JobState {
    /// `queued`, `running`, `succeeded` or `failed`.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// What last went wrong.
    #[diesel(sql_type = Nullable<Text>)]
    pub last_error: Option<String>,
}

/// How the job stands, if there is one of this id.
///
/// # Errors
/// The database's.
pub async fn job_state(connection: &mut AsyncPgConnection, job_id: &str) -> QueryResult<Option<JobState>> {
    diesel::sql_query("SELECT status, last_error FROM ai_jobs WHERE id = $1")
        .bind::<Text, _>(job_id)
        .get_result(connection)
        .await
        .optional()
}

/// An incident that has changed since its summary was written: as it is, and as it was.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct Changed {
    /// The incident.
    #[diesel(sql_type = Text)]
    pub incident_id: String,
    /// Its project.
    #[diesel(sql_type = Text)]
    pub project_id: String,
    /// Events now.
    #[diesel(sql_type = BigInt)]
    pub event_count: i64,
    /// Severity now.
    #[diesel(sql_type = Text)]
    pub severity: Severity,
    /// State now.
    #[diesel(sql_type = Text)]
    pub status: IncidentStatus,
    /// Events then.
    #[diesel(sql_type = BigInt)]
    pub was_event_count: i64,
    /// Severity then.
    #[diesel(sql_type = Text)]
    pub was_severity: Severity,
    /// State then.
    #[diesel(sql_type = Text)]
    pub was_status: IncidentStatus,
    /// Releases that the summary knows.
    #[diesel(sql_type = Array<Text>)]
    pub releases: Vec<String>,
}

/// The unresolved incidents among the next `page` summaries after `after` (by incident id) that have changed since their
/// summary was written, and the id that the page ended with; none behind the last one. A summary rests for `rest` before
/// it is looked at. One whose rewriting has failed rests for a quarter of an hour, and twice as long after each further
/// failure, up to a day: a key that was revoked must not be tried for every incident again and again. Each look costs one
/// bounded join by primary keys; flushes do not notice it.
///
/// # Errors
/// The database's.
pub async fn changed(
    connection: &mut AsyncPgConnection,
    after: &str,
    page: i64,
    rest: Duration,
) -> QueryResult<(Vec<Changed>, Option<String>)> {
    #[derive(diesel::QueryableByName)]
    struct Last {
        #[diesel(sql_type = Nullable<Text>)]
        last: Option<String>,
    }
    let last: Last = diesel::sql_query(
        "SELECT max(incident_id) AS last FROM (SELECT incident_id FROM ai_summaries WHERE incident_id > $1 \
             ORDER BY incident_id LIMIT $2) AS page",
    )
    .bind::<Text, _>(after)
    .bind::<BigInt, _>(page)
    .get_result(connection)
    .await?;
    let Some(last) = last.last else { return Ok((Vec::new(), None)) };
    let changed = diesel::sql_query(
        "SELECT i.id AS incident_id, i.project_id, i.event_count, i.severity, i.status, \
                s.event_count AS was_event_count, s.severity AS was_severity, s.status AS was_status, s.releases \
         FROM ai_summaries s JOIN incidents i ON i.id = s.incident_id \
         WHERE s.incident_id > $1 AND s.incident_id <= $2 AND s.written_at <= now() - make_interval(secs => $3) \
             AND i.status <> 'resolved' \
             AND (i.event_count <> s.event_count OR i.severity <> s.severity OR i.status <> s.status) \
             AND now() > coalesce((SELECT max(j.updated_at) + least(interval '1 day', \
                     make_interval(mins => (15 * 2 ^ least(count(*) - 1, 7))::int)) \
                 FROM ai_jobs j WHERE j.incident_id = i.id AND j.status = 'failed' AND j.updated_at > s.written_at), '-infinity') \
         ORDER BY s.incident_id",
    )
    .bind::<Text, _>(after)
    .bind::<Text, _>(&last)
    .bind::<Double, _>(rest.as_secs_f64())
    .load(connection)
    .await?;
    Ok((changed, Some(last)))
}

/// Attributes of kept events.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct AttributesRow {
    /// The incident.
    #[diesel(sql_type = Text)]
    pub incident_id: String,
    /// JSON object, as the client wrote it.
    #[diesel(sql_type = Text)]
    pub attributes: String,
}

/// The attributes of these incidents' kept events that came after their n-th, each with its own n.
///
/// # Errors
/// The database's.
pub async fn attributes_since(
    connection: &mut AsyncPgConnection,
    incidents: &[(&str, i64)],
) -> QueryResult<Vec<AttributesRow>> {
    let (ids, known): (Vec<&str>, Vec<i64>) = incidents.iter().copied().unzip();
    diesel::sql_query(
        "SELECT e.incident_id, e.attributes::text AS attributes FROM unnest($1::text[], $2::bigint[]) AS w (id, known) \
         JOIN incident_events e ON e.incident_id = w.id AND e.ordinal > w.known",
    )
    .bind::<Array<Text>, _>(ids)
    .bind::<Array<BigInt>, _>(known)
    .load(connection)
    .await
}
