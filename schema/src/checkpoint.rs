//! How far a partition is durable, and whose it is.

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// What a new owner of a partition learns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct Tenure {
    /// First offset that no transaction contains yet.
    #[diesel(sql_type = BigInt)]
    pub next_offset: i64,
    /// Fencing token: grows with each owner.
    #[diesel(sql_type = BigInt)]
    pub epoch: i64,
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
         RETURNING next_offset, epoch",
    )
    .bind::<Text, _>(group)
    .bind::<Text, _>(topic)
    .bind::<Integer, _>(partition)
    .get_result(connection)
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
        "SELECT next_offset, epoch FROM partition_checkpoints \
         WHERE consumer_group = $1 AND topic = $2 AND partition = $3",
    )
    .bind::<Text, _>(group)
    .bind::<Text, _>(topic)
    .bind::<Integer, _>(partition)
    .get_result(connection)
    .await
    .optional()
}
