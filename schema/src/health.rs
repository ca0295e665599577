//! Whether the database answers.

use diesel::QueryResult;
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// One round trip.
///
/// # Errors
/// The database's.
pub async fn ping(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    diesel::sql_query("SELECT 1").execute(connection).await?;
    Ok(())
}
