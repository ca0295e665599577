//! What became of a command.

use diesel::sql_types::{Bool, Text};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// The engine's answer to a command.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct OutcomeRow {
    /// Whether the incident changed.
    #[diesel(sql_type = Bool)]
    pub applied: bool,
    /// Why not, or the new state.
    #[diesel(sql_type = Text)]
    pub detail: String,
}

/// The outcome, once the engine's transaction that holds it is durable. What the command did to the incident is
/// in the same transaction.
///
/// # Errors
/// The database's.
pub async fn outcome(connection: &mut AsyncPgConnection, command_id: &str) -> QueryResult<Option<OutcomeRow>> {
    diesel::sql_query("SELECT applied, detail FROM command_outcomes WHERE command_id = $1")
        .bind::<Text, _>(command_id)
        .get_result(connection)
        .await
        .optional()
}
