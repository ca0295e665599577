//! What the environment says, one struct a section; the README's table lists every variable.

use rdkafka::ClientConfig;
pub use schema::secret::Secret;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::{IpAddr, Ipv4Addr};
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;

/// How to reach Kafka.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct KafkaConfig {
    /// `KAFKA_BROKERS`: comma-separated host:port; the embedded log if unset.
    #[serde(default)]
    pub kafka_brokers: String,
    /// `KAFKA_SECURITY_PROTOCOL`: `plaintext` (default), `ssl`, `sasl_plaintext`, `sasl_ssl`.
    #[serde(default)]
    pub kafka_security_protocol: Option<String>,
    /// `KAFKA_SASL_MECHANISM`: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512`.
    #[serde(default)]
    pub kafka_sasl_mechanism: Option<String>,
    /// `KAFKA_USERNAME`.
    #[serde(default)]
    pub kafka_username: Option<String>,
    /// `KAFKA_PASSWORD`.
    #[serde(default)]
    pub kafka_password: Option<Secret>,
    /// `KAFKA_CA_CERT`: PEM text or the path of a PEM file.
    #[serde(default)]
    pub kafka_ca_cert: Option<String>,
}

impl KafkaConfig {
    /// librdkafka's settings. It checks them when a client is created, and says which one it does not know.
    pub fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.kafka_brokers).set("client.id", "signals");
        let texts = [
            ("security.protocol", self.kafka_security_protocol.as_deref()),
            ("sasl.mechanism", self.kafka_sasl_mechanism.as_deref()),
            ("sasl.username", self.kafka_username.as_deref()),
            ("sasl.password", self.kafka_password.as_ref().map(Secret::expose)),
        ];
        for (name, value) in texts {
            if let Some(value) = value.filter(|value| !value.is_empty()) {
                client.set(name, value);
            }
        }
        if let Some(ca) = self.kafka_ca_cert.as_deref().filter(|ca| !ca.is_empty()) {
            client.set(if ca.contains("-----BEGIN") { "ssl.ca.pem" } else { "ssl.ca.location" }, ca);
        }
        client
    }
}

/// Everything of ours that is not about another server.
#[derive(Clone, Debug, Deserialize)]
pub struct SignalsConfig {
    /// `SIGNALS_DATA_DIR`: where the embedded servers keep their data.
    #[serde(default = "data_dir")]
    pub data_dir: PathBuf,
    /// `SIGNALS_BIND`: address of the HTTP servers.
    #[serde(default = "bind")]
    pub bind: IpAddr,
    /// `SIGNALS_INGEST_PORT`; 0 takes any free one.
    #[serde(default = "ingest_port")]
    pub ingest_port: u16,
    /// `SIGNALS_CORE_PORT`; 0 takes any free one.
    #[serde(default = "core_port")]
    pub core_port: u16,
    /// `SIGNALS_METRICS_PORT`: also serves `/metrics` and the health routes there; 0 takes any free one.
    #[serde(default)]
    pub metrics_port: Option<u16>,
    /// `SIGNALS_SEED_API_KEY`: the demo project's key; a random one, kept in the data folder, if unset.
    #[serde(default)]
    pub seed_api_key: Option<Secret>,
    /// `SIGNALS_DATABASE_CONNECTIONS`: connections to PostgreSQL that this process may hold, besides five for API keys.
    #[serde(default = "connections")]
    pub database_connections: usize,
    /// `SIGNALS_SHUTDOWN_GRACE`: seconds that a process told to end goes on serving while `/readyz` says that it wants no
    /// more, so that whoever sends it requests can turn away; 0 if unset.
    #[serde(default)]
    pub shutdown_grace: u64,
    /// `SIGNALS_SEARCH_RETENTION_DAYS`: events can be searched for so many days after their receipt.
    #[serde(default = "search_retention_days")]
    pub search_retention_days: NonZeroU32,
    /// `SIGNALS_METRICS_RETENTION_DAYS`: counts by the minute are kept for so many days of event time.
    #[serde(default = "metrics_retention_days")]
    pub metrics_retention_days: NonZeroU16,
}

impl SignalsConfig {
    /// The demo project's key, if the environment names one; an empty variable, as compose files leave them, names none.
    pub fn named_key(&self) -> Option<&str> {
        self.seed_api_key.as_ref().map(|key| key.expose().trim()).filter(|key| !key.is_empty())
    }
}

fn data_dir() -> PathBuf {
    ".signals".into()
}

fn bind() -> IpAddr {
    Ipv4Addr::LOCALHOST.into()
}

fn ingest_port() -> u16 {
    3000
}

fn core_port() -> u16 {
    3001
}

fn connections() -> usize {
    16
}

fn search_retention_days() -> NonZeroU32 {
    const { NonZeroU32::new(30).unwrap() }
}

fn metrics_retention_days() -> NonZeroU16 {
    const { NonZeroU16::new(90).unwrap() }
}

/// Reads a section, with our prefix or without one.
///
/// # Errors
/// A sentence that names the variable.
pub fn section<T: DeserializeOwned>(prefix: &str) -> anyhow::Result<T> {
    envy::prefixed(prefix)
        .from_env()
        .map_err(|error| anyhow::anyhow!("the environment is not valid: {prefix}* {error}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown_and_settings_reach_librdkafka() {
        let variables = [
            ("KAFKA_BROKERS", "a:1,b:2"),
            ("KAFKA_SECURITY_PROTOCOL", "sasl_ssl"),
            ("KAFKA_SASL_MECHANISM", "PLAIN"),
            ("KAFKA_USERNAME", "me"),
            ("KAFKA_PASSWORD", "hunter2"),
            ("KAFKA_CA_CERT", "/etc/ca.pem"),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config: KafkaConfig = envy::from_iter(variables).unwrap();
        assert!(!format!("{config:?}").contains("hunter2"));
        let client = config.client();
        assert_eq!(client.get("sasl.password"), Some("hunter2"));
        assert_eq!(client.get("ssl.ca.location"), Some("/etc/ca.pem"));
        assert_eq!(client.get("bootstrap.servers"), Some("a:1,b:2"));
    }

    #[test]
    fn a_bad_port_is_named() {
        let bad = [("SIGNALS_CORE_PORT".to_owned(), "70000".to_owned())];
        let error = envy::prefixed("SIGNALS_").from_iter::<_, SignalsConfig>(bad).unwrap_err();
        assert!(error.to_string().contains("70000"), "{error}");
    }
}
