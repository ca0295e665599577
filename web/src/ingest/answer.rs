//! What a client sends and is told, as the API's description has it.

use crate::error::FieldError;
use chrono::{DateTime, Utc};
use schema::event::{EventType, Severity};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::{IntoResponses, ToSchema};

/// One event is in the log on all in-sync replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Accepted {
    /// Always true.
    pub accepted: bool,
    /// The client's id, or the one it was given. Send the event again under this id: it counts once.
    pub event_id: String,
    /// When it was received, RFC 3339.
    pub received_at: DateTime<Utc>,
}

/// The events named here are in the log on all in-sync replicas.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BatchAccepted {
    /// Always true.
    pub accepted: bool,
    /// Events taken.
    pub count: usize,
    /// Their ids, in the request's order.
    pub event_ids: Vec<String>,
    /// When they were received, RFC 3339.
    pub received_at: DateTime<Utc>,
    /// The events not taken. To send them again unchanged is of no use.
    pub rejected: Vec<Rejected>,
}

/// An event of a batch that was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Rejected {
    /// Its place in the request, from 0; blank lines do not count.
    pub index: usize,
    /// `malformed`, `too_large` or `invalid`.
    pub code: &'static str,
    /// What is wrong, for a person.
    pub detail: String,
}

/// An event as a client sends it. Unknown members are ignored; null is as good as absent.
#[derive(Debug, ToSchema)]
#[schema(as = Event)]
#[expect(dead_code, reason = "it describes the API; `event.rs` reads the members")]
pub struct EventBody {
    /// What kind.
    #[schema(value_type = EventTypeName)]
    event_type: EventType,
    /// What happened; 8 KiB of it are kept.
    message: String,
    /// `info` if absent, `error` for an error.
    #[schema(value_type = Option<SeverityName>)]
    severity: Option<Severity>,
    /// `dev` if absent.
    #[schema(max_length = 64, pattern = "^[A-Za-z0-9._:-]+$")]
    environment: Option<String>,
    /// The time of receipt if absent; from the year 2000 until 5 minutes from now.
    occurred_at: Option<DateTime<Utc>>,
    /// Counts once per project. A ULID is given if absent.
    #[schema(max_length = 128, pattern = "^[!-~]+$")]
    event_id: Option<String>,
    /// At most 8 levels. `error_code`, `route` and `fingerprint` decide what is grouped together.
    attributes: Option<BTreeMap<String, serde_json::Value>>,
    /// Free data, at most 32 levels.
    payload: Option<BTreeMap<String, serde_json::Value>>,
}

/// 1 to 1000 events.
#[derive(Debug, ToSchema)]
#[schema(as = EventBatch)]
#[expect(dead_code, reason = "it describes the API; `split.rs` reads the list")]
pub struct BatchBody {
    /// The events.
    #[schema(min_items = 1, max_items = 1000)]
    events: Vec<EventBody>,
}

/// The values of [`EventType`].
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EventTypeName {
    /// A failure; opens or feeds an incident.
    Error,
    /// A served request.
    HttpRequest,
    /// A new user.
    Signup,
    /// A release went out.
    Deploy,
    /// Words of a user.
    Feedback,
    /// Anything else.
    Custom,
}

/// The values of [`Severity`].
#[derive(Debug, ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum SeverityName {
    /// For developers only.
    Debug,
    /// Worth knowing.
    Info,
    /// May become a problem.
    Warn,
    /// Something failed.
    Error,
    /// Something important is down.
    Critical,
}

/// A refusal: `application/problem+json`.
#[derive(Debug, ToSchema)]
#[schema(as = Problem)]
#[expect(dead_code, reason = "it describes the API; `error.rs` writes it")]
pub struct ProblemDescription {
    /// Always `about:blank`.
    r#type: String,
    /// The status in words.
    title: String,
    /// The status as a number.
    status: u16,
    /// What happened, for a person.
    detail: String,
    /// Stable name of the reason.
    code: String,
    /// Also in the header `x-request-id`.
    request_id: Option<String>,
    /// The wrong members, for bad input.
    errors: Option<Vec<FieldError>>,
    /// The same text as `detail`.
    error: String,
}

/// What a request may be refused with.
#[derive(Debug, IntoResponses)]
pub enum Refusals {
    /// The body is no JSON, or breaks off.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(ProblemDescription),
    /// No key, or one that is unknown or revoked.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthorized(ProblemDescription),
    /// The key lacks the scope `ingest`.
    #[response(status = 403, content_type = "application/problem+json")]
    MissingScope(ProblemDescription),
    /// The body took too long to arrive.
    #[response(status = 408, content_type = "application/problem+json")]
    BodyTimeout(ProblemDescription),
    /// More than 4 MiB, also after decompression, or a single event of more than 256 KiB.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(ProblemDescription),
    /// Another media type or encoding.
    #[response(status = 415, content_type = "application/problem+json")]
    Unsupported(ProblemDescription),
    /// No event of the request is valid; `errors` names every wrong member.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(ProblemDescription),
    /// Too many events for this key; see `Retry-After`.
    #[response(status = 429, content_type = "application/problem+json")]
    RateLimited(ProblemDescription),
    /// The log or the keys do not answer; see `Retry-After`.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(ProblemDescription),
}
