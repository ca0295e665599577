//! The guards' part of a flush: quarantines, their evidence, and what bounds a project.

use super::CheckpointAdvance;
use crate::prepared::Prepare;
use crate::snapshot::{PoisonRecord, ProjectLimits, QuarantineImage};
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// What the guards of a partition changed since the last cut; absolute values, each key at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Guards {
    /// Quarantines that began, took records or ended.
    pub quarantines: Vec<QuarantineImage>,
    /// Records that killed twice and have not led to a quarantine.
    pub poison: Vec<PoisonRecord>,
    /// Projects whose bounds moved.
    pub limits: Vec<ProjectLimits>,
}

pub(super) async fn write(connection: &AsyncPgConnection, at: &CheckpointAdvance, guards: &Guards) -> QueryResult<()> {
    if !guards.quarantines.is_empty() {
        upsert_quarantines(connection, at, &guards.quarantines).await?;
    }
    if !guards.poison.is_empty() {
        insert_poison(connection, at, &guards.poison).await?;
    }
    if !guards.limits.is_empty() {
        upsert_limits(connection, at, &guards.limits).await?;
    }
    Ok(())
}

/// A quarantine consumes the evidence that led to it.
async fn upsert_quarantines(
    mut connection: &AsyncPgConnection,
    at: &CheckpointAdvance,
    images: &[QuarantineImage],
) -> QueryResult<()> {
    let mut rows: Vec<&QuarantineImage> = images.iter().collect();
    rows.sort_by_key(|row| (&row.project_id, &row.fingerprint));
    let projects: Vec<&str> = rows.iter().map(|row| row.project_id.as_str()).collect();
    let fingerprints: Vec<&str> = rows.iter().map(|row| row.fingerprint.as_str()).collect();
    diesel::sql_query(
        "INSERT INTO quarantine AS q (topic, partition, project_id, fingerprint, reason, records, since_at, lifted_at, \
             lifted_by) \
         SELECT $1, $2, d.* FROM unnest($3::text[], $4::text[], $5::text[], $6::bigint[], $7::timestamptz[], \
             $8::timestamptz[], $9::text[]) AS d \
         ON CONFLICT (project_id, fingerprint) DO UPDATE SET topic = excluded.topic, partition = excluded.partition, \
             reason = excluded.reason, records = excluded.records, since_at = excluded.since_at, \
             lifted_at = excluded.lifted_at, lifted_by = excluded.lifted_by",
    )
    .bind::<Text, _>(&at.topic)
    .bind::<Integer, _>(at.partition)
    .bind::<Array<Text>, _>(&projects)
    .bind::<Array<Text>, _>(&fingerprints)
    .bind::<Array<Text>, _>(rows.iter().map(|row| row.reason.as_str()).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.records).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows.iter().map(|row| row.since_at).collect::<Vec<_>>())
    .bind::<Array<Nullable<Timestamptz>>, _>(rows.iter().map(|row| row.lifted_at).collect::<Vec<_>>())
    .bind::<Array<Nullable<Text>>, _>(rows.iter().map(|row| row.lifted_by.as_deref()).collect::<Vec<_>>())
    .prepared()
    .execute(&mut connection)
    .await?;
    diesel::sql_query(
        "DELETE FROM poison_records p USING unnest($3::text[], $4::text[]) AS d (project_id, fingerprint) \
         WHERE p.topic = $1 AND p.partition = $2 AND p.project_id = d.project_id AND p.fingerprint = d.fingerprint",
    )
    .bind::<Text, _>(&at.topic)
    .bind::<Integer, _>(at.partition)
    .bind::<Array<Text>, _>(&projects)
    .bind::<Array<Text>, _>(&fingerprints)
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

async fn insert_poison(
    mut connection: &AsyncPgConnection,
    at: &CheckpointAdvance,
    rows: &[PoisonRecord],
) -> QueryResult<()> {
    diesel::sql_query(
        "INSERT INTO poison_records (topic, partition, log_offset, project_id, fingerprint, received_at) \
         SELECT $1, $2, d.* FROM unnest($3::bigint[], $4::text[], $5::text[], $6::timestamptz[]) AS d \
         ON CONFLICT DO NOTHING",
    )
    .bind::<Text, _>(&at.topic)
    .bind::<Integer, _>(at.partition)
    .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.log_offset).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rows.iter().map(|row| row.project_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Text>, _>(rows.iter().map(|row| row.fingerprint.as_str()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows.iter().map(|row| row.received_at).collect::<Vec<_>>())
    .prepared()
    .execute(&mut connection)
    .await?;
    // Older than the log keeps a record: no quarantine comes of it any more.
    diesel::sql_query(
        "DELETE FROM poison_records WHERE topic = $1 AND partition = $2 AND received_at < $3 - interval '7 days'",
    )
    .bind::<Text, _>(&at.topic)
    .bind::<Integer, _>(at.partition)
    .bind::<Nullable<Timestamptz>, _>(rows.iter().map(|row| row.received_at).max())
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

async fn upsert_limits(
    mut connection: &AsyncPgConnection,
    at: &CheckpointAdvance,
    limits: &[ProjectLimits],
) -> QueryResult<()> {
    let mut rows: Vec<&ProjectLimits> = limits.iter().collect();
    rows.sort_by_key(|row| &row.project_id);
    // An array of arrays must be rectangular, so each list of names travels as JSON.
    let environments: Vec<serde_json::Value> = rows.iter().map(|row| row.environments.as_slice().into()).collect();
    diesel::sql_query(
        "INSERT INTO project_limits (topic, partition, project_id, window_start, newcomers, environments) \
         SELECT $1, $2, p, w, n, ARRAY(SELECT jsonb_array_elements_text(e)) \
         FROM unnest($3::text[], $4::timestamptz[], $5::bigint[], $6::jsonb[]) AS d (p, w, n, e) \
         ON CONFLICT (project_id, topic, partition) DO UPDATE SET window_start = excluded.window_start, \
             newcomers = excluded.newcomers, environments = excluded.environments",
    )
    .bind::<Text, _>(&at.topic)
    .bind::<Integer, _>(at.partition)
    .bind::<Array<Text>, _>(rows.iter().map(|row| row.project_id.as_str()).collect::<Vec<_>>())
    .bind::<Array<Timestamptz>, _>(rows.iter().map(|row| row.window_start).collect::<Vec<_>>())
    .bind::<Array<BigInt>, _>(rows.iter().map(|row| row.newcomers).collect::<Vec<_>>())
    .bind::<Array<diesel::sql_types::Jsonb>, _>(environments)
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}
