//! What is read of an incident to explain it.

use crate::incidents::{self, COLUMNS, IncidentRow, Kept};
use chrono::{DateTime, Duration, Utc};
use diesel::sql_types::{BigInt, Jsonb, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// How far from an incident's first event another one begins nearby.
const NEARBY: Duration = Duration::minutes(30);
/// Incidents nearby that are read.
const NEIGHBOURS: i64 = 10;

/// Everything, of one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Gathered {
    /// The incident.
    pub incident: IncidentRow,
    /// What only its explanation needs of it.
    pub origin: Origin,
    /// What is kept of it.
    pub kept: Kept,
    /// Others of the project that began about the same time, the nearest first.
    pub nearby: Vec<IncidentRow>,
    /// The one before it, and its summary's content.
    pub previous: Option<(IncidentRow, Option<serde_json::Value>)>,
    /// Error events of its project and environment in the hour up to its last event.
    pub errors_last_hour: i64,
    /// The same of served requests.
    pub requests_last_hour: i64,
}

/// Where an incident comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq, diesel::QueryableByName)]
pub struct Origin {
    /// Error code of its first event.
    #[diesel(sql_type = Nullable<Text>)]
    pub error_code: Option<String>,
    /// Route of its first event, as it was sent.
    #[diesel(sql_type = Nullable<Text>)]
    pub route: Option<String>,
    /// Client's id of the event that opened it.
    #[diesel(sql_type = Nullable<Text>)]
    pub first_event_id: Option<String>,
}

/// All that is known of the incident, in one snapshot of the database; none if the project has no such incident.
///
/// # Errors
/// The database's.
pub async fn gather(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    incident_id: &str,
) -> QueryResult<Option<Gathered>> {
    let mut transaction = connection.build_transaction().read_only().repeatable_read();
    transaction
        .run(async |connection| {
            let Some(incident) = incidents::find(connection, project_id, incident_id).await? else { return Ok(None) };
            let sums = project_hour(connection, &incident).await?;
            QueryResult::Ok(Some(Gathered {
                origin: origin(connection, &incident).await?,
                kept: incidents::kept(connection, &incident).await?,
                nearby: nearby(connection, &incident).await?,
                previous: previous(connection, &incident).await?,
                errors_last_hour: sums.errors,
                requests_last_hour: sums.requests,
                incident,
            }))
        })
        .await
}

async fn origin(connection: &mut AsyncPgConnection, incident: &IncidentRow) -> QueryResult<Origin> {
    diesel::sql_query(
        "SELECT error_code, route, (SELECT event_id FROM incident_transitions WHERE incident_id = $1 \
             AND from_status IS NULL ORDER BY log_offset LIMIT 1) AS first_event_id \
         FROM incidents WHERE id = $1",
    )
    .bind::<Text, _>(&incident.id)
    .get_result(connection)
    .await
}

async fn nearby(connection: &mut AsyncPgConnection, incident: &IncidentRow) -> QueryResult<Vec<IncidentRow>> {
    let moved = |by: Duration| incident.first_seen.checked_add_signed(by).unwrap_or(incident.first_seen);
    diesel::sql_query(format!(
        "SELECT {COLUMNS} FROM incidents WHERE project_id = $1 AND first_seen BETWEEN $2 AND $3 AND id <> $4 \
         ORDER BY abs(extract(epoch FROM first_seen - $5)), id LIMIT $6"
    ))
    .bind::<Text, _>(&incident.project_id)
    .bind::<Timestamptz, _>(moved(-NEARBY))
    .bind::<Timestamptz, _>(moved(NEARBY))
    .bind::<Text, _>(&incident.id)
    .bind::<Timestamptz, _>(incident.first_seen)
    .bind::<BigInt, _>(NEIGHBOURS)
    .load(connection)
    .await
}

async fn previous(
    connection: &mut AsyncPgConnection,
    incident: &IncidentRow,
) -> QueryResult<Option<(IncidentRow, Option<serde_json::Value>)>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Jsonb)]
        content: serde_json::Value,
    }
    let Some(id) = &incident.previous_incident_id else { return Ok(None) };
    let Some(before) = incidents::find(connection, &incident.project_id, id).await? else { return Ok(None) };
    let summary: Option<Row> = diesel::sql_query("SELECT content FROM ai_summaries WHERE incident_id = $1")
        .bind::<Text, _>(id)
        .get_result(connection)
        .await
        .optional()?;
    Ok(Some((before, summary.map(|row| row.content))))
}

#[derive(diesel::QueryableByName)]
struct Sums {
    #[diesel(sql_type = BigInt)]
    errors: i64,
    #[diesel(sql_type = BigInt)]
    requests: i64,
}

async fn project_hour(connection: &mut AsyncPgConnection, incident: &IncidentRow) -> QueryResult<Sums> {
    let until: DateTime<Utc> = incident.last_seen;
    diesel::sql_query(
        "SELECT coalesce(sum(value) FILTER (WHERE metric_name = 'events.error'), 0)::bigint AS errors, \
                coalesce(sum(value) FILTER (WHERE metric_name = 'events.http_request'), 0)::bigint AS requests \
         FROM metrics_bucket WHERE project_id = $1 AND fingerprint = '' AND environment = $2 \
             AND metric_name IN ('events.error', 'events.http_request') \
             AND bucket_time > $3 - interval '1 hour' AND bucket_time <= $3",
    )
    .bind::<Text, _>(&incident.project_id)
    .bind::<Text, _>(&incident.environment)
    .bind::<Timestamptz, _>(until)
    .get_result(connection)
    .await
}
