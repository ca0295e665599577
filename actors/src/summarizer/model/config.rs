//! Which models are asked, where, and how long.

use reqwest::Url;
use schema::secret::Secret;
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// Where Gradient AI's serverless inference answers.
const GRADIENT: &str = "https://inference.do-ai.run/v1";
/// What is asked there unless said otherwise.
const GRADIENT_MODEL: &str = "llama3.3-70b-instruct";

/// `GRADIENT_*`: any OpenAI-compatible endpoint.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct GradientConfig {
    /// `GRADIENT_BASE_URL`: up to and with `/v1`, which is added if there is no path; Gradient AI if unset.
    pub base_url: Option<String>,
    /// `GRADIENT_API_KEY`: sent as bearer token; none is sent if unset, as local endpoints have it.
    pub api_key: Option<Secret>,
    /// `GRADIENT_MODEL`: a model's name, or several with commas: the next is asked when one is retired.
    pub model: Option<String>,
}

/// `SIGNALS_AI_*`: how the endpoint is asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct ModelTuning {
    /// `SIGNALS_AI_TIMEOUT_SECONDS`: for one request; all that an incident's summary needs takes three times that at most.
    pub timeout_seconds: u64,
    /// `SIGNALS_AI_MAX_TOKENS`: longest answer.
    pub max_tokens: u32,
}

impl Default for ModelTuning {
    fn default() -> Self {
        Self { timeout_seconds: 30, max_tokens: 900 }
    }
}

/// Which models are asked, where, and how long.
#[derive(Clone, Debug)]
pub struct ModelConfig {
    /// Up to and without `/chat/completions`.
    pub base_url: Url,
    /// Bearer token.
    pub api_key: Option<Secret>,
    /// In the order in which they are asked; never empty.
    pub models: Vec<String>,
    /// For one request.
    pub timeout: Duration,
    /// Longest answer, in tokens.
    pub max_tokens: u32,
}

/// Why no model can be asked as configured.
#[derive(Debug, thiserror::Error)]
pub enum ModelSetupError {
    /// Not an absolute http(s) URL, or one with a password in it.
    #[error("GRADIENT_BASE_URL must be an http(s) URL without user and password, as https://host/v1")]
    BaseUrl,
    /// An endpoint of one's own, and no model named.
    #[error("GRADIENT_MODEL must name a model of GRADIENT_BASE_URL")]
    Model,
    /// The key holds what no header can.
    #[error("GRADIENT_API_KEY holds a character that no header may hold")]
    ApiKey,
    /// A limit of nought.
    #[error("SIGNALS_AI_TIMEOUT_SECONDS and SIGNALS_AI_MAX_TOKENS must be 1 or more")]
    Limit,
    /// The HTTP client could not be made: TLS has no trusted roots, for example.
    #[error("the client of the model endpoint cannot be made: {0}")]
    Client(#[source] reqwest::Error),
}

impl ModelConfig {
    /// What the environment says; none if it names neither a key nor an endpoint: then no model is asked.
    ///
    /// # Errors
    /// [`ModelSetupError`] if what it says cannot work.
    pub fn from_sections(gradient: GradientConfig, tuning: &ModelTuning) -> Result<Option<Self>, ModelSetupError> {
        let api_key = gradient.api_key.filter(|key| !key.expose().trim().is_empty());
        let base_url = gradient.base_url.filter(|url| !url.trim().is_empty());
        if api_key.is_none() && base_url.is_none() {
            return Ok(None);
        }
        if tuning.timeout_seconds == 0 || tuning.max_tokens == 0 {
            return Err(ModelSetupError::Limit);
        }
        let names = gradient.model.unwrap_or_default();
        let mut models: Vec<String> =
            names.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
        if models.is_empty() {
            models =
                if api_key.is_some() { vec![GRADIENT_MODEL.to_owned()] } else { return Err(ModelSetupError::Model) };
        }
        Ok(Some(Self {
            base_url: base(base_url.as_deref().unwrap_or(GRADIENT))?,
            api_key,
            models,
            timeout: Duration::from_secs(tuning.timeout_seconds),
            max_tokens: tuning.max_tokens,
        }))
    }

