//! One question and all the requests that it takes: down the ladder of shapes, once more after a short wait, once more for
//! an answer that cannot be read, on to the next model.

use super::breaker::Pass;
use super::error::{ErrorKind, ModelError};
use super::http::{Answered, Unanswered};
use super::ladder::{Abilities, Unsupported};
use super::refusal::{self, Refusal};
use super::reply::{self, Reply, Unusable, estimate};
use super::{Inner, RawAnswer, request, wait};
use crate::metrics;
use crate::summarizer::redact;
use serde_json::Value;
use std::time::{Duration, SystemTime};
use tokio::time::Instant;

/// Waits up to here are waited out; longer ones are the caller's.
const SHORT_WAIT: Duration = Duration::from_secs(5);
/// Wait before the second try if the endpoint asks for none.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// How long an endpoint is left alone that is overrun and does not say for how long.
const OVERRUN: Duration = Duration::from_secs(1);
/// Longest sentence of an endpoint that is shown, in characters.
const SHOWN: usize = 200;

/// Tokens that were used.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Spent {
    pub read: u32,
    pub written: u32,
    pub estimated: bool,
}

/// One question.
#[derive(Debug)]
pub(super) struct Asking<'a> {
    client: &'a Inner,
    document: &'a str,
    spent: Spent,
}

/// Why one request brought no answer.
#[derive(Debug)]
enum Trouble {
    Unsupported(Unsupported, String),
    ModelGone(String),
    Unusable(Unusable),
    Failed(ModelError),
}

impl<'a> Asking<'a> {
    pub fn new(client: &'a Inner, document: &'a str) -> Self {
        Self { client, document, spent: Spent::default() }
    }

    /// What it has cost so far.
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Asks this model, or all that are configured until one is there.
    pub async fn ask(&mut self, model: Option<&str>) -> Result<RawAnswer, ModelError> {
        let client = self.client;
        let models: Vec<&str> =
            model.map_or_else(|| client.models.iter().map(String::as_str).collect(), |one| vec![one]);
        let now = Instant::now();
        let is_known_gone = |model: &str| client.memory.is_gone(model, now);
        let all_gone = models.iter().all(|model| is_known_gone(model));
        let mut last = String::new();
        for model in models.into_iter().filter(|model| all_gone || !is_known_gone(model)) {
            match self.ask_model(model).await {
                Ok(answer) => return Ok(answer),
                Err(Trouble::Failed(error)) => return Err(error),
                Err(Trouble::Unusable(why)) => return Err(ModelError::new(ErrorKind::Unusable, why.to_string())),
                Err(Trouble::Unsupported(_, why)) => return Err(ModelError::new(ErrorKind::Refused, why)),
                Err(Trouble::ModelGone(why)) => {
                    tracing::warn!(model, why, "the model is not there; the next one is asked");
                    client.memory.miss(model, Instant::now());
                    last = why;
                }
            }
        }
        Err(ModelError::new(ErrorKind::NoModel, format!("no model is there: {last}")))
    }

    async fn ask_model(&mut self, model: &str) -> Result<RawAnswer, Trouble> {
        let memory = &self.client.memory;
        let mut learned = memory.abilities(model, Instant::now());
        let mut abilities = learned;
        let mut max_tokens = self.client.max_tokens;
        let (mut has_stepped, mut has_repaired) = (false, false);
        // What the one wait was for.
        let mut waited: Option<ModelError> = None;
        loop {
            let trouble = match self.request(model, abilities, max_tokens).await {
                Ok(answer) => {
                    if has_stepped {
                        tracing::info!(model, mode = learned.mode.as_str(), "learned how this model wants to be asked");
                        memory.learn(model, learned, Instant::now());
                    }
                    return Ok(answer);
                }
                Err(trouble) => trouble,
            };
            match trouble {
                Trouble::Unsupported(what, why) => {
                    let lower = abilities.without(what).ok_or(Trouble::Unsupported(what, why))?;
                    (abilities, learned, has_stepped) = (lower, lower, true);
                }
                Trouble::Unusable(why) if !has_repaired && why.may_change() => {
                    has_repaired = true;
                    (abilities, max_tokens) = repaired(abilities, max_tokens, why);
                }
                Trouble::Failed(error) => {
                    let wait = short_wait(&error).filter(|_| waited.is_none());
                    let Some(wait) = wait else { return Err(Trouble::Failed(last_word(waited, error))) };
                    waited = Some(error);
                    tokio::time::sleep(wait + jitter(wait)).await;
                }
                other => return Err(other),
            }
        }
    }

    async fn request(&mut self, model: &str, abilities: Abilities, max_tokens: u32) -> Result<RawAnswer, Trouble> {
        let pass = self.client.breaker.enter(Instant::now()).map_err(|wait| Trouble::Failed(closed(wait)))?;
        let body = request::body(model, self.document, abilities, max_tokens);
        let began = Instant::now();
        let answered = self.client.endpoint.post(&body).await;
        metrics::ai_request_duration().record(began.elapsed());
        let result = match answered {
            Ok(answered) => self.read(answered, pass, &body),
            Err(error) => Err(Trouble::Failed(unanswered(&error, pass))),
        };
        metrics::ai_requests(outcome(&result)).increment(1);
        let reply = result?;
        let summary = reply.answer.map_err(Trouble::Unusable)?;
        Ok(RawAnswer { summary, model: reply.model.unwrap_or_else(|| model.to_owned()), mode: abilities.mode })
    }

