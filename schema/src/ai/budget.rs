//! What may be spent, and what was. Counted durably, across all workers.

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

/// Workers that reserve at the same time do it one after the other, or they would overspend together.
const LOCK: i64 = 0x5349_474e_414c_5360;

/// Tokens that may be spent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// By all incidents together on one day (UTC).
    pub per_day: i64,
    /// By one incident in its life.
    pub per_incident: i64,
}

/// Which allowance is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The day's.
    Day,
    /// The incident's.
    Incident,
}

#[derive(diesel::QueryableByName)]
struct Room {
    #[diesel(sql_type = Bool)]
    in_day: bool,
    #[diesel(sql_type = Bool)]
    in_incident: bool,
}

/// Enters what a call may cost, if both allowances have room for it.
///
/// # Errors
/// The database's.
pub async fn reserve(
    connection: &mut AsyncPgConnection,
    incident_id: &str,
    tokens: i64,
    allowance: Allowance,
) -> QueryResult<Result<(), Refused>> {
    connection
        .transaction(async |connection| {
            diesel::sql_query("SELECT pg_advisory_xact_lock($1)").bind::<BigInt, _>(LOCK).execute(connection).await?;
            let room: Room = diesel::sql_query(
                "SELECT coalesce((SELECT sum(tokens) FROM ai_spend WHERE day = (now() AT TIME ZONE 'UTC')::date), 0) \
                            + $2 <= $3 AS in_day, \
                        coalesce((SELECT sum(tokens) FROM ai_spend WHERE incident_id = $1), 0) + $2 <= $4 AS in_incident",
            )
            .bind::<Text, _>(incident_id)
            .bind::<BigInt, _>(tokens)
            .bind::<BigInt, _>(allowance.per_day)
            .bind::<BigInt, _>(allowance.per_incident)
            .get_result(connection)
            .await?;
            if !room.in_day || !room.in_incident {
                return Ok(Err(if room.in_incident { Refused::Day } else { Refused::Incident }));
            }
            enter(connection, incident_id, 1, tokens).await?;
            Ok(Ok(()))
        })
        .await
}

/// Corrects a reservation to what the call has cost: `difference` is cost minus reservation.
///
/// # Errors
/// The database's.
pub async fn settle(connection: &mut AsyncPgConnection, incident_id: &str, difference: i64) -> QueryResult<()> {
    enter(connection, incident_id, 0, difference).await
}

async fn enter(connection: &mut AsyncPgConnection, incident_id: &str, calls: i64, tokens: i64) -> QueryResult<()> {
    diesel::sql_query(
        "INSERT INTO ai_spend AS s (incident_id, day, calls, tokens) \
         VALUES ($1, (now() AT TIME ZONE 'UTC')::date, $2, $3) \
         ON CONFLICT (incident_id, day) DO UPDATE SET calls = s.calls + excluded.calls, \
             tokens = s.tokens + excluded.tokens",
    )
    .bind::<Text, _>(incident_id)
    .bind::<BigInt, _>(calls)
    .bind::<BigInt, _>(tokens)
    .execute(connection)
    .await?;
    Ok(())
}

/// Tokens spent or reserved today (UTC), by all incidents.
///
/// # Errors
/// The database's.
pub async fn spent_today(connection: &mut AsyncPgConnection) -> QueryResult<i64> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = BigInt)]
        tokens: i64,
    }
    let row: Row = diesel::sql_query(
        "SELECT coalesce(sum(tokens), 0)::bigint AS tokens FROM ai_spend WHERE day = (now() AT TIME ZONE 'UTC')::date",
    )
    .get_result(connection)
    .await?;
    Ok(row.tokens)
}
