//! How far a partition is durable, and whose it is.

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

/// What a new owner of a partition learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct Tenure {
    /// First offset that no transaction contains yet.
    #[diesel(sql_type = BigInt)]
    pub next_offset: i64,
    /// Fencing token: grows with each owner.
    #[diesel(sql_type = BigInt)]
    pub epoch: i64,
    /// Received time of the newest event that a transaction contains.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub complete_until: Option<DateTime<Utc>>,
}

/// Takes the partition over. From now on no flush of an earlier owner can commit; one that is just
/// committing is waited for.
///
/// # Errors
/// The database's.
pub async fn claim(
    connection: &mut AsyncPgConnection,
    group: &str,
    topic: &str,
    partition: i32,
) -> QueryResult<Tenure> {
    diesel::sql_query(
        "INSERT INTO partition_checkpoints AS c (consumer_group, topic, partition, next_offset, epoch) \
         VALUES ($1, $2, $3, 0, 1) \
         ON CONFLICT (consumer_group, topic, partition) \
         DO UPDATE SET epoch = c.epoch + 1, updated_at = now() \
         RETURNING next_offset, epoch, complete_until",
    )
    .bind::<Text, _>(group)
    .bind::<Text, _>(topic)
    .bind::<Integer, _>(partition)
    .get_result(connection)
    .await
}

/// A checkpoint that points beyond the log's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rewind<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// The owner's fencing token.
    pub epoch: i64,
    /// The log's end.
    pub from_offset: i64,
    /// The checkpoint that it should have reached.
    pub checkpoint: i64,
    /// Where reading begins again.
    pub restart_at: i64,
    /// What became of the log, in words.
    pub reason: &'a str,
}

/// Moves the checkpoint back to where the log goes on, and records the gap, in one transaction.
///
/// # Errors
/// The database's; `NotFound` if the partition has another owner.
pub async fn rewind(connection: &mut AsyncPgConnection, rewind: &Rewind<'_>) -> QueryResult<()> {
    connection
        .transaction(async |connection| {
            let moved = diesel::sql_query(
                "UPDATE partition_checkpoints SET next_offset = $1, updated_at = now() \
                 WHERE consumer_group = $2 AND topic = $3 AND partition = $4 AND epoch = $5",
            )
            .bind::<BigInt, _>(rewind.restart_at)
            .bind::<Text, _>(rewind.group)
            .bind::<Text, _>(rewind.topic)
            .bind::<Integer, _>(rewind.partition)
            .bind::<BigInt, _>(rewind.epoch)
            .execute(connection)
            .await?;
            if moved == 0 {
                return Err(diesel::result::Error::NotFound);
            }
            diesel::sql_query(
                "INSERT INTO log_gaps (topic, partition, from_offset, to_offset, reason) \
                 VALUES ($1, $2, $3, $4, $5) \
                 ON CONFLICT (topic, partition, from_offset) DO UPDATE SET to_offset = greatest(log_gaps.to_offset, \
                     excluded.to_offset), reason = excluded.reason, detected_at = now()",
            )
            .bind::<Text, _>(rewind.topic)
            .bind::<Integer, _>(rewind.partition)
            .bind::<BigInt, _>(rewind.from_offset)
            .bind::<BigInt, _>(rewind.checkpoint)
            .bind::<Text, _>(rewind.reason)
            .execute(connection)
            .await?;
            Ok(())
        })
        .await
}

/// Reads a checkpoint without touching it; none if nobody ever owned the partition.
///
/// # Errors
/// The database's.
pub async fn read(
    connection: &mut AsyncPgConnection,
    group: &str,
    topic: &str,
    partition: i32,
) -> QueryResult<Option<Tenure>> {
    use diesel::OptionalExtension;
    diesel::sql_query(
        "SELECT next_offset, epoch, complete_until FROM partition_checkpoints \
         WHERE consumer_group = $1 AND topic = $2 AND partition = $3",
    )
    .bind::<Text, _>(group)
    .bind::<Text, _>(topic)
    .bind::<Integer, _>(partition)
    .get_result(connection)
    .await
    .optional()
}
