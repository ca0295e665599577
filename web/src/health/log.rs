//! Whether the log answers.

use super::Probes;
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, Producer};
use std::sync::Arc;
use std::time::Duration;

/// How long a broker may take; less than a probe.
const PATIENCE: Duration = Duration::from_millis(1_500);

impl Probes {
    /// Adds the probe `log`: a broker tells of the topic.
    ///
    /// # Errors
    /// librdkafka's, for settings that it does not know.
    pub fn add_log(self, kafka: &ClientConfig, topic: &str) -> Result<Self, KafkaError> {
        let (client, topic) = (Arc::new(kafka.create::<BaseProducer>()?), Arc::<str>::from(topic));
        Ok(self.add("log", move || {
            let (client, topic) = (Arc::clone(&client), Arc::clone(&topic));
            async move {
                // It blocks, and for no longer than a probe may take.
                let asked = tokio::task::spawn_blocking(move || brokers(&client, &topic)).await;
                asked.unwrap_or_else(|_| Err("its probe panicked".to_owned())).map(Some)
            }
        }))
    }
}

/// How many brokers know of the topic, in words. What librdkafka says of them names hosts; that is for the log.
fn brokers(client: &BaseProducer, topic: &str) -> Result<String, String> {
    let told = client.client().fetch_metadata(Some(topic), PATIENCE).map_err(|error| {
        tracing::warn!(%error, "the probe of the log failed");
        "does not answer".to_owned()
    })?;
    match told.topics().first() {
        Some(found) if found.error().is_none() && !found.partitions().is_empty() => {
            Ok(format!("{} brokers, {} partitions", told.brokers().len(), found.partitions().len()))
        }
        _ => Err("the topic is not there".to_owned()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;

    #[actix_web::test]
    async fn a_log_that_is_away_is_named_in_time() {
        let mut kafka = ClientConfig::new();
        // Nobody listens there.
        kafka.set("bootstrap.servers", "127.0.0.1:9");
        let probes = Probes::new().add_log(&kafka, "signals.raw.v1").unwrap();
        let asked = Instant::now();
        let report = probes.report().await;
        assert_eq!((report.status, report.checks.len()), ("unhealthy", 1));
        assert_eq!(report.checks.first().map(|check| check.name), Some("log"));
        assert_eq!(report.checks.first().and_then(|check| check.detail.as_deref()), Some("does not answer"));
        assert!(asked.elapsed() < PATIENCE * 2, "{:?}", asked.elapsed());
        assert_eq!(probes.life().await.status, "healthy", "a log that is away restarts nobody");
    }
}
