//! One job: from the facts to a summary that is durable.

use super::config::PoolConfig;
use super::desk::Desk;
use super::facts::{self, Facts, bound};
use super::{deterministic, redact};
use crate::config::Database;
use crate::failpoint::{self, Point, Struck};
use crate::summarizer::model::{Answer, ModelClient, ModelError, PROMPT_VERSION};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::{Object, PoolError};
use schema::ai::budget::{self, Refused};
use schema::ai::{self, Baseline, CacheKey, ClaimedJob, DETERMINISTIC, Output, Retry, Summary};
use serde_json::Value;
use std::time::Duration;

/// How long the job of a model that was not asked waits, unless the model says.
const BREAK: Duration = Duration::from_secs(15);

/// What a summarizer works with.
#[derive(Clone)]
pub(super) struct Tools {
    pub database: Database,
    pub model: Option<ModelClient>,
    pub config: PoolConfig,
}

/// How a job ended that is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// A model's words stand.
    ByModel,
    /// Ours stand.
    Deterministic,
    /// What was written earlier for the same facts stands.
    Cached,
    /// The incident is gone.
    Gone,
    /// The job was claimed anew meanwhile: nothing was written.
    Lost,
}

impl Done {
    /// As the metrics call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ByModel => "model",
            Self::Deterministic => "deterministic",
            Self::Cached => "cached",
            Self::Gone => "gone",
            Self::Lost => "lost",
        }
    }
}

