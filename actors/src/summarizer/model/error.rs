//! Why there is no answer, and whether and when it is worth asking again.

use std::time::Duration;

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The endpoint does not take the key (401, 403).
    Unauthorized,
    /// The account has no credit left (402, `insufficient_quota`).
    OutOfCredit,
    /// Too many requests or tokens (429).
    RateLimited,
    /// Not reachable, overloaded or broken (5xx, 408, 409, 425, a refused or torn connection).
    Unavailable,
    /// No answer in time.
    TimedOut,
    /// None of the models is there (any more).
    NoModel,
    /// The document is too large for the model (413, context length).
    TooLarge,
    /// The endpoint does not take such a request at all.
    Refused,
    /// The model answered, but with nothing that can be read: no JSON, cut, filtered, too long, declined.
    Unusable,
    /// Nothing was sent: the endpoint failed too often or has asked for a pause.
    CircuitOpen,
}

impl ErrorKind {
    /// One word, for labels and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unauthorized => "unauthorized",
            Self::OutOfCredit => "out_of_credit",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::TimedOut => "timed_out",
            Self::NoModel => "no_model",
            Self::TooLarge => "too_large",
            Self::Refused => "refused",
            Self::Unusable => "unusable",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ModelError {
    /// Why.
    pub kind: ErrorKind,
    /// Why, in a sentence that holds no secret.
    pub message: String,
    /// Tokens that were read by models all the same.
    pub tokens_in: u32,
    /// Tokens that were written by models all the same.
    pub tokens_out: u32,
    pub(super) wait: Option<Duration>,
}

impl ModelError {
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), tokens_in: 0, tokens_out: 0, wait: None }
    }

    /// To be asked again after `wait`, if the endpoint said so.
    pub(super) fn after(self, wait: Option<Duration>) -> Self {
        Self { wait, ..self }
    }

    /// How long the endpoint wants to be left alone, as far as it is known. Not longer than a day.
    pub fn retry_after(&self) -> Option<Duration> {
        self.wait
    }

    /// Whether the same question may be answered later.
    pub fn is_retryable(&self) -> bool {
        use ErrorKind::{CircuitOpen, RateLimited, TimedOut, Unavailable};
        matches!(self.kind, RateLimited | Unavailable | TimedOut | CircuitOpen)
    }

    /// Whether a request was sent.
    pub fn was_asked(&self) -> bool {
        self.kind != ErrorKind::CircuitOpen
    }
}
