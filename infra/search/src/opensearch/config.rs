//! Where OpenSearch is and how far to trust it.

use opensearch::auth::Credentials;
use opensearch::cert::{Certificate, CertificateValidation};
use opensearch::http::transport::{SingleNodeConnectionPool, Transport, TransportBuilder};
use serde::Deserialize;
use std::fmt;
use url::Url;

/// The section of the environment that names the search server.
#[derive(Clone, Default, Deserialize)]
pub struct OpenSearchConfig {
    /// `OPENSEARCH_URL`: `https://host:9200`; the embedded index if unset.
    #[serde(default)]
    pub opensearch_url: String,
    /// `OPENSEARCH_USERNAME`.
    #[serde(default)]
    pub opensearch_username: Option<String>,
    /// `OPENSEARCH_PASSWORD`.
    #[serde(default)]
    pub opensearch_password: Option<String>,
    /// `OPENSEARCH_CA_CERT`: PEM text or the path of a PEM file, trusted besides the system's roots.
    #[serde(default)]
    pub opensearch_ca_cert: Option<String>,
}

// The URL may carry a password too, so Debug shows where it leads and nothing else.
impl fmt::Debug for OpenSearchConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSearchConfig").field("at", &self.place()).finish_non_exhaustive()
    }
}

/// Why no client could be made.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// `OPENSEARCH_URL`.
    #[error("OPENSEARCH_URL is no http or https URL")]
    Url,
    /// `OPENSEARCH_CA_CERT`.
    #[error("OPENSEARCH_CA_CERT is neither PEM text nor a readable PEM file: {0}")]
    Certificate(String),
    /// The HTTP library refuses the settings.
    #[error("the client of OpenSearch cannot be set up: {0}")]
    Client(String),
}

impl OpenSearchConfig {
    /// The server at this URL, without more.
    pub fn at(url: impl Into<String>) -> Self {
        Self { opensearch_url: url.into(), ..Self::default() }
    }

    /// Where it is, without user and password.
    pub fn place(&self) -> String {
        self.url().map_or_else(|_| "?".to_owned(), |url| url.to_string())
    }

    fn url(&self) -> Result<Url, ConfigError> {
        let mut url = self.parsed()?;
        // These two cannot fail on a URL with a host.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(url)
    }

    fn parsed(&self) -> Result<Url, ConfigError> {
        let url = Url::parse(self.opensearch_url.trim()).map_err(|_| ConfigError::Url)?;
        if matches!(url.scheme(), "http" | "https") && url.has_host() { Ok(url) } else { Err(ConfigError::Url) }
    }

    /// User and password of their variables, else of the URL.
    fn credentials(&self) -> Result<Option<Credentials>, ConfigError> {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(username) = set(&self.opensearch_username) {
            return Ok(Some(Credentials::Basic(username, set(&self.opensearch_password).unwrap_or_default())));
        }
        let url = self.parsed()?;
        let plain = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let password = plain(url.password().unwrap_or_default());
        Ok(Some(plain(url.username())).filter(|name| !name.is_empty()).map(|name| Credentials::Basic(name, password)))
    }

    fn authority(&self) -> Result<Option<Certificate>, ConfigError> {
        let bad = |error: &dyn fmt::Display| ConfigError::Certificate(error.to_string());
        let Some(ca) = self.opensearch_ca_cert.as_deref().filter(|ca| !ca.trim().is_empty()) else { return Ok(None) };
        let pem = if ca.contains("-----BEGIN") {
            ca.as_bytes().to_vec()
        } else {
            std::fs::read(ca.trim()).map_err(|error| bad(&error))?
        };
        let certificates = Certificate::from_pem(&pem).map_err(|error| bad(&error))?;
        if certificates.is_empty() {
            return Err(bad(&"it holds no certificate"));
        }
        Ok(Some(certificates))
    }

    /// A client; it connects when it is asked something.
    pub(super) fn transport(&self) -> Result<Transport, ConfigError> {
        let mut builder = TransportBuilder::new(SingleNodeConnectionPool::new(self.url()?));
        if let Some(credentials) = self.credentials()? {
            builder = builder.auth(credentials);
        }
        if let Some(authority) = self.authority()? {
            builder = builder.cert_validation(CertificateValidation::Full(authority));
        }
        builder.build().map_err(|error| ConfigError::Client(super::call::sentence(&error)))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn neither_debug_nor_the_place_shows_a_password() {
        let config = OpenSearchConfig {
            opensearch_password: Some("hunter2".into()),
            ..OpenSearchConfig::at("https://me:hunter2@host:9200")
        };
        assert!(!format!("{config:?} {}", config.place()).contains("hunter2"));
        assert_eq!(config.place(), "https://host:9200/");
        assert!(config.transport().is_ok());
    }

    #[test]
    fn user_and_password_come_from_their_variables_or_from_the_url() {
        let basic = |config: &OpenSearchConfig| match config.credentials().unwrap() {
            Some(Credentials::Basic(user, password)) => format!("{user}:{password}"),
            other => format!("{other:?}"),
        };
        let mut config = OpenSearchConfig::at("https://in%40url:a%3Ab@host");
        assert_eq!(basic(&config), "in@url:a:b");
        config.opensearch_username = Some("me".into());
        config.opensearch_password = Some("word".into());
        assert_eq!(basic(&config), "me:word");
        assert_eq!(basic(&OpenSearchConfig::at("http://host")), "None");
    }

    #[test]
    fn what_is_wrong_is_named() {
        for url in ["", "host:9200", "ftp://host", "http://"] {
            assert!(matches!(OpenSearchConfig::at(url).transport(), Err(ConfigError::Url)), "{url}");
        }
        for ca in ["/nowhere.pem", "-----BEGIN nothing", env!("CARGO_MANIFEST_PATH")] {
            let config =
                OpenSearchConfig { opensearch_ca_cert: Some(ca.into()), ..OpenSearchConfig::at("https://host") };
            let error = config.transport().err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains("OPENSEARCH_CA_CERT"), "{ca}: {error}");
        }
    }
}
