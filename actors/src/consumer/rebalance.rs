//! What happens while the group hands partitions over: callbacks run on the poll thread and may block.

use crate::config::{Database, EngineConfig};
use crate::consumer::batch::RecordBatch;
use crate::router::dedupe::DedupeWindow;
use crate::router::tenure::{PartitionRouter, Title};
use crate::supervision::child::{DeathNotice, ExitReason, Obituary};
use actix::ArbiterHandle;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schema::names::ENGINE_GROUP;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc as blocking};
use std::time::Duration;
use tokio::sync::mpsc;

/// How long a revoked tenure may take for its last flush; after that the fence protects the next owner.
const LAST_FLUSH: Duration = Duration::from_secs(10);

struct Running {
    inbox: mpsc::Sender<RecordBatch>,
    ended: blocking::Receiver<()>,
}

/// Starts a tenure for each partition assigned and ends it when the partition is revoked.
#[expect(missing_debug_implementations, reason = "a database connection has no Debug")]
pub struct Tenures {
    database: Database,
    config: EngineConfig,
    arbiters: Vec<ArbiterHandle>,
    obituary: Obituary,
    runtime: tokio::runtime::Handle,
    running: Mutex<HashMap<i32, Running>>,
}

impl Tenures {
    /// `runtime` drives the database calls that the callbacks wait for; it must not be the poll thread's own.
    pub fn new(
        database: Database,
        config: EngineConfig,
        arbiters: Vec<ArbiterHandle>,
        obituary: Obituary,
        runtime: tokio::runtime::Handle,
    ) -> Self {
        Self { database, config, arbiters, obituary, runtime, running: Mutex::default() }
    }

    /// Where the records of a partition go now; none if it is not ours.
    pub fn inbox(&self, partition: i32) -> Option<mpsc::Sender<RecordBatch>> {
        self.lock().get(&partition).map(|running| running.inbox.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<i32, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn assign(&self, partitions: &TopicPartitionList) {
        for mut element in partitions.elements() {
            let title = self.runtime.block_on(self.claim(element.partition()));
            let from = DedupeWindow::new(self.config.dedupe_records, 0).read_again_from(title.next_offset);
            if let Err(error) = element.set_offset(Offset::Offset(from)) {
                tracing::error!(partition = title.partition, %error, "cannot set the start offset");
                let child = format!("PartitionRouter {}", title.partition);
                let _ = self.obituary.send(DeathNotice { child, reason: ExitReason::Failed });
            }
            self.start(title);
        }
    }

    /// Without the database there is no start offset, so this waits for it.
    async fn claim(&self, partition: i32) -> Title {
        loop {
            let claimed = match self.database.get().await {
                Ok(mut connection) => {
                    schema::checkpoint::claim(&mut connection, ENGINE_GROUP, &self.config.topic, partition)
                        .await
                        .map_err(|error| error.to_string())
                }
                Err(error) => Err(error.to_string()),
            };
            match claimed {
                Ok(tenure) => {
                    let topic = Arc::from(self.config.topic.as_str());
                    return Title { topic, partition, epoch: tenure.epoch, next_offset: tenure.next_offset };
                }
                Err(error) => tracing::warn!(partition, error, "cannot claim a partition, will try again"),
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    }

    fn start(&self, title: Title) {
        let (inbox, records) = mpsc::channel(self.config.batches_waiting);
        let (end, ended) = blocking::channel();
        let (partition, most, obituary) = (title.partition, self.config.flush_records, self.obituary.clone());
        tracing::info!(partition, epoch = title.epoch, next_offset = title.next_offset, "tenure begins");
        let router = PartitionRouter::new(title, self.database.clone(), &self.config, obituary.clone());
        let turn = usize::try_from(partition).unwrap_or(0) % self.arbiters.len().max(1);
        if let Some(arbiter) = self.arbiters.get(turn) {
            arbiter.spawn(async move {
                if let Err(error) = router.run(records, most).await {
                    tracing::warn!(partition, %error, "tenure ended early");
                    let child = format!("PartitionRouter {partition}");
                    let _ = obituary.send(DeathNotice { child, reason: ExitReason::Failed });
                }
                let _ = end.send(());
            });
        }
        self.lock().insert(partition, Running { inbox, ended });
    }

    /// Ends the tenures of these partitions, or all, each with a last flush.
    pub fn end(&self, partitions: Option<&[i32]>) {
        let ours: Vec<i32> = self.lock().keys().copied().collect();
        let mut ending = Vec::new();
        for partition in partitions.unwrap_or(&ours) {
            if let Some(running) = self.lock().remove(partition) {
                drop(running.inbox);
                ending.push((*partition, running.ended));
            }
        }
        for (partition, ended) in ending {
            if ended.recv_timeout(LAST_FLUSH).is_err() {
                tracing::warn!(partition, "the last flush took too long; the fence protects the next owner");
            }
        }
    }
}

impl ClientContext for Tenures {}

impl ConsumerContext for Tenures {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.assign(partitions),
            Rebalance::Revoke(partitions) => {
                let revoked: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
                self.end(Some(&revoked));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }
}
