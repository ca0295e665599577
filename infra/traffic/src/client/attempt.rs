//! One HTTP request and what came of it.

use super::answer::{self, Answer, Cause};
use super::{ClientConfig, ClientError};
use crate::key::KEY_HEADER;
use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Url};

/// Sends requests to one ingest API over kept-alive connections.
#[derive(Debug)]
pub(super) struct Sender {
    http: Client,
    url: Url,
    is_batched: bool,
}

impl Sender {
    pub(super) fn new(config: &ClientConfig) -> Result<Self, ClientError> {
        let is_batched = config.batch > 1;
        let path: &[&str] = if is_batched { &["v1", "events", "batch"] } else { &["v1", "events"] };
        let url = endpoint(&config.ingest_url, path).ok_or_else(|| ClientError::Url(config.ingest_url.clone()))?;
        let mut headers = HeaderMap::new();
        headers.insert(KEY_HEADER, config.key.header().map_err(|_| ClientError::Key)?);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let http = Client::builder()
            .default_headers(headers)
            .pool_max_idle_per_host(config.connections)
            .connect_timeout(config.request_timeout)
            .timeout(config.request_timeout)
            .build()?;
        Ok(Self { http, url, is_batched })
    }

    /// Whether requests carry a batch, even one of a single event.
    pub(super) fn is_batched(&self) -> bool {
        self.is_batched
    }

    /// Sends once and waits for the answer, at most for the configured time.
    pub(super) async fn attempt(&self, body: Bytes, events: usize) -> Answer {
        let response = match self.http.post(self.url.clone()).body(body).send().await {
            Ok(response) => response,
            Err(error) => return Answer::again(cause(&error)),
        };
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).cloned();
        match response.bytes().await {
            Ok(body) => {
                let retry_after = retry_after.as_ref().and_then(|value| value.to_str().ok());
                answer::read(status, retry_after, &body, events)
            }
            // Whatever the status said, an answer that was cut short is none.
            Err(error) => Answer::again(cause(&error)),
        }
    }
}

/// The URL of an endpoint below a base; `None` if the base is not an HTTP server's.
pub(crate) fn endpoint(base: &Url, path: &[&str]) -> Option<Url> {
    let mut url = matches!(base.scheme(), "http" | "https").then(|| base.clone())?;
    url.path_segments_mut().ok()?.pop_if_empty().extend(path);
    Some(url)
}

fn cause(error: &reqwest::Error) -> Cause {
    // A connect error first: one that timed out while connecting has sent nothing either.
    if error.is_connect() {
        Cause::Unreachable
    } else if error.is_timeout() {
        Cause::TimedOut
    } else {
        Cause::ConnectionLost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_go_below_the_base() {
        let of = |base: &str| endpoint(&Url::parse(base).unwrap(), &["v1", "events"]).map(String::from);
        assert_eq!(of("http://h:1").as_deref(), Some("http://h:1/v1/events"));
        assert_eq!(of("http://h:1/").as_deref(), Some("http://h:1/v1/events"));
        assert_eq!(of("https://h/signals/").as_deref(), Some("https://h/signals/v1/events"));
        assert_eq!(of("ftp://h/"), None);
    }
}
