//! Summaries of the past, to be compared with.

use super::{Output, Summary};
use chrono::{DateTime, Utc};
use diesel::result::Error;
use diesel::sql_types::{Integer, Jsonb, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::de::DeserializeOwned;
use serde_json::Value;

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Jsonb)]
    content: Value,
    #[diesel(sql_type = Text)]
    model: String,
    #[diesel(sql_type = Text)]
    prompt_version: String,
    #[diesel(sql_type = Text)]
    input_hash: String,
    #[diesel(sql_type = Text)]
    asked: String,
    #[diesel(sql_type = Integer)]
    tokens_in: i32,
    #[diesel(sql_type = Integer)]
    tokens_out: i32,
    #[diesel(sql_type = Integer)]
    latency_ms: i32,
    #[diesel(sql_type = Jsonb)]
    dropped: Value,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
}

/// The output that the incident's summary is made of, and when it was written; none if it has none.
///
/// # Errors
/// The database's; a deserialisation error if the row is of another version of Signals.
pub async fn shown_output(
    connection: &mut AsyncPgConnection,
    incident_id: &str,
) -> QueryResult<Option<(Output, DateTime<Utc>)>> {
    let row: Option<Row> = diesel::sql_query(
        "SELECT o.id, o.content, o.model, o.prompt_version, o.input_hash, o.asked, o.tokens_in, o.tokens_out, \
                o.latency_ms, o.dropped, o.created_at \
         FROM ai_summaries s JOIN ai_outputs o ON o.id = s.output_id WHERE s.incident_id = $1",
    )
    .bind::<Text, _>(incident_id)
    .get_result(connection)
    .await
    .optional()?;
    row.map(output).transpose()
}

fn output(row: Row) -> QueryResult<(Output, DateTime<Utc>)> {
    let output = Output {
        id: row.id,
        summary: read::<Summary>(row.content)?,
        model: row.model,
        prompt_version: row.prompt_version,
        input_hash: row.input_hash,
        asked: row.asked,
        tokens_in: row.tokens_in,
        tokens_out: row.tokens_out,
        latency_ms: row.latency_ms,
        dropped: read(row.dropped)?,
    };
    Ok((output, row.created_at))
}

fn read<T: DeserializeOwned>(value: Value) -> QueryResult<T> {
    serde_json::from_value(value).map_err(|error| Error::DeserializationError(Box::new(error)))
}

/// The project of an incident; none if there is no such incident.
///
/// # Errors
/// The database's.
pub async fn project_of(connection: &mut AsyncPgConnection, incident_id: &str) -> QueryResult<Option<String>> {
    #[derive(diesel::QueryableByName)]
    struct Project {
        #[diesel(sql_type = Text)]
        project_id: String,
    }
    let row: Option<Project> = diesel::sql_query("SELECT project_id FROM incidents WHERE id = $1")
        .bind::<Text, _>(incident_id)
        .get_result(connection)
        .await
        .optional()?;
    Ok(row.map(|row| row.project_id))
}
