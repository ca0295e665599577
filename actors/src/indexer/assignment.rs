//! What happens while the group hands partitions over: callbacks run on the poll thread and may block.

use super::actor::{Indexer, Means};
use super::progress::Progress;
use crate::consumer::batch::RecordBatch;
use crate::consumer::controls::{Controls, Work};
use crate::supervision::child::Ended;
use crate::supervision::guardian::Tree;
use crate::supervision::kind::Kind;
use crate::supervision::panics;
use crate::supervision::view::Mailbox;
use actix::ArbiterHandle;
use futures_util::FutureExt;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How long a batch under way may take when its partition goes; after that the next owner stores it again.
const LAST_BATCH: Duration = Duration::from_secs(8);
/// The same when all of them end: whoever told the process to will not wait for long.
const VERY_LAST_BATCH: Duration = Duration::from_secs(4);
/// How long the broker may take to tell what the group has committed.
const COMMITTED: Duration = Duration::from_secs(5);
/// Batches that wait for an indexer, besides the one that grows.
const WAITING: usize = 1;

/// How an indexer ended.
#[derive(Debug)]
pub struct IndexerEnded {
    /// Its partition.
    pub partition: i32,
    /// Of what; none if it ended in order.
    pub ended: Option<Ended>,
    serial: u64,
}

struct Running {
    serial: u64,
    began: Instant,
    /// None after it was asked to end or has ended by itself.
    inbox: Option<mpsc::Sender<RecordBatch>>,
    ending: watch::Sender<bool>,
    progress: Arc<Progress>,
}

/// An assigned partition as the outside sees it.
#[derive(Clone, Debug)]
pub struct IndexerGlance {
    /// Partition.
    pub partition: i32,
    /// Whether its indexer still takes records.
    pub is_alive: bool,
    /// When the indexer began.
    pub began: Instant,
    /// Its inbox: batches.
    pub inbox: Mailbox,
    /// Figures.
    pub progress: Arc<Progress>,
}

/// What the indexers live on.
#[derive(Clone)]
pub(crate) struct Links {
    pub arbiter: ArbiterHandle,
    pub controls: Arc<Controls>,
    pub tree: Tree,
}

/// Starts an indexer for each partition assigned and ends it when the partition is revoked.
#[expect(missing_debug_implementations, reason = "a thread's handle has no Debug")]
pub struct Assignment {
    means: Means,
    links: Links,
    running: Mutex<(u64, HashMap<i32, Running>)>,
    ends: (blocking::Sender<IndexerEnded>, Mutex<blocking::Receiver<IndexerEnded>>),
    /// Whether the broker did not take a commit since the poll thread last asked.
    uncommitted: AtomicBool,
}

impl Assignment {
    pub(crate) fn new(means: Means, links: Links) -> Self {
        let (tell, told) = blocking::channel();
        Self {
            means,
            links,
            running: Mutex::default(),
            ends: (tell, Mutex::new(told)),
            uncommitted: AtomicBool::new(false),
        }
    }

    /// Where the records of a partition go now; none if it is not ours.
    pub fn inbox(&self, partition: i32) -> Option<mpsc::Sender<RecordBatch>> {
        self.lock().1.get(&partition).and_then(|running| running.inbox.clone())
    }

    /// The partitions of this process, in order.
    pub fn view(&self) -> Vec<IndexerGlance> {
        let running = self.lock();
        let glance = |(partition, running): (&i32, &Running)| IndexerGlance {
            partition: *partition,
            is_alive: running.inbox.is_some(),
            began: running.began,
            inbox: running.inbox.as_ref().map_or_else(Mailbox::default, |inbox| {
                let capacity = inbox.max_capacity();
                Mailbox { waiting: capacity.saturating_sub(inbox.capacity()), capacity }
            }),
            progress: Arc::clone(&running.progress),
        };
        let mut all: Vec<IndexerGlance> = running.1.iter().map(glance).collect();
        all.sort_by_key(|glance| glance.partition);
        all
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.links.tree
    }

