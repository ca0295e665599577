//! Once a second, asks the log where each of our partitions ends: lag for the operator, freshness for the reader (G8).
//!
//! A thread of its own, since librdkafka's question blocks, and the poll thread must not wait. It decides nothing: without
//! an answer the figures grow old, and say so by their age.

use super::controls::Controls;
use super::tenures::{TenureView, Tenures};
use crate::config::{Database, EngineConfig};
use rdkafka::consumer::{BaseConsumer, Consumer};
use schema::freshness::Sighting;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

const EVERY: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(3);

/// The thread's memory.
pub(crate) struct WatermarkThread {
    pub consumer: Arc<BaseConsumer<Tenures>>,
    pub config: Arc<EngineConfig>,
    pub controls: Arc<Controls>,
    pub database: Database,
    pub runtime: tokio::runtime::Handle,
}

impl WatermarkThread {
    /// Asks until the engine stops.
    pub(crate) fn run(self) {
        while !self.controls.is_stopping() {
            let began = Instant::now();
            for tenure in self.consumer.context().view() {
                if tenure.is_alive && !self.controls.is_stopping() {
                    self.ask(&tenure);
                }
            }
            self.controls.wait(EVERY.saturating_sub(began.elapsed()));
        }
    }

    fn ask(&self, tenure: &TenureView) {
        // Looked at before the log is asked: whatever becomes durable meanwhile may lie behind the answer.
        let (durable, asked) = (tenure.progress.durable(), Instant::now());
        let high_watermark = match self.consumer.fetch_watermarks(&self.config.topic, tenure.partition, PATIENCE) {
            Ok((_, high)) => high,
            Err(error) => {
                tracing::debug!(partition = tenure.partition, %error, "the log does not tell its end");
                return;
            }
        };
        if high_watermark < durable {
            // What this log holds would be taken for what was counted long ago, and never be missed.
            let why = format!("the log ends at {high_watermark}, and {durable} is durable");
            self.consumer.context().condemn(tenure.partition, tenure.epoch, why);
            return;
        }
        tenure.progress.set_high_watermark(high_watermark);
        let noted = async {
            let mut connection = self.database.get().await.map_err(|error| error.to_string())?;
            let seen = Sighting {
                group: &self.config.group,
                topic: &self.config.topic,
                partition: tenure.partition,
                epoch: tenure.epoch,
                high_watermark,
                age: asked.elapsed().as_secs_f64(),
            };
            schema::freshness::note(&mut connection, &seen).await.map_err(|error| error.to_string())
        };
        // A timer begins inside the runtime.
        let noted = self.runtime.block_on(async { timeout(PATIENCE, noted).await });
        if let Err(error) = noted.unwrap_or_else(|_| Err("the database does not answer".to_owned())) {
            tracing::debug!(partition = tenure.partition, error, "the log's end could not be noted");
        }
    }
}