    /// What an answer means: for the circuit, for the account, and for the question.
    fn read(&mut self, answered: Answered, pass: Pass, sent: &Value) -> Result<Reply, Trouble> {
        let parsed: Option<Value> = serde_json::from_str(&answered.body).ok();
        let hidden = parsed.as_ref().and_then(reply::hidden_error);
        if !(200..300).contains(&answered.status) {
            return Err(refused(&answered, answered.status, &answered.body, pass));
        }
        if let Some((status, text)) = hidden {
            return Err(refused(&answered, status, &text, pass));
        }
        pass.works();
        let reply = reply::read(&parsed.unwrap_or_default());
        let (read, written) = reply.usage.unwrap_or_else(|| {
            self.spent.estimated = true;
            (estimate(sent.to_string().len()), estimate(reply.written))
        });
        self.spent.read = self.spent.read.saturating_add(read);
        self.spent.written = self.spent.written.saturating_add(written);
        Ok(reply)
    }
}

impl Unusable {
    /// Whether asking again may bring another answer.
    fn may_change(self) -> bool {
        matches!(self, Self::Cut | Self::NoJson | Self::Empty)
    }
}

/// How to ask once more: with more room if the answer was cut, else one rung lower.
fn repaired(abilities: Abilities, max_tokens: u32, why: Unusable) -> (Abilities, u32) {
    match why {
        Unusable::Cut => (abilities, max_tokens.saturating_mul(2)),
        _ => (abilities.without(Unsupported::Mode).unwrap_or(abilities), max_tokens),
    }
}

/// How long to wait within the question; none if it is not worth it or too long.
fn short_wait(error: &ModelError) -> Option<Duration> {
    let usual = match error.kind {
        ErrorKind::RateLimited => OVERRUN,
        ErrorKind::Unavailable => FIRST_WAIT,
        _ => return None,
    };
    Some(error.retry_after().unwrap_or(usual)).filter(|wait| *wait <= SHORT_WAIT)
}

/// The error of the second try, unless there was none because the circuit had opened meanwhile: then that of the first.
fn last_word(first: Option<ModelError>, second: ModelError) -> ModelError {
    match first {
        Some(first) if !second.was_asked() => first.after(second.retry_after()),
        _ => second,
    }
}

/// A quarter of a second to half of one, so that those who were refused together do not come back together.
fn jitter(wait: Duration) -> Duration {
    wait.min(FIRST_WAIT).mul_f64(0.5 + rand::random::<f64>() / 2.0)
}

fn outcome(result: &Result<Reply, Trouble>) -> &'static str {
    match result {
        Ok(reply) if reply.answer.is_ok() => "answered",
        Ok(_) | Err(Trouble::Unusable(_)) => ErrorKind::Unusable.as_str(),
        Err(Trouble::Unsupported(..)) => "unsupported",
        Err(Trouble::ModelGone(_)) => ErrorKind::NoModel.as_str(),
        Err(Trouble::Failed(error)) => error.kind.as_str(),
    }
}

fn closed(wait: Duration) -> ModelError {
    let message = format!("the model endpoint is left alone for another {} s", wait.as_secs_f64().ceil());
    ModelError::new(ErrorKind::CircuitOpen, message).after(Some(wait))
}

fn unanswered(error: &Unanswered, pass: Pass) -> ModelError {
    let kind = match error {
        Unanswered::TimedOut => ErrorKind::TimedOut,
        Unanswered::Unreachable(_) => ErrorKind::Unavailable,
        Unanswered::TooLong => ErrorKind::Unusable,
    };
    if kind == ErrorKind::Unusable {
        pass.works();
    } else {
        pass.fails(Instant::now());
    }
    ModelError::new(kind, error.to_string())
}

fn refused(answered: &Answered, status: u16, text: &str, pass: Pass) -> Trouble {
    let said = format!("the model endpoint answers {status}: {}", shown(text));
    let kind = match refusal::read(status, text) {
        Refusal::Unsupported(what) => {
            pass.works();
            return Trouble::Unsupported(what, said);
        }
        Refusal::ModelGone => {
            pass.works();
            return Trouble::ModelGone(said);
        }
        Refusal::Final(kind) => kind,
    };
    let wait = wait::wait_asked(&answered.headers, SystemTime::now());
    let error = match kind {
        // What it says about a key may hold the key.
        ErrorKind::Unauthorized => {
            ModelError::new(kind, format!("the model endpoint answers {status}: it does not take the key"))
        }
        _ => ModelError::new(kind, said).after(wait),
    };
    match kind {
        ErrorKind::RateLimited => pass.hold(Instant::now(), wait.unwrap_or(OVERRUN)),
        ErrorKind::Unavailable => pass.fails(Instant::now()),
        _ => pass.works(),
    }
    Trouble::Failed(error)
}

/// An endpoint's sentence, fit to be stored and shown.
fn shown(text: &str) -> String {
    let mut said = redact::text(&refusal::sentence(text)).split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some((end, _)) = said.char_indices().nth(SHOWN) {
        said.truncate(end);
        said.push('…');
    }
    said
}
