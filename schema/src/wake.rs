//! What an IncidentActor must know of its fingerprint's past when it starts.

use crate::prepared::Prepare;
use crate::snapshot::{IncidentIdentity, IncidentSnapshot};
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::result::Error;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::sync::Arc;

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    org_id: String,
    #[diesel(sql_type = Text)]
    project_id: String,
    #[diesel(sql_type = Text)]
    environment: String,
    #[diesel(sql_type = Text)]
    fingerprint: String,
    #[diesel(sql_type = Integer)]
    generation: i32,
    #[diesel(sql_type = Text)]
    title: String,
    #[diesel(sql_type = Nullable<Text>)]
    error_code: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    route: Option<String>,
    #[diesel(sql_type = Text)]
    status: String,
    #[diesel(sql_type = Text)]
    severity: String,
    #[diesel(sql_type = BigInt)]
    event_count: i64,
    #[diesel(sql_type = Timestamptz)]
    first_seen: DateTime<Utc>,
    #[diesel(sql_type = Timestamptz)]
    last_seen: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    resolved_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Text>)]
    previous_incident_id: Option<String>,
    #[diesel(sql_type = Integer)]
    partition: i32,
    #[diesel(sql_type = BigInt)]
    applied_through: i64,
}

/// The newest incident of each (project, fingerprint) that has one, in one query whatever their number.
///
/// # Errors
/// The database's; a row with a state or severity that this program does not know is a deserialisation error.
pub async fn newest_incidents(
    connection: &mut AsyncPgConnection,
    projects: &[&str],
    fingerprints: &[&str],
) -> QueryResult<Vec<IncidentSnapshot>> {
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT i.id, i.org_id, i.project_id, i.environment, i.fingerprint, i.generation, i.title, i.error_code, \
                i.route, i.status, i.severity, i.event_count, i.first_seen, i.last_seen, i.resolved_at, \
                i.previous_incident_id, i.partition, i.applied_through \
         FROM unnest($1::text[], $2::text[]) AS wanted (project_id, fingerprint) \
         CROSS JOIN LATERAL (SELECT * FROM incidents n WHERE n.project_id = wanted.project_id \
              AND n.fingerprint = wanted.fingerprint ORDER BY n.generation DESC LIMIT 1) AS i",
    )
    .bind::<Array<Text>, _>(projects)
    .bind::<Array<Text>, _>(fingerprints)
    .prepared()
    .load(connection)
    .await?;
    rows.into_iter().map(snapshot).collect()
}

fn snapshot(row: Row) -> QueryResult<IncidentSnapshot> {
    let status = row.status.parse().map_err(|error| Error::DeserializationError(Box::new(error)))?;
    let severity = row.severity.parse().map_err(|error| Error::DeserializationError(Box::new(error)))?;
    let identity = IncidentIdentity {
        id: row.id,
        org_id: row.org_id,
        project_id: row.project_id,
        environment: row.environment,
        fingerprint: row.fingerprint,
        generation: row.generation,
        title: row.title,
        error_code: row.error_code,
        route: row.route,
        previous_incident_id: row.previous_incident_id,
        partition: row.partition,
    };
    Ok(IncidentSnapshot {
        identity: Arc::new(identity),
        status,
        severity,
        event_count: row.event_count,
        first_seen: row.first_seen,
        last_seen: row.last_seen,
        resolved_at: row.resolved_at,
        applied_through: row.applied_through,
    })
}
