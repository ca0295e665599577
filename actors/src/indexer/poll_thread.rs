//! The one blocking thread that touches the indexers' consumer.

use super::assignment::{Assignment, IndexerGlance};
use super::config::IndexerConfig;
use crate::consumer::batch::RecordBatch;
use crate::consumer::controls::Controls;
use crate::consumer::source::{Source, gather};
use crate::failpoint::{self, Point};
use crate::supervision::child::Ended;
use crate::supervision::chronicle::Alive;
use crate::supervision::guardian::Guardian;
use crate::supervision::kind::{ActorId, Kind};
use crate::supervision::panics;
use crate::supervision::restart::Verdict;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

const IDLE: Duration = Duration::from_millis(100);
/// While a batch is ready and its indexer is not.
const STALLED: Duration = Duration::from_millis(5);
/// Records taken off the wire before the indexers are served again.
const ROUND: usize = 1_000;
/// How often settled offsets are committed.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// A batch under way, bound to the indexer that was current when its first record came. It does not keep that one's inbox
/// open: an indexer that is asked to end, which may happen inside any poll, sees that nothing more comes.
struct Held {
    inbox: mpsc::WeakSender<RecordBatch>,
    batch: RecordBatch,
    since: Instant,
    is_paused: bool,
}

/// The thread's own memory.
pub(crate) struct IndexPollThread {
    source: Source<Assignment>,
    config: Arc<IndexerConfig>,
    controls: Arc<Controls>,
    guardian: Guardian,
    held: HashMap<i32, Held>,
    guardians: HashMap<i32, Guardian>,
    restarts: HashMap<i32, Instant>,
    committed: HashMap<i32, i64>,
    next_commit: Instant,
    /// Whether it has panicked and not recovered yet.
    is_shaken: bool,
    _alive: Alive,
}

impl IndexPollThread {
    pub(crate) fn new(
        consumer: Arc<BaseConsumer<Assignment>>,
        config: Arc<IndexerConfig>,
        controls: Arc<Controls>,
    ) -> Self {
        let tree = consumer.context().tree();
        Self {
            guardian: tree.guard(ActorId::IndexConsumer),
            _alive: tree.chronicle.birth(Kind::IndexConsumer),
            source: Source::new(consumer, &config.topic),
            config,
            controls,
            held: HashMap::new(),
            guardians: HashMap::new(),
            restarts: HashMap::new(),
            committed: HashMap::new(),
            next_commit: Instant::now(),
            is_shaken: false,
        }
    }

