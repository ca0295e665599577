//! The claim of a partition: where its new tenure begins to read, whatever has become of the log meanwhile.

use super::tenures::Tenures;
use crate::failpoint::{self, Point};
use crate::flusher::retry::Patience;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schema::checkpoint::{Rewind, Tenure};
use std::time::Duration;
use tokio::time::timeout;

/// How long the broker may take to tell a partition's bounds.
const WATERMARKS: Duration = Duration::from_secs(5);
/// How long the database may take for a claim: one that hangs must not keep the engine from ending.
const ANSWERS: Duration = Duration::from_secs(3);
/// Milliseconds within which an event is sent to the log after it was received.
const SENT_WITHIN: i64 = 1_000;

impl Tenures {
    /// Without the database there is no start offset, so this waits for it.
    pub(super) async fn claim(&self, partition: i32) -> Option<Tenure> {
        let mut wait = Patience::default();
        while !self.links.controls.is_stopping() {
            match self.try_claim(partition).await {
                Ok(tenure) => return Some(tenure),
                Err(error) => wait.after(&error, "cannot claim a partition, will try again").await,
            }
        }
        None
    }

    async fn try_claim(&self, partition: i32) -> Result<Tenure, String> {
        failpoint::pass(Point::Assign).await.map_err(|struck| struck.to_string())?;
        let claimed = timeout(ANSWERS, async {
            let mut connection = self.links.database.get().await.map_err(|error| error.to_string())?;
            let (group, topic) = (&self.config.group, &self.config.topic);
            let claimed = schema::checkpoint::claim(&mut connection, group, topic, partition).await;
            claimed.map_err(|error| error.to_string())
        });
        claimed.await.unwrap_or_else(|_| Err(format!("the database did not answer within {ANSWERS:?}")))
    }

    /// A log that ends before our checkpoint is another log, or has lost its end: the difference is recorded as a gap (G7), and
    /// reading goes on with the first record that is newer than all that is durable. Returns the log's end, too; 0 if it is
    /// not told.
    pub(super) fn reconcile(&self, consumer: &BaseConsumer<Self>, partition: i32, tenure: Tenure) -> (Tenure, i64) {
        let told = consumer.fetch_watermarks(&self.config.topic, partition, WATERMARKS).and_then(|(low, high)| {
            let is_whole = tenure.next_offset <= high;
            let restart_at = if is_whole { high } else { self.first_new(consumer, partition, (low, high), tenure)? };
            Ok((low, high, restart_at))
        });
        let (low, high, restart_at) = match told {
            Ok(told) => told,
            Err(error) => {
                // The thread that watches the log's end sees it, if the log ends too early.
                tracing::warn!(partition, %error, "the log does not tell its bounds");
                return (tenure, 0);
            }
        };
        if tenure.next_offset <= high {
            return (tenure, high);
        }
        let reason = if restart_at > low {
            "the log lost its end: it ended before the checkpoint"
        } else {
            "the log was re-created: it ended before the checkpoint"
        };
        tracing::error!(partition, checkpoint = tenure.next_offset, log_end = high, restart_at, reason);
        let rewind = Rewind {
            group: &self.config.group,
            topic: &self.config.topic,
            partition,
            epoch: tenure.epoch,
            from_offset: high,
            checkpoint: tenure.next_offset,
            restart_at,
            reason,
        };
        match self.rewind(&rewind) {
            Ok(()) => (Tenure { next_offset: restart_at, ..tenure }, high),
            Err(error) => {
                tracing::error!(partition, error, "cannot record that the log ended before the checkpoint");
                (tenure, high)
            }
        }
    }

    fn rewind(&self, rewind: &Rewind<'_>) -> Result<(), String> {
        let rewound = async {
            let mut connection = self.links.database.get().await.map_err(|error| error.to_string())?;
            schema::checkpoint::rewind(&mut connection, rewind).await.map_err(|error| error.to_string())
        };
        // A timer begins inside the runtime.
        let rewound = self.links.runtime.block_on(async { timeout(ANSWERS, rewound).await });
        rewound.unwrap_or_else(|_| Err(format!("the database did not answer within {ANSWERS:?}")))
    }

    /// The first record that was sent after the newest event which is durable: what stands before it has been counted. In a log
    /// that was made anew that is its first.
    fn first_new(
        &self,
        consumer: &BaseConsumer<Self>,
        partition: i32,
        (low, high): (i64, i64),
        tenure: Tenure,
    ) -> KafkaResult<i64> {
        let Some(until) = tenure.complete_until else { return Ok(low) };
        let mut asked = TopicPartitionList::new();
        let after = Offset::Offset(until.timestamp_millis().saturating_add(SENT_WITHIN));
        asked.add_partition_offset(&self.config.topic, partition, after)?;
        let told = consumer.offsets_for_times(asked, WATERMARKS)?;
        let Some(first) = told.find_partition(&self.config.topic, partition) else { return Ok(low) };
        first.error()?;
        Ok(match first.offset() {
            Offset::Offset(first) => first.clamp(low, high),
            Offset::End => high,
            _ => low,
        })
    }
}
