//! What is said of an incident.

use crate::prepared::Prepare;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Jsonb, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};

/// The name that stands in the place of a model's where none was asked.
pub const DETERMINISTIC: &str = "deterministic";

/// What a model, or our own rules, have made of an incident's facts. Plain text throughout.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// In a few words.
    pub title: String,
    /// Who is hit, and how.
    pub impact: String,
    /// Most likely first.
    pub likely_causes: Vec<String>,
    /// What speaks for them; each rests on facts that were sent.
    pub evidence: Vec<String>,
    /// What to do.
    pub next_steps: Vec<String>,
    /// 0 to 1.
    pub confidence: f64,
    /// Client's ids of the events that it rests on.
    pub cited_event_ids: Vec<String>,
}

/// The summary that an incident has now.
#[derive(Clone, Debug, PartialEq, diesel::QueryableByName)]
pub struct SummaryRow {
    /// Its row in `ai_outputs`.
    #[diesel(sql_type = Text)]
    pub output_id: String,
    /// Who wrote it: a model's name or [`DETERMINISTIC`].
    #[diesel(sql_type = Text)]
    pub model: String,
    /// A [`Summary`] as it was written.
    #[diesel(sql_type = Jsonb)]
    pub content: serde_json::Value,
    /// When it was written.
    #[diesel(sql_type = Timestamptz)]
    pub generated_at: DateTime<Utc>,
}

/// The incident's summary, if it has one.
///
/// # Errors
/// The database's.
pub async fn summary_of(connection: &mut AsyncPgConnection, incident_id: &str) -> QueryResult<Option<SummaryRow>> {
    diesel::sql_query("SELECT output_id, model, content, generated_at FROM ai_summaries WHERE incident_id = $1")
        .bind::<Text, _>(incident_id)
        .prepared()
        .get_result(connection)
        .await
        .optional()
}

/// Names the incident's summary: another one whenever another one was written. None if it has none.
///
/// # Errors
/// The database's.
pub async fn summary_version(connection: &mut AsyncPgConnection, incident_id: &str) -> QueryResult<Option<String>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        version: String,
    }
    let row: Option<Row> = diesel::sql_query("SELECT xmin::text AS version FROM ai_summaries WHERE incident_id = $1")
        .bind::<Text, _>(incident_id)
        .prepared()
        .get_result(connection)
        .await
        .optional()?;
    Ok(row.map(|row| row.version))
}