    /// Polls until it is stopped; then every indexer ends, what they settled is committed and the group is left. A panic is
    /// a death like any other: the search is a guest, so it always begins anew, at the latest after the longest delay.
    pub(crate) fn run(mut self) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.rounds())) {
            drop(panic);
            let ended = Ended::panicked(panics::last_message());
            let wait = match self.guardian.died(&ended) {
                Verdict::RestartAfter(wait) => wait,
                Verdict::Escalate => self.longest_delay(Kind::IndexConsumer),
            };
            self.controls.wait(wait);
            self.is_shaken = true;
        }
        self.held.clear();
        let mut settled = self.source.context().end(None);
        if !self.source.context().take_uncommitted() {
            settled.retain(|(partition, progress)| progress.stored() != self.committed.get(partition).copied());
        }
        if !settled.is_empty() && self.source.answers() {
            self.source.context().commit(&self.source.consumer, settled);
        }
        self.source.consumer.unsubscribe();
    }

    fn rounds(&mut self) {
        if std::mem::take(&mut self.is_shaken) {
            self.recover();
        }
        while !self.controls.is_stopping() {
            self.controls.count_round();
            failpoint::hit(Point::IndexPoll);
            let caught_up = self.poll();
            self.deliver(caught_up);
            self.bury();
            self.restart();
            if Instant::now() >= self.next_commit {
                self.commit();
                self.next_commit = Instant::now() + COMMIT_EVERY;
            }
        }
    }

    /// After a panic nobody knows which records were handed over: each indexer ends after the batch that it is storing, and a
    /// new one goes on from what is settled.
    fn recover(&mut self) {
        self.held.clear();
        let now = Instant::now();
        self.restarts = self.source.context().retire().into_iter().map(|partition| (partition, now)).collect();
    }

    fn longest_delay(&self, kind: Kind) -> Duration {
        self.source.context().tree().plan.of(kind).policy.longest_delay
    }

    /// One round of records; true if the log has nothing more for us.
    fn poll(&mut self) -> bool {
        let consumer = Arc::clone(&self.source.consumer);
        let mut patience = self.patience();
        for _ in 0..ROUND {
            match consumer.poll(patience) {
                Some(Ok(message)) => {
                    if self.take(&message) {
                        return false;
                    }
                }
                Some(Err(error)) => self.source.note_error(&error),
                None => return true,
            }
            patience = Duration::ZERO;
        }
        false
    }

    /// Until the first batch is due; a batch that is due and still here waits for its indexer.
    fn patience(&self) -> Duration {
        let waits = self.held.values().map(|held| self.config.linger.saturating_sub(held.since.elapsed()));
        waits.min().map_or(IDLE, |wait| wait.clamp(STALLED, IDLE))
    }

    /// True if the record's batch is now so big that it should be handed over.
    fn take(&mut self, message: &BorrowedMessage<'_>) -> bool {
        let partition = message.partition();
        self.source.flows();
        // What an indexer of the past did not take is read again by the one after it.
        if self.held.get(&partition).is_none_or(|held| held.inbox.strong_count() == 0) {
            let Some(inbox) = self.source.context().inbox(partition) else { return false };
            let (inbox, batch, since) = (inbox.downgrade(), RecordBatch::default(), Instant::now());
            self.held.insert(partition, Held { inbox, batch, since, is_paused: false });
        }
        let Some(held) = self.held.get_mut(&partition) else { return false };
        gather(&mut held.batch, message);
        is_big(&self.config, &held.batch)
    }

    /// Hands every batch over that is due. One that a full inbox refuses is kept and grows meanwhile, so that a busy indexer
    /// gets fewer and bigger batches; only when it is big is its partition paused, because librdkafka then throws away what
    /// it has fetched.
    fn deliver(&mut self, caught_up: bool) {
        for (partition, mut held) in std::mem::take(&mut self.held) {
            let is_big = is_big(&self.config, &held.batch);
            if !is_big && held.since.elapsed() < self.config.linger {
                self.held.insert(partition, held);
                continue;
            }
            held.batch.caught_up = caught_up;
            let Some(inbox) = held.inbox.upgrade() else { continue };
            match inbox.try_send(held.batch) {
                Ok(()) | Err(TrySendError::Closed(_)) if !held.is_paused => {}
                Ok(()) | Err(TrySendError::Closed(_)) => self.switch(partition, false),
                Err(TrySendError::Full(batch)) => {
                    if is_big && !held.is_paused {
                        self.switch(partition, true);
                    }
                    self.held.insert(partition, Held { batch, is_paused: is_big || held.is_paused, ..held });
                }
            }
        }
    }

    fn switch(&self, partition: i32, pause: bool) {
        self.source.switch(partition, pause);
        for glance in self.source.context().view() {
            if glance.partition == partition {
                glance.progress.set_paused(pause);
            }
        }
    }

    /// Decides what follows the death of an indexer: always a new one, at the latest after the longest delay.
    fn bury(&mut self) {
        for end in self.source.context().reap() {
            let longest = self.longest_delay(Kind::Indexer);
            let tree = self.source.context().tree();
            let guardian =
                self.guardians.entry(end.partition).or_insert_with(|| tree.guard(ActorId::Indexer(end.partition)));
            let ended = end.ended.unwrap_or_else(|| Ended::failed("it ended though nobody had asked it to"));
            let wait = match guardian.died(&ended) {
                Verdict::RestartAfter(wait) => wait,
                Verdict::Escalate => longest,
            };
            self.restarts.insert(end.partition, Instant::now() + wait);
        }
    }

    /// Starts those indexers whose time has come, and fetches again from what is settled.
    fn restart(&mut self) {
        let now = Instant::now();
        let due: Vec<i32> = self.restarts.iter().filter(|(_, at)| **at <= now).map(|(p, _)| *p).collect();
        for partition in due {
            self.restarts.remove(&partition);
            let consumer = Arc::clone(&self.source.consumer);
            // Revoked meanwhile, or assigned anew.
            let Some(from) = consumer.context().dead(partition) else { continue };
            self.held.remove(&partition);
            if let Err(error) = consumer.incremental_unassign(&self.source.list(partition, Offset::Invalid)) {
                tracing::debug!(partition, %error, "a partition is not fetched, it seems");
            }
            let offset = from.map_or(Offset::Stored, Offset::Offset);
            match consumer.incremental_assign(&self.source.list(partition, offset)) {
                Ok(()) => {
                    consumer.context().start(partition, from);
                    // librdkafka keeps a partition paused though it was taken out and put back.
                    self.switch(partition, false);
                }
                Err(error) => {
                    tracing::error!(partition, %error, "cannot fetch a partition anew, will try again");
                    self.restarts.insert(partition, now + COMMIT_EVERY);
                }
            }
        }
    }

    fn commit(&mut self) {
        if self.source.context().take_uncommitted() {
            self.committed.clear();
        }
        let mut list = TopicPartitionList::new();
        for IndexerGlance { partition, progress, .. } in self.source.context().view() {
            let stored = progress.stored().filter(|stored| self.committed.get(&partition) != Some(stored));
            if let Some(stored) = stored {
                self.source.add(&mut list, partition, Offset::Offset(stored));
                self.committed.insert(partition, stored);
            }
        }
        if list.count() > 0
            && let Err(error) = self.source.consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "offsets were not committed, will try again");
            self.committed.clear();
        }
    }
}

fn is_big(config: &IndexerConfig, batch: &RecordBatch) -> bool {
    batch.len() >= config.batch_records || batch.byte_len() >= config.batch_bytes
}
