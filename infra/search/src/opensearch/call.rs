//! One request to the server, and what its failure means.

use bytes::Bytes;
use opensearch::http::headers::{CONTENT_TYPE, HeaderMap, HeaderValue};
use opensearch::http::transport::Transport;
use opensearch::http::{Method, StatusCode};
use schema::search::SearchError;
use serde::Deserialize;
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// Characters of the server's words that are kept.
const WORDS: usize = 500;

/// One request.
#[derive(Debug)]
pub(super) struct Call<'a> {
    method: Method,
    path: &'a str,
    query: &'a [(&'a str, &'a str)],
    body: Option<Bytes>,
    is_lines: bool,
    timeout: Duration,
}

impl<'a> Call<'a> {
    pub(super) fn new(method: Method, path: &'a str, timeout: Duration) -> Self {
        Self { method, path, query: &[], body: None, is_lines: false, timeout }
    }

    pub(super) fn query(self, query: &'a [(&'a str, &'a str)]) -> Self {
        Self { query, ..self }
    }

    pub(super) fn json(self, body: &Value) -> Self {
        Self { body: Some(Bytes::from(body.to_string())), ..self }
    }

    pub(super) fn lines(self, body: Bytes) -> Self {
        Self { body: Some(body), is_lines: true, ..self }
    }

    /// The answer, whatever its status.
    pub(super) async fn answer(self, transport: &Transport) -> Result<(StatusCode, Bytes), SearchError> {
        let mut headers = HeaderMap::new();
        if self.is_lines {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
        }
        let unavailable = |error: opensearch::Error| SearchError::Unavailable(sentence(&error));
        let sent = transport.send(self.method, self.path, headers, Some(self.query), self.body, Some(self.timeout));
        let response = sent.await.map_err(unavailable)?;
        let status = response.status_code();
        Ok((status, response.bytes().await.map_err(unavailable)?))
    }

    /// The body of a success.
    pub(super) async fn send(self, transport: &Transport) -> Result<Bytes, SearchError> {
        let (status, body) = self.answer(transport).await?;
        if status.is_success() { Ok(body) } else { Err(failure(status, &body)) }
    }
}

/// What an unsuccessful answer means.
pub(super) fn failure(status: StatusCode, body: &[u8]) -> SearchError {
    let words = format!("{}: {}", status.as_u16(), reason(body));
    let is_passing =
        status.is_server_error() || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT);
    if is_passing { SearchError::Unavailable(words) } else { SearchError::Refused(words) }
}

/// An answer of a shape that we do not know.
pub(super) fn misunderstood(error: &serde_json::Error) -> SearchError {
    SearchError::Refused(format!("its answer is not understood: {error}"))
}

/// The error that an answer carries.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reason {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) reason: String,
    pub(super) caused_by: Option<Box<Reason>>,
}

impl Reason {
    /// Its words and those of its innermost cause.
    pub(super) fn words(&self) -> String {
        let mut cause = self.caused_by.as_deref();
        while let Some(inner) = cause.and_then(|cause| cause.caused_by.as_deref()) {
            cause = Some(inner);
        }
        let cause = cause.map(|cause| format!(": {}", cause.reason)).unwrap_or_default();
        shortened(&format!("{}: {}{cause}", self.kind, self.reason))
    }
}

fn reason(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Refusal {
        error: Reason,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.error.words(),
        Err(_) => shortened(&String::from_utf8_lossy(body)),
    }
}

fn shortened(words: &str) -> String {
    words.chars().take(WORDS).collect()
}

/// The error and its causes; the HTTP library shows only its kind.
pub(super) fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    shortened(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_the_rest_is_refused() {
        let body = br#"{"error":{"type":"a","reason":"b","caused_by":{"type":"c","reason":"d","caused_by":{"type":"e","reason":"f"}}},"status":400}"#;
        for (status, is_passing) in
            [(429, true), (503, true), (500, true), (408, true), (400, false), (401, false), (404, false)]
        {
            let failure = failure(StatusCode::from_u16(status).unwrap(), body);
            assert_eq!(matches!(failure, SearchError::Unavailable(_)), is_passing, "{failure}");
            assert!(failure.to_string().ends_with(&format!("{status}: a: b: f")), "{failure}");
        }
        let plain = failure(StatusCode::BAD_GATEWAY, b"<html>").to_string();
        assert!(plain.ends_with("502: <html>"), "{plain}");
    }
}
