//! Explains an incident once more, to compare: `signals ai rerun`. Nothing of it is kept but what it has cost.

use super::config::PoolConfig;
use super::model::{ModelClient, ModelError};
use super::work::{Prepared, output};
use crate::config::Database;
use chrono::{DateTime, Utc};
use diesel_async::pooled_connection::deadpool::PoolError;
use schema::ai::{self, DETERMINISTIC, Output, budget};

/// The summary that an incident has, and the one that it would get now.
#[derive(Clone, Debug, PartialEq)]
pub struct Rerun {
    /// The one that is shown, and when it was written; none if there is none yet.
    pub before: Option<(Output, DateTime<Utc>)>,
    /// The one that would be written now. By our own rules if no model is configured, or if nothing that it said could be
    /// believed: then `dropped` says what.
    pub after: Output,
}

/// Why there is nothing to compare.
#[derive(Debug, thiserror::Error)]
pub enum RerunError {
    /// There is no such incident.
    #[error("there is no incident {0}")]
    NoIncident(String),
    /// A model is asked for, and no endpoint is named.
    #[error("no model can be asked: set GRADIENT_API_KEY or GRADIENT_BASE_URL")]
    NoModel,
    /// The model did not answer.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// No database connection.
    #[error("no database connection: {0}")]
    Connection(#[from] PoolError),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] diesel::result::Error),
    /// The facts could not be written down.
    #[error("the facts cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Explains the incident from its facts as they are now: by the model that is named, by the configured ones, or by our own
/// rules if there is none or `deterministic` is named. A person asks, so no allowance refuses it; its tokens count.
///
/// # Errors
/// [`RerunError`].
pub async fn rerun(
    database: &Database,
    client: Option<&ModelClient>,
    config: &PoolConfig,
    incident_id: &str,
    named: Option<&str>,
) -> Result<Rerun, RerunError> {
    let absent = || RerunError::NoIncident(incident_id.to_owned());
    let (before, gathered) = {
        let mut connection = database.get().await?;
        let project_id = ai::project_of(&mut connection, incident_id).await?.ok_or_else(absent)?;
        let gathered = ai::gather(&mut connection, &project_id, incident_id).await?.ok_or_else(absent)?;
        (ai::shown_output(&mut connection, incident_id).await?, gathered)
    };
    let prepared = Prepared::new(&gathered, config.facts_bytes)?;
    let client = match (client, named) {
        (_, Some(DETERMINISTIC)) => None,
        (None, Some(_)) => return Err(RerunError::NoModel),
        (client, _) => client,
    };
    let after = match client {
        None => prepared.deterministic(Vec::new()),
        Some(client) => {
            let answer = client.summarize(&prepared.document, named).await;
            let cost = match &answer {
                Ok(answer) => i64::from(answer.tokens_in) + i64::from(answer.tokens_out),
                Err(error) => i64::from(error.tokens_in) + i64::from(error.tokens_out),
            };
            budget::settle(&mut *database.get().await?, incident_id, cost).await?;
            output(&prepared, answer?, client)
        }
    };
    Ok(Rerun { before, after })
}
