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
    let acknowledged = Acknowledged::default();
    let producer: BaseProducer<Acknowledged> = kafka()?
        .set("enable.idempotence", "true")
        .set("compression.type", "lz4")
        .set("linger.ms", "20")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.messages", "200000")
        .create_with_context(acknowledged.clone())?;
    let began = Instant::now();
    let mut payload = Vec::new();
    for number in 0..mix.events {
        let key = mix.write(number, &mut payload)?;
        let mut record = BaseRecord::to(topic).key(&key).payload(&payload);
        while let Err((error, refused)) = producer.send(record) {
            anyhow::ensure!(
                matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)),
                "cannot produce: {error}"
            );
            producer.poll(Duration::from_millis(10));
            record = refused;
        }
        if number.is_multiple_of(1_000) {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(Duration::from_secs(120)).context("the broker did not take the preload in time")?;
    let taken = acknowledged.0.load(Ordering::Relaxed);
    anyhow::ensure!(taken == mix.events, "the broker took {taken} of {} records", mix.events);
    Ok(per_second(taken, began.elapsed()))
}

/// Records per second.
pub fn per_second(records: u64, elapsed: Duration) -> f64 {
    let exact = u32::try_from(records).unwrap_or(u32::MAX);
    f64::from(exact) / elapsed.as_secs_f64()
}
