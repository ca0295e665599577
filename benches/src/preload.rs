//! A fast producer that fills a topic before something is measured.

use crate::events::Mix;
use crate::servers::kafka;
use anyhow::Context;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Counts what the broker acknowledged.
#[derive(Clone, Debug, Default)]
struct Acknowledged(Arc<AtomicU64>);

impl ClientContext for Acknowledged {}

impl ProducerContext for Acknowledged {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_ok() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Produces the whole mix and waits for every acknowledgement. Returns records per second.
///
/// # Errors
/// If the broker did not take all.
pub fn preload(topic: &str, mix: &Mix) -> anyhow::Result<f64> {
    let mut filler = Filler::new(topic)?;
    let mut payload = Vec::new();
    for number in 0..mix.events {
        let key = mix.write(number, &mut payload)?;
        filler.send(&key, &payload)?;
    }
    filler.end()
}

/// The same for any records: key and value.
///
/// # Errors
/// If the broker did not take all.
pub fn send(topic: &str, records: impl Iterator<Item = (String, String)>) -> anyhow::Result<f64> {
    let mut filler = Filler::new(topic)?;
    for (key, payload) in records {
        filler.send(&key, payload.as_bytes())?;
    }
    filler.end()
}

struct Filler<'a> {
    topic: &'a str,
    acknowledged: Acknowledged,
    producer: BaseProducer<Acknowledged>,
    began: Instant,
    sent: u64,
}

impl<'a> Filler<'a> {
    fn new(topic: &'a str) -> anyhow::Result<Self> {
        let acknowledged = Acknowledged::default();
        let producer = kafka()?
            .set("enable.idempotence", "true")
            .set("compression.type", "lz4")
            .set("linger.ms", "20")
            .set("batch.size", "1000000")
            .set("queue.buffering.max.messages", "200000")
            .create_with_context(acknowledged.clone())?;
        Ok(Self { topic, acknowledged, producer, began: Instant::now(), sent: 0 })
    }

    fn send(&mut self, key: &str, payload: &[u8]) -> anyhow::Result<()> {
        let mut record = BaseRecord::to(self.topic).key(key).payload(payload);
        while let Err((error, refused)) = self.producer.send(record) {
            anyhow::ensure!(
                matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                "cannot produce: {error}"
            );
            self.producer.poll(Duration::from_millis(10));
            record = refused;
        }
        if self.sent.is_multiple_of(1_000) {
            self.producer.poll(Duration::ZERO);
        }
        self.sent += 1;
        Ok(())
    }

    /// Waits for every acknowledgement. Records per second.
    fn end(self) -> anyhow::Result<f64> {
        self.producer.flush(Duration::from_secs(120)).context("the broker did not take the preload in time")?;
        let taken = self.acknowledged.0.load(Ordering::Relaxed);
        anyhow::ensure!(taken == self.sent, "the broker took {taken} of {} records", self.sent);
        Ok(per_second(taken, self.began.elapsed()))
    }
}

/// Records per second.
pub fn per_second(records: u64, elapsed: Duration) -> f64 {
    let exact = u32::try_from(records).unwrap_or(u32::MAX);
    f64::from(exact) / elapsed.as_secs_f64()
}
