//! Up to which moment the tables are complete (G8).

use crate::names::{ENGINE_GROUP, RAW_TOPIC};
use crate::prepared::Prepare;
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    complete_until: Option<DateTime<Utc>>,
}

/// Received time up to which every event is in the tables: that of the slowest partition. A partition is as fresh as its
/// last record, or as the moment when its owner last saw that nothing more was in the log. None as long as there is a
/// partition of which neither is known.
///
/// An event is received before the log has it, so one on its way there at that moment can be missing. What was answered with
/// 202 before that moment is not.
///
/// # Errors
/// The database's.
pub async fn complete_until(connection: &mut AsyncPgConnection) -> QueryResult<Option<DateTime<Utc>>> {
    let row: Row = diesel::sql_query(
        "SELECT CASE WHEN count(*) = count(until) THEN min(until) END AS complete_until \
         FROM (SELECT CASE WHEN next_offset < high_watermark THEN coalesce(complete_until, caught_up_at) \
                           ELSE greatest(complete_until, caught_up_at) END AS until \
               FROM partition_checkpoints WHERE consumer_group = $1 AND topic = $2) AS partitions",
    )
    .bind::<Text, _>(ENGINE_GROUP)
    .bind::<Text, _>(RAW_TOPIC)
    .prepared()
    .get_result(connection)
    .await?;
    Ok(row.complete_until)
}

/// What the owner of a partition saw of the log's end.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting<'a> {
    /// Consumer group.
    pub group: &'a str,
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// The owner's fencing token.
    pub epoch: i64,
    /// The log's end.
    pub high_watermark: i64,
    /// Seconds since the log was asked.
    pub age: f64,
}

/// Notes the log's end, and the moment if the tables had reached it. What was seen of the log replaces what a flush
/// supposed: one that did not know whether more was coming supposes one record more. An owner of the past changes nothing.
///
/// # Errors
/// The database's.
pub async fn note(connection: &mut AsyncPgConnection, seen: &Sighting<'_>) -> QueryResult<()> {
    diesel::sql_query(
        "UPDATE partition_checkpoints SET high_watermark = greatest(next_offset, $1), \
                caught_up_at = CASE WHEN next_offset >= $1 THEN now() - make_interval(secs => $2) ELSE caught_up_at END \
         WHERE consumer_group = $3 AND topic = $4 AND partition = $5 AND epoch = $6",
    )
    .bind::<BigInt, _>(seen.high_watermark)
    .bind::<Double, _>(seen.age)
    .bind::<Text, _>(seen.group)
    .bind::<Text, _>(seen.topic)
    .bind::<Integer, _>(seen.partition)
    .bind::<BigInt, _>(seen.epoch)
    .prepared()
    .execute(connection)
    .await?;
    Ok(())
}
