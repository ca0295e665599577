//! The statements of a flush: `unnest` upserts, rows sorted by key so that two flushes never deadlock.

use super::{CheckpointAdvance, SAMPLES_KEPT};
use crate::prepared::Prepare;
use crate::snapshot::{BucketDelta, Cause, CommandOutcome, IncidentSnapshot, LedgerDelta, LogGap, Sample, Transition};
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Bool, Integer, Nullable, SmallInt, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

pub(super) fn column<'a, R, T>(rows: &'a [R], get: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(get).collect()
}

pub(super) fn sorted<'a, R, K: Ord>(rows: &'a [R], key: impl Fn(&&'a R) -> K) -> Vec<&'a R> {
    let mut rows: Vec<&R> = rows.iter().collect();
    rows.sort_by_key(key);
    rows
}

/// False if the row is not as the batch expects.
pub(super) async fn advance_checkpoint(
    connection: &mut AsyncPgConnection,
    advance: &CheckpointAdvance,
) -> QueryResult<bool> {
    let moved = diesel::sql_query(
        "UPDATE partition_checkpoints SET next_offset = $1, complete_until = greatest(complete_until, $2), \
                high_watermark = $3, updated_at = now() \
         WHERE consumer_group = $4 AND topic = $5 AND partition = $6 AND next_offset = $7 AND epoch = $8",
    )
    .bind::<BigInt, _>(advance.next_offset)
    .bind::<Nullable<Timestamptz>, _>(advance.complete_until)
    .bind::<BigInt, _>(advance.high_watermark)
    .bind::<Text, _>(&advance.group)
    .bind::<Text, _>(&advance.topic)
    .bind::<Integer, _>(advance.partition)
    .bind::<BigInt, _>(advance.from_offset)
    .bind::<BigInt, _>(advance.epoch)
    .prepared()
    .execute(connection)
    .await?;
    Ok(moved == 1)
}

fn slot(ordinal: i64) -> i16 {
    i16::try_from(ordinal.rem_euclid(SAMPLES_KEPT)).unwrap_or(0)
}

pub(super) async fn upsert_samples(mut connection: &AsyncPgConnection, samples: &[Sample]) -> QueryResult<()> {
    if samples.is_empty() {
        return Ok(());
    }
    let rows = sorted(samples, |row| (row.incident_id.as_str(), slot(row.ordinal)));
    diesel::sql_query(
        "INSERT INTO incident_events AS e (incident_id, slot, ordinal, event_id, occurred_at, received_at, event_type, \
             severity, message, attributes, log_offset) \
         SELECT a, b, c, d, f, g, h, i, j, k::json, l FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::text[], \
             $5::timestamptz[], $6::timestamptz[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[]) \
             AS s (a, b, c, d, f, g, h, i, j, k, l) \
         ON CONFLICT (incident_id, slot) DO UPDATE SET ordinal = excluded.ordinal, event_id = excluded.event_id, \
             occurred_at = excluded.occurred_at, received_at = excluded.received_at, event_type = excluded.event_type, \
             severity = excluded.severity, message = excluded.message, attributes = excluded.attributes, \
             log_offset = excluded.log_offset",
    )
    .bind::<Array<Text>, _>(column(&rows, |row| row.incident_id.as_str()))
    .bind::<Array<SmallInt>, _>(column(&rows, |row| slot(row.ordinal)))
    .bind::<Array<BigInt>, _>(column(&rows, |row| row.ordinal))
    .bind::<Array<Text>, _>(column(&rows, |row| row.event_id.as_str()))
    .bind::<Array<Timestamptz>, _>(column(&rows, |row| row.occurred_at))
    .bind::<Array<Timestamptz>, _>(column(&rows, |row| row.received_at))
    .bind::<Array<Text>, _>(column(&rows, |row| row.event_type.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.severity.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.message.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.attributes.as_str()))
    .bind::<Array<BigInt>, _>(column(&rows, |row| row.log_offset))
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_transitions(mut connection: &AsyncPgConnection, steps: &[Transition]) -> QueryResult<()> {
    if steps.is_empty() {
        return Ok(());
    }
    let cause = |row: &Transition| match &row.cause {
        Cause::Event { event_id } => ("event", Some(event_id.clone()), None, None),
        Cause::Command { command_id, principal } => {
            ("command", None, Some(command_id.clone()), Some(principal.clone()))
        }
    };
    let causes: Vec<_> = steps.iter().map(cause).collect();
    diesel::sql_query(
        "INSERT INTO incident_transitions (incident_id, log_offset, from_status, to_status, cause, event_id, \
             command_id, principal, occurred_at) \
         SELECT * FROM unnest($1::text[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], \
             $8::text[], $9::timestamptz[]) ON CONFLICT DO NOTHING",
    )
    .bind::<Array<Text>, _>(column(steps, |row| row.incident_id.as_str()))
    .bind::<Array<BigInt>, _>(column(steps, |row| row.log_offset))
    .bind::<Array<Nullable<Text>>, _>(column(steps, |row| row.from_status.map(|status| status.as_str())))
    .bind::<Array<Text>, _>(column(steps, |row| row.to_status.as_str()))
    .bind::<Array<Text>, _>(column(&causes, |row| row.0))
    .bind::<Array<Nullable<Text>>, _>(column(&causes, |row| row.1.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(column(&causes, |row| row.2.as_deref()))
    .bind::<Array<Nullable<Text>>, _>(column(&causes, |row| row.3.as_deref()))
    .bind::<Array<Timestamptz>, _>(column(steps, |row| row.occurred_at))
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_outcomes(mut connection: &AsyncPgConnection, rows: &[CommandOutcome]) -> QueryResult<()> {
    if rows.is_empty() {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO command_outcomes (command_id, incident_id, applied, detail, occurred_at) \
         SELECT * FROM unnest($1::text[], $2::text[], $3::bool[], $4::text[], $5::timestamptz[]) \
         ON CONFLICT DO NOTHING",
    )
    .bind::<Array<Text>, _>(column(rows, |row| row.command_id.as_str()))
    .bind::<Array<Text>, _>(column(rows, |row| row.incident_id.as_str()))
    .bind::<Array<Bool>, _>(column(rows, |row| row.applied))
    .bind::<Array<Text>, _>(column(rows, |row| row.detail.as_str()))
    .bind::<Array<Timestamptz>, _>(column(rows, |row| row.occurred_at))
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

pub(super) async fn add_to_buckets(mut connection: &AsyncPgConnection, buckets: &[BucketDelta]) -> QueryResult<()> {
    if buckets.is_empty() {
        return Ok(());
    }
    let rows =
        sorted(buckets, |row| (row.project_id.as_str(), row.metric_name, row.environment.as_str(), row.bucket_time));
    let times: Vec<DateTime<Utc>> = column(&rows, |row| row.bucket_time);
    diesel::sql_query(
        "INSERT INTO metrics_bucket AS b (bucket_time, metric_name, value, project_id, environment) \
         SELECT * FROM unnest($1::timestamptz[], $2::text[], $3::bigint[], $4::text[], $5::text[]) \
         ON CONFLICT (project_id, fingerprint, metric_name, environment, bucket_time) \
         DO UPDATE SET value = b.value + excluded.value",
    )
    .bind::<Array<Timestamptz>, _>(times)
    .bind::<Array<Text>, _>(column(&rows, |row| row.metric_name))
    .bind::<Array<BigInt>, _>(column(&rows, |row| row.value))
    .bind::<Array<Text>, _>(column(&rows, |row| row.project_id.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.environment.as_str()))
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

pub(super) async fn add_to_ledger(
    mut connection: &AsyncPgConnection,
    at: &CheckpointAdvance,
    ledger: &[LedgerDelta],
) -> QueryResult<()> {
    if ledger.is_empty() {
        return Ok(());
    }
    let rows = sorted(ledger, |row| (row.project_id.as_str(), row.outcome));
    diesel::sql_query(
        "INSERT INTO ledger AS l (project_id, topic, partition, outcome, events) \
         SELECT p, $1, $2, o, e FROM unnest($3::text[], $4::text[], $5::bigint[]) AS d (p, o, e) \
         ON CONFLICT (project_id, topic, partition, outcome) DO UPDATE SET events = l.events + excluded.events",
    )
    .bind::<Text, _>(&at.topic)
    .bind::<Integer, _>(at.partition)
    .bind::<Array<Text>, _>(column(&rows, |row| row.project_id.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |row| row.outcome))
    .bind::<Array<BigInt>, _>(column(&rows, |row| row.events))
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

pub(super) async fn queue_jobs(mut connection: &AsyncPgConnection, opened: &[IncidentSnapshot]) -> QueryResult<()> {
    if opened.is_empty() {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO ai_jobs (id, incident_id, project_id, job_type) \
         SELECT 'summarize:' || i, i, p, 'summarize' FROM unnest($1::text[], $2::text[]) AS d (i, p) \
         ON CONFLICT DO NOTHING",
    )
    .bind::<Array<Text>, _>(column(opened, |row| row.id.as_str()))
    .bind::<Array<Text>, _>(column(opened, |row| row.project_id.as_str()))
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

pub(super) async fn insert_gaps(
    mut connection: &AsyncPgConnection,
    at: &CheckpointAdvance,
    gaps: &[LogGap],
) -> QueryResult<()> {
    for gap in gaps {
        diesel::sql_query(
            "INSERT INTO log_gaps (topic, partition, from_offset, to_offset, reason) \
             VALUES ($1, $2, $3, $4, 'the log no longer held these offsets') \
             ON CONFLICT (topic, partition, from_offset) DO UPDATE SET to_offset = greatest(log_gaps.to_offset, \
                 excluded.to_offset), reason = excluded.reason, detected_at = now()",
        )
        .bind::<Text, _>(&at.topic)
        .bind::<Integer, _>(at.partition)
        .bind::<BigInt, _>(gap.from_offset)
        .bind::<BigInt, _>(gap.to_offset)
        .prepared()
        .execute(&mut connection)
        .await?;
    }
    Ok(())
}
