//! The incidents' part of a flush.

use super::statements::{column, sorted};
use crate::prepared::Prepare;
use crate::snapshot::IncidentSnapshot;
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// Incidents that the table has: only the columns that change. A row that has disappeared is written anew, for the image
/// is whole.
pub(super) async fn update(connection: &mut AsyncPgConnection, incidents: &[IncidentSnapshot]) -> QueryResult<()> {
    if incidents.is_empty() {
        return Ok(());
    }
    let rows = sorted(incidents, |row| (row.project_id.as_str(), row.fingerprint.as_str(), row.generation));
    // Not an upsert: that would lock each row in a step of its own before it changes it, and carry all columns.
    let updated = diesel::sql_query(
        "UPDATE incidents AS i SET status = d.status, severity = d.severity, event_count = d.event_count, \
             first_seen = d.first_seen, last_seen = d.last_seen, resolved_at = d.resolved_at, \
             applied_through = d.applied_through \
         FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::timestamptz[], $6::timestamptz[], \
             $7::timestamptz[], $8::bigint[]) \
             AS d (id, status, severity, event_count, first_seen, last_seen, resolved_at, applied_through) \
         WHERE i.id = d.id",
    )
    .bind::<Array<Text>, _>(column(&rows, |row| row.id.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.status.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.severity.as_str()))
    .bind::<Array<BigInt>, _>(column(&rows, |row| row.event_count))
    .bind::<Array<Timestamptz>, _>(column(&rows, |row| row.first_seen))
    .bind::<Array<Timestamptz>, _>(column(&rows, |row| row.last_seen))
    .bind::<Array<Nullable<Timestamptz>>, _>(column(&rows, |row| row.resolved_at))
    .bind::<Array<BigInt>, _>(column(&rows, |row| row.applied_through))
    .prepared()
    .execute(connection)
    .await?;
    if updated < rows.len() { insert(connection, incidents).await } else { Ok(()) }
}

/// Incidents that the table does not have yet; all of their columns.
pub(super) async fn insert(connection: &mut AsyncPgConnection, incidents: &[IncidentSnapshot]) -> QueryResult<()> {
    if incidents.is_empty() {
        return Ok(());
    }
    // Oldest generation first: at most the newest is unresolved, and enters the index of those.
    let rows = sorted(incidents, |row| (row.project_id.as_str(), row.fingerprint.as_str(), row.generation));
    diesel::sql_query(
        "INSERT INTO incidents AS i (id, org_id, project_id, environment, fingerprint, generation, title, error_code, \
             route, status, severity, event_count, first_seen, last_seen, resolved_at, previous_incident_id, partition, \
             applied_through) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::int[], $7::text[], \
             $8::text[], $9::text[], $10::text[], $11::text[], $12::bigint[], $13::timestamptz[], $14::timestamptz[], \
             $15::timestamptz[], $16::text[], $17::int[], $18::bigint[]) \
         ON CONFLICT (id) DO UPDATE SET status = excluded.status, severity = excluded.severity, \
             event_count = excluded.event_count, first_seen = excluded.first_seen, last_seen = excluded.last_seen, \
             resolved_at = excluded.resolved_at, applied_through = excluded.applied_through",
    )
    .bind::<Array<Text>, _>(column(&rows, |row| row.id.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.org_id.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.project_id.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.environment.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.fingerprint.as_str()))
    .bind::<Array<Integer>, _>(column(&rows, |row| row.generation))
    .bind::<Array<Text>, _>(column(&rows, |row| row.title.as_str()))
    .bind::<Array<Nullable<Text>>, _>(column(&rows, |row| row.error_code.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(column(&rows, |row| row.route.as_deref()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.status.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.severity.as_str()))
    .bind::<Array<BigInt>, _>(column(&rows, |row| row.event_count))
    .bind::<Array<Timestamptz>, _>(column(&rows, |row| row.first_seen))
    .bind::<Array<Timestamptz>, _>(column(&rows, |row| row.last_seen))
    .bind::<Array<Nullable<Timestamptz>>, _>(column(&rows, |row| row.resolved_at))
    .bind::<Array<Nullable<Text>>, _>(column(&rows, |row| row.previous_incident_id.as_deref()))
    .bind::<Array<Integer>, _>(column(&rows, |row| row.partition))
    .bind::<Array<BigInt>, _>(column(&rows, |row| row.applied_through))
    .prepared()
    .execute(connection)
    .await?;
    Ok(())
}
