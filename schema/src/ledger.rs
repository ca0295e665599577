//! The ledger (G6): what went into the log, as ingest counted it, against what became of it, as the engine counted it.
//!
//! accepted = counted + duplicate + dead-lettered + dropped(reason) + in flight, for each project.
//!
//! An event is accepted once however often it is handled: one that is put back out of the dead letters moves from
//! `dead_lettered` to its new outcome in the transaction that contains it. Commands are in no line.

use crate::prepared::Prepare;
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Bool, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::collections::BTreeMap;

/// What one ingest process has seen acknowledged for one project since it started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Project.
    pub project_id: String,
    /// Events, cumulative.
    pub accepted: i64,
}

/// Replaces this process's reports. `is_last` says that it ends in order and no more will come.
///
/// # Errors
/// The database's; the same reports may be written again.
pub async fn report(
    connection: &mut AsyncPgConnection,
    instance_id: &str,
    reports: &[Report],
    is_last: bool,
) -> QueryResult<()> {
    let projects: Vec<&str> = reports.iter().map(|report| report.project_id.as_str()).collect();
    let accepted: Vec<i64> = reports.iter().map(|report| report.accepted).collect();
    diesel::sql_query(
        "INSERT INTO ingest_reports AS r (instance_id, project_id, accepted, closed_at) \
         SELECT $1, p, a, CASE WHEN $4 THEN now() END FROM unnest($2::text[], $3::bigint[]) AS d (p, a) ORDER BY p \
         ON CONFLICT (project_id, instance_id) DO UPDATE \
         SET accepted = greatest(r.accepted, excluded.accepted), reported_at = now(), closed_at = excluded.closed_at",
    )
    .bind::<Text, _>(instance_id)
    .bind::<Array<Text>, _>(projects)
    .bind::<Array<BigInt>, _>(accepted)
    .bind::<Bool, _>(is_last)
    .prepared()
    .execute(connection)
    .await?;
    Ok(())
}

/// One ingest process's last word.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct IngestRow {
    /// The process.
    #[diesel(sql_type = Text)]
    pub instance_id: String,
    /// Events acknowledged.
    #[diesel(sql_type = BigInt)]
    pub accepted: i64,
    /// When it said so.
    #[diesel(sql_type = Timestamptz)]
    pub reported_at: DateTime<Utc>,
    /// When it ended in order.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub closed_at: Option<DateTime<Utc>>,
}

/// Both sides of one project's ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sides {
    /// Ingest's side.
    pub ingest: Vec<IngestRow>,
    /// The engine's side: events by outcome.
    pub outcomes: BTreeMap<String, i64>,
}

#[derive(diesel::QueryableByName)]
struct OutcomeRow {
    #[diesel(sql_type = Text)]
    outcome: String,
    #[diesel(sql_type = BigInt)]
    events: i64,
}

/// Reads both sides. Outcomes first: then an event that is on its way meanwhile shows as in flight, never as too many.
///
/// # Errors
/// The database's.
pub async fn sides(connection: &mut AsyncPgConnection, project_id: &str) -> QueryResult<Sides> {
    let rows: Vec<OutcomeRow> = diesel::sql_query(
        "SELECT outcome, sum(events)::bigint AS events FROM ledger WHERE project_id = $1 GROUP BY outcome",
    )
    .bind::<Text, _>(project_id)
    .prepared()
    .load(connection)
    .await?;
    let ingest = diesel::sql_query(
        "SELECT instance_id, accepted, reported_at, closed_at FROM ingest_reports WHERE project_id = $1 \
         ORDER BY reported_at DESC, instance_id",
    )
    .bind::<Text, _>(project_id)
    .prepared()
    .load(connection)
    .await?;
    Ok(Sides { ingest, outcomes: rows.into_iter().map(|row| (row.outcome, row.events)).collect() })
}
