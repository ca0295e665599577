//! Quarantined fingerprints: what a new owner of their partition must know, and what a person is shown.

use crate::snapshot::{PoisonRecord, QuarantineImage};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// One quarantine.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct QuarantineRow {
    /// Project.
    #[diesel(sql_type = Text)]
    pub project_id: String,
    /// 64 hex digits.
    #[diesel(sql_type = Text)]
    pub fingerprint: String,
    /// Why.
    #[diesel(sql_type = Text)]
    pub reason: String,
    /// Records that went to the dead letters because of it.
    #[diesel(sql_type = BigInt)]
    pub records: i64,
    /// Received time of the record that brought it about.
    #[diesel(sql_type = Timestamptz)]
    pub since_at: DateTime<Utc>,
    /// Received time of the record that ended it.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub lifted_at: Option<DateTime<Utc>>,
    /// Who ended it.
    #[diesel(sql_type = Nullable<Text>)]
    pub lifted_by: Option<String>,
}

#[derive(diesel::QueryableByName)]
struct PoisonRow {
    #[diesel(sql_type = BigInt)]
    log_offset: i64,
    #[diesel(sql_type = Text)]
    project_id: String,
    #[diesel(sql_type = Text)]
    fingerprint: String,
    #[diesel(sql_type = Timestamptz)]
    received_at: DateTime<Utc>,
}

/// What the owner of a partition knew when it last flushed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recalled {
    /// Quarantines that are not lifted.
    pub active: Vec<QuarantineImage>,
    /// Evidence that has not led to one, not older than the period.
    pub poison: Vec<PoisonRecord>,
}

/// Reads it.
///
/// # Errors
/// The database's.
pub async fn recall(
    connection: &mut AsyncPgConnection,
    topic: &str,
    partition: i32,
    period: TimeDelta,
) -> QueryResult<Recalled> {
    let active: Vec<QuarantineRow> = diesel::sql_query(
        "SELECT project_id, fingerprint, reason, records, since_at, lifted_at, lifted_by FROM quarantine \
         WHERE topic = $1 AND partition = $2 AND lifted_at IS NULL",
    )
    .bind::<Text, _>(topic)
    .bind::<Integer, _>(partition)
    .load(connection)
    .await?;
    let poison: Vec<PoisonRow> = diesel::sql_query(
        "SELECT log_offset, project_id, fingerprint, received_at FROM poison_records \
         WHERE topic = $1 AND partition = $2 AND received_at >= \
             (SELECT max(received_at) FROM poison_records WHERE topic = $1 AND partition = $2) \
             - make_interval(secs => $3::double precision / 1000) \
         ORDER BY log_offset",
    )
    .bind::<Text, _>(topic)
    .bind::<Integer, _>(partition)
    .bind::<BigInt, _>(period.num_milliseconds())
    .load(connection)
    .await?;
    Ok(Recalled {
        active: active.into_iter().map(QuarantineImage::from).collect(),
        poison: poison.into_iter().map(PoisonRecord::from).collect(),
    })
}

/// The quarantines of a project, or of all; those that are not lifted first, then the newest.
///
/// # Errors
/// The database's.
pub async fn list(
    connection: &mut AsyncPgConnection,
    project_id: Option<&str>,
    with_lifted: bool,
) -> QueryResult<Vec<QuarantineRow>> {
    diesel::sql_query(
        "SELECT project_id, fingerprint, reason, records, since_at, lifted_at, lifted_by FROM quarantine \
         WHERE ($1 IS NULL OR project_id = $1) AND ($2 OR lifted_at IS NULL) \
         ORDER BY (lifted_at IS NULL) DESC, since_at DESC, project_id, fingerprint LIMIT 1000",
    )
    .bind::<Nullable<Text>, _>(project_id)
    .bind::<Bool, _>(with_lifted)
    .load(connection)
    .await
}

/// Some quarantines, and how many there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The rows, in the order of [`list`].
    pub rows: Vec<QuarantineRow>,
    /// All that there are.
    pub total: i64,
}

#[derive(diesel::QueryableByName)]
struct Total {
    #[diesel(sql_type = BigInt)]
    total: i64,
}

/// A page of one project's quarantines: at most `limit` of them behind the first `offset`.
///
/// # Errors
/// The database's.
pub async fn page(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    with_lifted: bool,
    limit: i64,
    offset: i64,
) -> QueryResult<Page> {
    let rows = diesel::sql_query(
        "SELECT project_id, fingerprint, reason, records, since_at, lifted_at, lifted_by FROM quarantine \
         WHERE project_id = $1 AND ($2 OR lifted_at IS NULL) \
         ORDER BY (lifted_at IS NULL) DESC, since_at DESC, fingerprint LIMIT $3 OFFSET $4",
    )
    .bind::<Text, _>(project_id)
    .bind::<Bool, _>(with_lifted)
    .bind::<BigInt, _>(limit)
    .bind::<BigInt, _>(offset)
    .load(connection)
    .await?;
    let total: Total = diesel::sql_query(
        "SELECT count(*) AS total FROM quarantine WHERE project_id = $1 AND ($2 OR lifted_at IS NULL)",
    )
    .bind::<Text, _>(project_id)
    .bind::<Bool, _>(with_lifted)
    .get_result(connection)
    .await?;
    Ok(Page { rows, total: total.total })
}

/// The quarantine of one fingerprint, lifted or not.
///
/// # Errors
/// The database's.
pub async fn find(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    fingerprint: &str,
) -> QueryResult<Option<QuarantineRow>> {
    diesel::sql_query(
        "SELECT project_id, fingerprint, reason, records, since_at, lifted_at, lifted_by FROM quarantine \
         WHERE project_id = $1 AND fingerprint = $2",
    )
    .bind::<Text, _>(project_id)
    .bind::<Text, _>(fingerprint)
    .get_result(connection)
    .await
    .optional()
}

impl From<QuarantineRow> for QuarantineImage {
    fn from(row: QuarantineRow) -> Self {
        Self {
            project_id: row.project_id,
            fingerprint: row.fingerprint,
            reason: row.reason,
            records: row.records,
            since_at: row.since_at,
            lifted_at: row.lifted_at,
            lifted_by: row.lifted_by,
        }
    }
}

impl From<PoisonRow> for PoisonRecord {
    fn from(row: PoisonRow) -> Self {
        Self {
            log_offset: row.log_offset,
            project_id: row.project_id,
            fingerprint: row.fingerprint,
            received_at: row.received_at,
        }
    }
}
