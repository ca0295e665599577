//! What a client is told when its request is refused: `application/problem+json` (RFC 9457).
//!
//! Handlers return [`Problem`]; [`crate::request_id`] puts the request's id into it and turns actix's own bare
//! refusals (no such route, wrong method) into the same shape. The cause of an internal error is logged where
//! the problem is made and never sent.

use actix_web::http::{StatusCode, header};
use actix_web::{HttpResponse, ResponseError, web};
use serde::Serialize;
use std::fmt;
use utoipa::ToSchema;

/// The media type of every refusal.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// One member of the request that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request body, e.g. `/events/3/severity`.
    pub pointer: String,
    /// What is wrong with it, for a person.
    pub detail: String,
}

impl FieldError {
    /// A wrong member and the sentence about it.
    pub fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into() }
    }
}

/// A refusal. `code` is for programs and stable, `detail` is for people and is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// HTTP status, 4xx or 5xx.
    pub status: StatusCode,
    /// Stable name of the reason, snake case.
    pub code: &'static str,
    /// What happened and, where there is one, what to do.
    pub detail: String,
    /// The wrong members, for bad input.
    pub errors: Vec<FieldError>,
    /// Seconds after which a second attempt makes sense; becomes the header `Retry-After`.
    pub retry_after: Option<u64>,
    /// Filled in by [`crate::request_id`].
    pub request_id: Option<String>,
}

/// The body of a [`Problem`] as it is sent.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody<'a> {
    /// Always `about:blank`: `code` tells the kind.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// The status in words.
    pub title: &'a str,
    /// The status as a number.
    pub status: u16,
    /// What happened, for a person.
    pub detail: &'a str,
    /// Stable name of the reason.
    pub code: &'static str,
    /// Also in the header `x-request-id`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// The wrong members, for bad input.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    pub errors: &'a [FieldError],
    /// The same text as `detail`, for clients that know only this member.
    pub error: &'a str,
}

impl Problem {
    /// A refusal without members and without a time to come back.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), errors: Vec::new(), retry_after: None, request_id: None }
    }

    /// The same, naming the members that are wrong.
    #[must_use]
    pub fn with_errors(mut self, errors: Vec<FieldError>) -> Self {
        self.errors = errors;
        self
    }

    /// The same, with the seconds after which to come back.
    #[must_use]
    pub fn with_retry_after(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// 400: the request cannot be read at all.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// 401; `code` says whether the key is `missing_key`, `unknown_key` or `revoked_key`.
    pub fn unauthorized(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, detail)
    }

    /// 403: the key is known but may not do this.
    pub fn missing_scope(scope: &str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "missing_scope", format!("this key does not have the scope '{scope}'"))
    }

    /// 404 with the thing's name in the sentence, e.g. `incident 01J...`.
    pub fn not_found(what: impl fmt::Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this resource does not know that method")
    }

    /// 409: the state of the thing forbids the step.
    pub fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", detail)
    }

    /// 413.
    pub fn too_large(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    /// 415: the body's type is not one we read.
    pub fn unsupported_media_type(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    }

    /// 415: the body's encoding is not one we decode.
    pub fn unsupported_encoding(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported_encoding", detail)
    }

    /// 422: readable, but these members are wrong. The sentence names the first of them.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [] => "the request is not valid".to_owned(),
            [only] => describe(only),
            [first, rest @ ..] => format!("{} (and {} more)", describe(first), rest.len()),
        };
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid", detail).with_errors(errors)
    }

    /// 429.
    pub fn rate_limited(retry_after: u64) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "rate_limited", "too many events for this key")
            .with_retry_after(retry_after)
    }

    /// 503: something that we stand on does not answer; `code` says what, e.g. `log_unavailable`.
    pub fn unavailable(code: &'static str, detail: impl Into<String>, retry_after: u64) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with_retry_after(retry_after)
    }

    /// 500. The cause goes to our log; the client learns only that it was our fault.
    pub fn internal(cause: impl fmt::Display) -> Self {
        tracing::error!(cause = %cause, "a request failed inside");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "something went wrong on our side")
    }

    /// What a bare refusal of the framework becomes, by its status.
    pub fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Self::not_found("such resource"),
            StatusCode::METHOD_NOT_ALLOWED => Self::method_not_allowed(),
            StatusCode::PAYLOAD_TOO_LARGE => Self::too_large("the request is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media_type("this media type is not read here"),
            other if other.is_server_error() => Self::new(other, "internal", "something went wrong on our side"),
            other => Self::new(other, "malformed", other.canonical_reason().unwrap_or("bad request").to_lowercase()),
        }
    }
}

