//! One request and its answer, bounded in time and size.

use super::config::{ModelConfig, ModelSetupError};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::{Client, Response, Url, redirect};
use serde_json::Value;
use std::error::Error;
use std::time::Duration;

/// Longest answer that is read, in bytes, after decompression.
const LONGEST_BODY: usize = 1 << 20;
/// Longest time to connect.
const CONNECT: Duration = Duration::from_secs(5);

/// The endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    client: Client,
    url: Url,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

/// No answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("the model endpoint did not answer in time")]
    TimedOut,
    #[error("the model endpoint cannot be reached: {0}")]
    Unreachable(String),
    #[error("the model endpoint's answer is longer than 1 MiB")]
    TooLong,
}

impl Endpoint {
    pub fn new(config: &ModelConfig) -> Result<Self, ModelSetupError> {
        let mut headers = HeaderMap::new();
        if let Some(key) = &config.api_key {
            let bearer = format!("Bearer {}", key.expose().trim());
            let mut value = HeaderValue::from_str(&bearer).map_err(|_| ModelSetupError::ApiKey)?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        // No redirects: they would carry the facts to a host that nobody has named.
        let mut client = Client::builder()
            .default_headers(headers)
            .connect_timeout(CONNECT.min(config.timeout))
            .timeout(config.timeout)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("signals/", env!("CARGO_PKG_VERSION")));
        if config.is_local() {
            client = client.no_proxy();
        }
        let client = client.build().map_err(ModelSetupError::Client)?;
        Ok(Self { client, url: config.completions()? })
    }

    pub async fn post(&self, body: &Value) -> Result<Answered, Unanswered> {
        let answer = self.client.post(self.url.clone()).json(body).send().await.map_err(|error| unanswered(&error))?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        Ok(Answered { status, headers, body: text(answer).await? })
    }
}

async fn text(mut answer: Response) -> Result<String, Unanswered> {
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| unanswered(&error))? {
        if body.len() + chunk.len() > LONGEST_BODY {
            return Err(Unanswered::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}

/// Tells the innermost cause: the outer ones only repeat the address.
fn unanswered(error: &reqwest::Error) -> Unanswered {
    if error.is_timeout() {
        return Unanswered::TimedOut;
    }
    let mut cause: &dyn Error = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    Unanswered::Unreachable(cause.to_string())
}
