//! What librdkafka calls while the group hands partitions over: on the poll thread, inside `poll`.

use super::tenures::Tenures;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

impl ClientContext for Tenures {
    fn error(&self, error: KafkaError, reason: &str) {
        // The poll thread says it once, with what follows from it.
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }
}

impl ConsumerContext for Tenures {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => assign(self, consumer, partitions),
            Rebalance::Revoke(partitions) => {
                let revoked: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
                self.end(Some(&revoked));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // A partition that went away while it was paused comes back paused.
        if let Rebalance::Assign(partitions) = rebalance
            && let Err(error) = consumer.resume(partitions)
        {
            tracing::warn!(%error, "cannot resume partitions");
        }
    }
}

fn assign(tenures: &Tenures, consumer: &BaseConsumer<Tenures>, partitions: &TopicPartitionList) {
    for mut element in partitions.elements() {
        // Without a tenure the records are thrown away, until one begins and fetches from the checkpoint.
        let Some(from) = tenures.begin(consumer, element.partition()) else { continue };
        if let Err(error) = element.set_offset(Offset::Offset(from)) {
            tracing::error!(partition = element.partition(), %error, "cannot set the start offset");
        }
    }
}