fn describe(error: &FieldError) -> String {
    if error.pointer.is_empty() { error.detail.clone() } else { format!("{}: {}", error.pointer, error.detail) }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.status.as_u16(), self.code, self.detail)
    }
}

impl std::error::Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status);
        if let Some(seconds) = self.retry_after {
            response.insert_header((header::RETRY_AFTER, seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            // RFC 9110 demands a challenge with every 401.
            response.insert_header((header::WWW_AUTHENTICATE, "ApiKey header=\"X-API-Key\""));
        }
        let body = ProblemBody {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            code: self.code,
            request_id: self.request_id.as_deref(),
            errors: &self.errors,
            error: &self.detail,
        };
        // A struct of strings and numbers always has a JSON form.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        response.content_type(PROBLEM_JSON).body(body)
    }
}

/// Makes actix's own extractors and the unknown route answer with a [`Problem`]. A wrong method on a known
/// route is translated by [`crate::request_id`].
pub fn problem_defaults(cfg: &mut web::ServiceConfig) {
    cfg.app_data(web::JsonConfig::default().error_handler(|error, _| {
        use actix_web::error::JsonPayloadError as E;
        match &error {
            E::Overflow { .. } | E::OverflowKnownLength { .. } => Problem::too_large(error.to_string()),
            E::ContentType => Problem::unsupported_media_type("send Content-Type: application/json"),
            E::Deserialize(cause) if cause.is_data() => Problem::invalid(vec![FieldError::new("", cause.to_string())]),
            _ => Problem::malformed(error.to_string()),
        }
        .into()
    }))
    .app_data(
        web::QueryConfig::default()
            .error_handler(|error, _| Problem::new(StatusCode::BAD_REQUEST, "invalid_query", error.to_string()).into()),
    )
    .app_data(web::PathConfig::default().error_handler(|_, _| Problem::not_found("such resource").into()))
    .default_service(web::to(|| async { Err::<HttpResponse, _>(Problem::not_found("such resource")) }));
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use actix_web::body::to_bytes;

    #[actix_web::test]
    async fn a_problem_carries_every_member_and_the_retry_header() {
        let problem = Problem::unavailable("log_unavailable", "come back", 2);
        let response = problem.error_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers().get("retry-after").unwrap(), "2");
        assert_eq!(response.headers().get("content-type").unwrap(), PROBLEM_JSON);
        let body: serde_json::Value = serde_json::from_slice(&to_bytes(response.into_body()).await.unwrap()).unwrap();
        assert_eq!(body["type"], "about:blank");
        assert_eq!(body["title"], "Service Unavailable");
        assert_eq!(body["status"], 503);
        assert_eq!(body["code"], "log_unavailable");
        assert_eq!(body["detail"], "come back");
        assert_eq!(body["error"], body["detail"]);
        assert!(body.get("errors").is_none());
    }

    #[test]
    fn the_sentence_of_bad_input_names_the_first_member() {
        let errors = vec![FieldError::new("/a", "is wrong"), FieldError::new("/b", "too")];
        assert_eq!(Problem::invalid(errors).detail, "/a: is wrong (and 1 more)");
    }

    #[test]
    fn the_cause_of_an_internal_error_stays_here() {
        assert!(!format!("{:?}", Problem::internal("password=x")).contains("password"));
    }
}