    /// Where questions go.
    pub(super) fn completions(&self) -> Result<Url, ModelSetupError> {
        let mut url = self.base_url.clone();
        url.path_segments_mut().map_err(|()| ModelSetupError::BaseUrl)?.pop_if_empty().extend(["chat", "completions"]);
        Ok(url)
    }

    /// Whether the endpoint is on this machine: no proxy leads there.
    pub(super) fn is_local(&self) -> bool {
        let host = self.base_url.host_str().unwrap_or_default();
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        host == "localhost" || address.is_ok_and(|address| address.is_loopback())
    }
}

/// The base as a URL without a query and with a path.
fn base(text: &str) -> Result<Url, ModelSetupError> {
    let text = text.trim().trim_end_matches('/').trim_end_matches("/chat/completions");
    let mut url = Url::parse(text).map_err(|_| ModelSetupError::BaseUrl)?;
    let is_plain = url.username().is_empty() && url.password().is_none();
    if !is_plain || !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(ModelSetupError::BaseUrl);
    }
    url.set_query(None);
    url.set_fragment(None);
    if url.path() == "/" {
        url.set_path("/v1");
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Option<ModelConfig>, ModelSetupError> {
        let variables: Vec<_> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let gradient = envy::prefixed("GRADIENT_").from_iter(variables.clone()).unwrap();
        ModelConfig::from_sections(gradient, &envy::prefixed("SIGNALS_AI_").from_iter(variables).unwrap())
    }

    #[test]
    fn a_key_alone_means_gradient_and_its_llama() {
        let config = read(&[("GRADIENT_API_KEY", "hunter2")]).unwrap().unwrap();
        assert_eq!(config.completions().unwrap().as_str(), "https://inference.do-ai.run/v1/chat/completions");
        assert_eq!((config.models.as_slice(), config.max_tokens), (&["llama3.3-70b-instruct".to_owned()][..], 900));
        assert_eq!(config.timeout, Duration::from_secs(30));
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[test]
    fn a_base_url_may_be_written_in_every_usual_way() {
        for written in [
            "http://127.0.0.1:8000",
            "http://127.0.0.1:8000/",
            "http://127.0.0.1:8000/v1/",
            "http://127.0.0.1:8000/v1/chat/completions",
        ] {
            let config = read(&[("GRADIENT_BASE_URL", written), ("GRADIENT_MODEL", "a, b,,c")]).unwrap().unwrap();
            assert_eq!(
                config.completions().unwrap().as_str(),
                "http://127.0.0.1:8000/v1/chat/completions",
                "{written}"
            );
            assert_eq!(config.models, ["a", "b", "c"]);
            assert!(config.is_local());
        }
        let other =
            read(&[("GRADIENT_BASE_URL", "https://h.example/openai"), ("GRADIENT_MODEL", "m")]).unwrap().unwrap();
        assert_eq!(other.completions().unwrap().as_str(), "https://h.example/openai/chat/completions");
        assert!(!other.is_local());
    }

    #[test]
    fn what_cannot_work_is_said_and_no_name_means_no_model() {
        assert!(read(&[]).unwrap().is_none());
        assert!(read(&[("GRADIENT_MODEL", "m"), ("GRADIENT_API_KEY", " ")]).unwrap().is_none());
        assert!(matches!(read(&[("GRADIENT_BASE_URL", "http://h")]), Err(ModelSetupError::Model)));
        for url in ["h:1", "ftp://h/v1", "https://user:pw@h/v1", "no url"] {
            let tried = read(&[("GRADIENT_BASE_URL", url), ("GRADIENT_MODEL", "m")]);
            assert!(matches!(tried, Err(ModelSetupError::BaseUrl)), "{url}");
        }
        let none = read(&[("GRADIENT_API_KEY", "k"), ("SIGNALS_AI_MAX_TOKENS", "0")]);
        assert!(matches!(none, Err(ModelSetupError::Limit)));
    }
}