    /// Whether a commit has failed since this was last asked.
    pub(crate) fn take_uncommitted(&self) -> bool {
        self.uncommitted.swap(false, Ordering::AcqRel)
    }

    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<i32, Running>)> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the indexer of a partition that begins at this offset.
    pub(crate) fn start(&self, partition: i32, from: Option<i64>) {
        let (inbox, records) = mpsc::channel(WAITING);
        let (ending, is_ending) = watch::channel(false);
        let progress = Arc::new(Progress::starting_at(from));
        tracing::info!(partition, from, "an indexer begins");
        let serial = {
            let mut running = self.lock();
            running.0 += 1;
            let serial = running.0;
            let began = Instant::now();
            let life = Running { serial, began, inbox: Some(inbox), ending, progress: Arc::clone(&progress) };
            running.1.insert(partition, life);
            serial
        };
        let alive = self.links.tree.chronicle.birth(Kind::Indexer);
        let indexer = Indexer::new(partition, self.means.clone(), progress, (is_ending, alive));
        let tell = self.ends.0.clone();
        let life = async move {
            let ended = AssertUnwindSafe(indexer.run(records)).catch_unwind().await;
            let ended = ended.unwrap_or_else(|_| Err(Ended::panicked(panics::last_message())));
            // The poll thread is gone only when everything ends.
            let _ = tell.send(IndexerEnded { partition, ended: ended.err(), serial });
        };
        if !self.links.arbiter.spawn(life) {
            let ended = Some(Ended::failed("its arbiter has ended"));
            let _ = self.ends.0.send(IndexerEnded { partition, ended, serial });
        }
    }

    /// Indexers that ended though nobody asked them to.
    pub(crate) fn reap(&self) -> Vec<IndexerEnded> {
        let ends = self.ends.1.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dead = Vec::new();
        while let Ok(end) = ends.try_recv() {
            let mut running = self.lock();
            if let Some(indexer) = running.1.get_mut(&end.partition).filter(|indexer| indexer.serial == end.serial) {
                indexer.inbox = None;
                dead.push(end);
            }
        }
        dead
    }

    /// Where the indexer of this partition must begin anew, if it has died and waits for that.
    pub(crate) fn dead(&self, partition: i32) -> Option<Option<i64>> {
        let running = self.lock();
        let dead = running.1.get(&partition).filter(|running| running.inbox.is_none())?;
        Some(dead.progress.stored())
    }

    /// Ends all indexers, each after the batch that it is storing, but keeps their places: their partitions are still ours.
    /// Returns those.
    pub(crate) fn retire(&self) -> Vec<i32> {
        let _aside = self.links.controls.turn_to(Work::EndingTenures);
        let mut awaited = HashMap::new();
        let mut retired = Vec::new();
        for (partition, indexer) in &mut self.lock().1 {
            retired.push(*partition);
            indexer.ending.send_replace(true);
            if indexer.inbox.take().is_some() {
                awaited.insert(indexer.serial, *partition);
            }
        }
        self.await_ends(awaited, LAST_BATCH);
        retired
    }

    /// Ends the indexers of these partitions, or all, each after the batch that it is storing. Returns what they have settled,
    /// to be committed while the partitions are still ours.
    pub(crate) fn end(&self, partitions: Option<&[i32]>) -> Vec<(i32, Arc<Progress>)> {
        let _aside = self.links.controls.turn_to(Work::EndingTenures);
        let mut awaited = HashMap::new();
        let mut settled = Vec::new();
        {
            let mut running = self.lock();
            let ours: Vec<i32> = running.1.keys().copied().collect();
            for partition in partitions.unwrap_or(&ours) {
                let Some(mut indexer) = running.1.remove(partition) else { continue };
                indexer.ending.send_replace(true);
                if indexer.inbox.take().is_some() {
                    awaited.insert(indexer.serial, *partition);
                }
                settled.push((*partition, indexer.progress));
            }
        }
        self.await_ends(awaited, if partitions.is_some() { LAST_BATCH } else { VERY_LAST_BATCH });
        settled
    }

    /// Commits what is settled.
    pub(crate) fn commit(&self, consumer: &BaseConsumer<Self>, settled: Vec<(i32, Arc<Progress>)>) {
        let mut offsets = TopicPartitionList::new();
        for (partition, progress) in settled {
            self.add(&mut offsets, partition, progress.stored());
        }
        if offsets.count() > 0
            && let Err(error) = consumer.commit(&offsets, CommitMode::Sync)
        {
            tracing::warn!(%error, "the last offsets were not committed: the next owner stores some events again");
        }
    }

    fn await_ends(&self, mut awaited: HashMap<u64, i32>, patience: Duration) {
        let deadline = Instant::now() + patience;
        let ends = self.ends.1.lock().unwrap_or_else(PoisonError::into_inner);
        let mut others = Vec::new();
        while !awaited.is_empty() {
            let Ok(end) = ends.recv_timeout(deadline.saturating_duration_since(Instant::now())) else { break };
            if awaited.remove(&end.serial).is_none() {
                others.push(end);
            }
        }
        for end in others {
            // We hold the other end of this channel.
            let _ = self.ends.0.send(end);
        }
        for partition in awaited.values() {
            tracing::warn!(partition, "the last batch takes too long; the next owner stores it again");
        }
    }

    /// Names a partition and its offset, if there is one.
    pub(crate) fn add(&self, list: &mut TopicPartitionList, partition: i32, offset: Option<i64>) {
        let Some(offset) = offset else { return };
        if let Err(error) = list.add_partition_offset(&self.means.config.topic, partition, Offset::Offset(offset)) {
            tracing::error!(partition, %error, "cannot name a partition to librdkafka");
        }
    }

    fn assign(&self, consumer: &BaseConsumer<Self>, partitions: &TopicPartitionList) {
        let committed = consumer.committed_offsets(partitions.clone(), COMMITTED).map_err(|error| {
            tracing::warn!(%error, "the log does not tell what is committed; reading begins there all the same");
        });
        for mut element in partitions.elements() {
            let partition = element.partition();
            let known = committed.as_ref().ok().and_then(|list| list.find_partition(element.topic(), partition));
            let from = known.and_then(|known| match known.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            });
            if let Some(from) = from
                && let Err(error) = element.set_offset(Offset::Offset(from))
            {
                tracing::error!(partition, %error, "cannot set the start offset");
            }
            self.start(partition, from);
        }
    }
}

impl ClientContext for Assignment {
    fn error(&self, error: KafkaError, reason: &str) {
        // The poll thread says it once, with what follows from it.
        tracing::debug!(%error, reason, "librdkafka reports an error");
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.means.config.topic) else { return };
        let running = self.lock();
        for (partition, indexer) in &running.1 {
            if let Some(known) = topic.partitions.get(partition).filter(|known| known.hi_offset >= 0) {
                indexer.progress.set_high_watermark(known.hi_offset);
            }
        }
    }
}

impl ConsumerContext for Assignment {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        if let Err(error) = result {
            tracing::debug!(%error, "offsets were not committed, will try again");
            self.uncommitted.store(true, Ordering::Release);
        }
    }

    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => self.assign(consumer, partitions),
            Rebalance::Revoke(partitions) => {
                let revoked: Vec<i32> = partitions.elements().iter().map(|element| element.partition()).collect();
                self.commit(consumer, self.end(Some(&revoked)));
            }
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        // librdkafka keeps a partition paused that was ours before and went while it was.
        if let Rebalance::Assign(partitions) = rebalance
            && let Err(error) = consumer.resume(partitions)
        {
            tracing::warn!(%error, "cannot resume partitions that were assigned");
        }
    }
}