/// Why a job is not done.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkError {
    #[error("no database connection: {0}")]
    Connection(#[from] PoolError),
    #[error(transparent)]
    Database(#[from] diesel::result::Error),
    #[error("the facts cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Model(ModelError),
    #[error(transparent)]
    Struck(#[from] Struck),
}

impl WorkError {
    /// What is to become of the job after its n-th attempt.
    pub fn retry(&self, config: &PoolConfig, attempt: i32) -> Retry {
        let wait = config.wait_after(attempt, rand::random());
        match self {
            Self::Model(error) if !error.was_asked() => Retry::NotCounted(error.retry_after().unwrap_or(BREAK)),
            Self::Model(error) if !error.is_retryable() => Retry::Never,
            Self::Model(error) => Retry::After(error.retry_after().map_or(wait, |asked| asked.max(wait))),
            Self::Json(_) => Retry::Never,
            Self::Connection(_) | Self::Database(_) | Self::Struck(_) => Retry::After(wait),
        }
    }
}

/// The facts as they are sent, and what is remembered of them.
pub(super) struct Prepared {
    pub facts: Facts,
    pub document: Value,
    pub bytes: usize,
    pub hash: String,
    pub baseline: Baseline,
}

impl Prepared {
    /// Redacted first, so that nothing secret decides what fits; then bounded; then hashed.
    pub fn new(gathered: &ai::Gathered, bytes: usize) -> serde_json::Result<Self> {
        let facts = facts::build(gathered);
        let baseline = Baseline {
            event_count: facts.counts.total,
            severity: facts.incident.severity.clone(),
            status: facts.incident.status.clone(),
            releases: facts::samples::known_releases(&gathered.kept.samples),
        };
        let mut document = serde_json::to_value(&facts)?;
        redact::redact(&mut document);
        let facts = bound::bounded(serde_json::from_value(document)?, bytes)?;
        let document = serde_json::to_value(&facts)?;
        // serde_json's maps are sorted by key, so equal documents have equal bytes.
        let text = serde_json::to_vec(&document)?;
        let hash = blake3::hash(&text).to_hex().to_string();
        Ok(Self { facts, document, bytes: text.len(), hash, baseline })
    }

    /// What our own rules make of the facts.
    pub fn deterministic(&self, dropped: Vec<String>) -> Output {
        Output {
            id: ulid::Ulid::generate().to_string(),
            summary: deterministic::summarize(&self.facts),
            model: DETERMINISTIC.to_owned(),
            prompt_version: deterministic::RULES_VERSION.to_owned(),
            input_hash: self.hash.clone(),
            asked: String::new(),
            tokens_in: 0,
            tokens_out: 0,
            latency_ms: 0,
            dropped,
        }
    }
}

impl Tools {
    pub async fn connection(&self) -> Result<Object<AsyncPgConnection>, PoolError> {
        self.database.get().await
    }

    /// Does the job. What it writes, it writes under the job's claim.
    pub async fn work(&self, job: &ClaimedJob, desk: &Desk) -> Result<Done, WorkError> {
        let gathered = ai::gather(&mut *self.connection().await?, &job.project_id, &job.incident_id).await?;
        let Some(gathered) = gathered else { return Ok(Done::Gone) };
        failpoint::pass(Point::Summarize).await?;
        let prepared = Prepared::new(&gathered, self.config.facts_bytes)?;
        drop(gathered);
        match &self.model {
            None => self.finish(job, &prepared, &prepared.deterministic(Vec::new()), Done::Deterministic).await,
            Some(model) => self.ask(job, &prepared, model, desk).await,
        }
    }

    async fn ask(
        &self,
        job: &ClaimedJob,
        prepared: &Prepared,
        model: &ModelClient,
        desk: &Desk,
    ) -> Result<Done, WorkError> {
        {
            let mut connection = self.connection().await?;
            let asked = model.models().join(",");
            let key = CacheKey { input_hash: &prepared.hash, prompt_version: PROMPT_VERSION, asked: &asked };
            if let Some(output) = ai::cached(&mut connection, &job.incident_id, key).await? {
                let is_written = ai::finish_with(&mut connection, job, &output, &prepared.baseline).await?;
                return Ok(if is_written { Done::Cached } else { Done::Lost });
            }
            // Whoever looks before the model has answered finds what the facts say.
            if !ai::draft(&mut connection, job, &prepared.deterministic(Vec::new()), &prepared.baseline).await? {
                return Ok(Done::Lost);
            }
            let most = i64::from(model.estimate(prepared.bytes));
            if let Err(refused) =
                budget::reserve(&mut connection, &job.incident_id, most, self.config.allowance).await?
            {
                drop(connection);
                let output = prepared.deterministic(vec![no_money(refused)]);
                return self.finish(job, prepared, &output, Done::Deterministic).await;
            }
        }
        let most = i64::from(model.estimate(prepared.bytes));
        desk.call();
        let answer = model.summarize(&prepared.document, None).await;
        let cost = match &answer {
            Ok(answer) => i64::from(answer.tokens_in) + i64::from(answer.tokens_out),
            Err(error) => i64::from(error.tokens_in) + i64::from(error.tokens_out),
        };
        budget::settle(&mut *self.connection().await?, &job.incident_id, cost.saturating_sub(most)).await?;
        let answer = answer.map_err(WorkError::Model)?;
        let done = if answer.summary.is_some() { Done::ByModel } else { Done::Deterministic };
        self.finish(job, prepared, &output(prepared, answer, model), done).await
    }

    async fn finish(
        &self,
        job: &ClaimedJob,
        prepared: &Prepared,
        output: &Output,
        done: Done,
    ) -> Result<Done, WorkError> {
        let mut connection = self.connection().await?;
        let is_written = ai::finish(&mut connection, job, output, &prepared.baseline).await?;
        Ok(if is_written { done } else { Done::Lost })
    }
}

/// The output of a model's answer; ours where nothing of it could be believed, with the model's cost.
pub(super) fn output(prepared: &Prepared, answer: Answer, client: &ModelClient) -> Output {
    let count = |tokens: u32| i32::try_from(tokens).unwrap_or(i32::MAX);
    let (summary, model, prompt_version): (Summary, String, &str) = match answer.summary {
        Some(summary) => (summary, answer.model, PROMPT_VERSION),
        None => (deterministic::summarize(&prepared.facts), DETERMINISTIC.to_owned(), deterministic::RULES_VERSION),
    };
    Output {
        id: ulid::Ulid::generate().to_string(),
        summary,
        model,
        prompt_version: prompt_version.to_owned(),
        input_hash: prepared.hash.clone(),
        asked: client.models().join(","),
        tokens_in: count(answer.tokens_in),
        tokens_out: count(answer.tokens_out),
        latency_ms: i32::try_from(answer.latency.as_millis()).unwrap_or(i32::MAX),
        dropped: answer.dropped,
    }
}

fn no_money(refused: Refused) -> String {
    match refused {
        Refused::Day => "no model was asked: the day's tokens are spent".to_owned(),
        Refused::Incident => "no model was asked: the incident's tokens are spent".to_owned(),
    }
}
