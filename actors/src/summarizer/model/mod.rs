//! The client of an OpenAI-compatible endpoint.
//!
//! Asked by an AiSummarizer, with the facts of one incident. It knows one endpoint and an ordered list of models. It owns what was
//! learned of them (what shapes of answers they take, which are gone) and the endpoint's circuit breaker; clones share
//! both. It bounds every wait and every answer, follows no redirect, and never shows its key. What it returns has been checked
//! against the facts. If it dies, nothing is lost but that memory.

mod asking;
mod breaker;
mod config;
mod error;
mod http;
mod ladder;
mod refusal;
mod reply;
mod request;
mod wait;

pub use config::{GradientConfig, ModelConfig, ModelSetupError, ModelTuning};
pub use error::{ErrorKind, ModelError};
pub use ladder::Mode;

pub use super::prompt::PROMPT_VERSION;
use super::{check, prompt};
use asking::Asking;
use breaker::Breaker;
use http::Endpoint;
use ladder::Memory;
use schema::ai::Summary;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// An incident takes at most so many times the time for one request.
const REQUESTS_OF_TIME: u32 = 3;
/// Bytes of the request around the rules and the document: names, braces, the second copy of the schema.
const WRAPPING: usize = 2_048;

/// One endpoint and its models. Clones are the same endpoint.
#[derive(Clone, Debug)]
pub struct ModelClient(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    endpoint: Endpoint,
    models: Vec<String>,
    timeout: Duration,
    max_tokens: u32,
    breaker: Arc<Breaker>,
    memory: Memory,
}

/// What a model made of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// What could be believed; none if nothing could.
    pub summary: Option<Summary>,
    /// The model's own name for itself if it gives one, else the one that was asked.
    pub model: String,
    /// Tokens read, of all requests that it took.
    pub tokens_in: u32,
    /// Tokens written, of all requests that it took.
    pub tokens_out: u32,
    /// Whether the tokens are estimated, because the endpoint does not count them.
    pub estimated: bool,
    /// From the question to the answer, with everything between.
    pub latency: Duration,
    /// How the answer's shape was asked for.
    pub mode: Mode,
    /// What was not believed, each a sentence.
    pub dropped: Vec<String>,
}

/// An answer as it came.
#[derive(Debug)]
struct RawAnswer {
    summary: Map<String, Value>,
    model: String,
    mode: Mode,
}

impl ModelClient {
    /// A client that has asked nothing yet.
    ///
    /// # Errors
    /// [`ModelSetupError`] if the configuration cannot work.
    pub fn new(config: &ModelConfig) -> Result<Self, ModelSetupError> {
        Ok(Self(Arc::new(Inner {
            endpoint: Endpoint::new(config)?,
            models: config.models.clone(),
            timeout: config.timeout,
            max_tokens: config.max_tokens,
            breaker: Arc::default(),
            memory: Memory::default(),
        })))
    }

    /// The models in the order in which they are asked.
    pub fn models(&self) -> &[String] {
        &self.0.models
    }

    /// Tokens that one question about so many bytes of facts may cost at most, as far as they can be told before: two
    /// requests, as a repair takes them, the second with twice the room.
    pub fn estimate(&self, facts_bytes: usize) -> u32 {
        let read = reply::estimate(facts_bytes + prompt::rules().len() + WRAPPING);
        read.saturating_mul(2).saturating_add(self.0.max_tokens.saturating_mul(3))
    }

    /// Asks for a summary of these facts, which must be fit to leave the house, and checks it against them.
    ///
    /// Without `model` the configured ones are asked in their order, the next when one is gone. It takes at most
    /// three times the time for one request. Short waits that the endpoint asks for are waited out; longer ones are told by
    /// [`ModelError::retry_after`].
    ///
    /// # Errors
    /// [`ModelError`] if there is no answer.
    pub async fn summarize(&self, facts: &Value, model: Option<&str>) -> Result<Answer, ModelError> {
        let began = Instant::now();
        let document = facts.to_string();
        let mut asking = Asking::new(&self.0, &document);
        let patience = self.0.timeout.saturating_mul(REQUESTS_OF_TIME);
        let asked = tokio::time::timeout(patience, asking.ask(model)).await;
        let asked = asked.unwrap_or_else(|_| {
            Err(ModelError::new(
                ErrorKind::TimedOut,
                "the model endpoint did not answer in time, with all that was tried",
            ))
        });
        let spent = asking.spent();
        crate::metrics::ai_tokens_spent(spent.read, spent.written);
        let raw = asked.map_err(|error| ModelError { tokens_in: spent.read, tokens_out: spent.written, ..error })?;
        let checked = check::check(&raw.summary, facts);
        Ok(Answer {
            summary: checked.summary,
            model: raw.model,
            tokens_in: spent.read,
            tokens_out: spent.written,
            estimated: spent.estimated,
            latency: began.elapsed(),
            mode: raw.mode,
            dropped: checked.dropped.iter().map(ToString::to_string).collect(),
        })
    }
}
