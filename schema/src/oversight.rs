//! What the database knows of the engine, whichever process it runs in: for the operator's view.

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// How far one partition is.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct PartitionRow {
    /// Topic.
    #[diesel(sql_type = Text)]
    pub topic: String,
    /// Partition.
    #[diesel(sql_type = Integer)]
    pub partition: i32,
    /// First offset that no transaction contains.
    #[diesel(sql_type = BigInt)]
    pub next_offset: i64,
    /// Fencing token of the present owner.
    #[diesel(sql_type = BigInt)]
    pub epoch: i64,
    /// Received time of the last record contained.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub complete_until: Option<DateTime<Utc>>,
    /// The log's end as the owner last saw it.
    #[diesel(sql_type = BigInt)]
    pub high_watermark: i64,
    /// When the owner last saw that nothing more was in the log.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub caught_up_at: Option<DateTime<Utc>>,
    /// When the checkpoint last moved or changed hands.
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// A hole in the log.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct GapRow {
    /// Topic.
    #[diesel(sql_type = Text)]
    pub topic: String,
    /// Partition.
    #[diesel(sql_type = Integer)]
    pub partition: i32,
    /// First offset that was not there.
    #[diesel(sql_type = BigInt)]
    pub from_offset: i64,
    /// First offset that was there again.
    #[diesel(sql_type = BigInt)]
    pub to_offset: i64,
    /// Why.
    #[diesel(sql_type = Text)]
    pub reason: String,
    /// When it was met.
    #[diesel(sql_type = Timestamptz)]
    pub detected_at: DateTime<Utc>,
}

/// A fingerprint whose records go to the dead letters.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct QuarantinedRow {
    /// Project.
    #[diesel(sql_type = Text)]
    pub project_id: String,
    /// Fingerprint.
    #[diesel(sql_type = Text)]
    pub fingerprint: String,
    /// Why.
    #[diesel(sql_type = Text)]
    pub reason: String,
    /// Records that went to the dead letters because of it.
    #[diesel(sql_type = BigInt)]
    pub records: i64,
    /// Since when.
    #[diesel(sql_type = Timestamptz)]
    pub since_at: DateTime<Utc>,
}

/// Some rows of a table, and what there is in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Excerpt<R> {
    /// The newest rows.
    pub rows: Vec<R>,
    /// All rows.
    pub total: i64,
    /// Records of the log that all rows stand for.
    pub records: i64,
}

#[derive(diesel::QueryableByName)]
struct Sums {
    #[diesel(sql_type = BigInt)]
    total: i64,
    #[diesel(sql_type = BigInt)]
    records: i64,
}

/// Every partition of a group's topic, in order.
///
/// # Errors
/// The database's.
pub async fn partitions(
    connection: &mut AsyncPgConnection,
    group: &str,
    topic: &str,
) -> QueryResult<Vec<PartitionRow>> {
    diesel::sql_query(
        "SELECT topic, partition, next_offset, epoch, complete_until, high_watermark, caught_up_at, updated_at \
         FROM partition_checkpoints WHERE consumer_group = $1 AND topic = $2 ORDER BY partition",
    )
    .bind::<Text, _>(group)
    .bind::<Text, _>(topic)
    .load(connection)
    .await
}

/// The holes of a topic, the newest first.
///
/// # Errors
/// The database's.
pub async fn gaps(connection: &mut AsyncPgConnection, topic: &str, limit: i64) -> QueryResult<Excerpt<GapRow>> {
    let rows = diesel::sql_query(
        "SELECT topic, partition, from_offset, to_offset, reason, detected_at FROM log_gaps WHERE topic = $1 \
         ORDER BY detected_at DESC, partition, from_offset LIMIT $2",
    )
    .bind::<Text, _>(topic)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    let sums: Sums = diesel::sql_query(
        "SELECT count(*) AS total, coalesce(sum(to_offset - from_offset), 0)::bigint AS records \
         FROM log_gaps WHERE topic = $1",
    )
    .bind::<Text, _>(topic)
    .get_result(connection)
    .await?;
    Ok(Excerpt { rows, total: sums.total, records: sums.records })
}

/// The fingerprints in quarantine now, of a project or of all, the newest first.
///
/// # Errors
/// The database's.
pub async fn quarantined(
    connection: &mut AsyncPgConnection,
    project_id: Option<&str>,
    limit: i64,
) -> QueryResult<Excerpt<QuarantinedRow>> {
    let rows = diesel::sql_query(
        "SELECT project_id, fingerprint, reason, records, since_at FROM quarantine \
         WHERE lifted_at IS NULL AND ($1 IS NULL OR project_id = $1) \
         ORDER BY since_at DESC, project_id, fingerprint LIMIT $2",
    )
    .bind::<Nullable<Text>, _>(project_id)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    let sums: Sums = diesel::sql_query(
        "SELECT count(*) AS total, coalesce(sum(records), 0)::bigint AS records FROM quarantine \
         WHERE lifted_at IS NULL AND ($1 IS NULL OR project_id = $1)",
    )
    .bind::<Nullable<Text>, _>(project_id)
    .get_result(connection)
    .await?;
    Ok(Excerpt { rows, total: sums.total, records: sums.records })
}
