//! Up to which moment the tables are complete.

use crate::names::{ENGINE_GROUP, RAW_TOPIC};
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Nullable<Timestamptz>)]
    complete_until: Option<DateTime<Utc>>,
}

/// Received time up to which every event is in the tables: that of the slowest partition which is behind the
/// log's end, else that of the last record of all. None before the first record.
///
/// # Errors
/// The database's.
pub async fn complete_until(connection: &mut AsyncPgConnection) -> QueryResult<Option<DateTime<Utc>>> {
    let row: Row = diesel::sql_query(
        "SELECT coalesce(min(complete_until) FILTER (WHERE next_offset < high_watermark), max(complete_until)) \
             AS complete_until \
         FROM partition_checkpoints WHERE consumer_group = $1 AND topic = $2",
    )
    .bind::<Text, _>(ENGINE_GROUP)
    .bind::<Text, _>(RAW_TOPIC)
    .get_result(connection)
    .await?;
    Ok(row.complete_until)
}
