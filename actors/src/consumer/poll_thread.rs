//! The one blocking thread that touches librdkafka's consumer.
//!
//! A thread and not a task: the rebalance callbacks run inside `poll` and wait for the database.

use super::batch::RecordBatch;
use super::controls::Controls;
use super::progress::{Progress, Step};
use super::source::{Source, gather};
use super::tenures::{TenureView, Tenures};
use crate::config::EngineConfig;
use crate::failpoint::{self, Point};
use crate::supervision::child::{Ended, ExitReason};
use crate::supervision::chronicle::Alive;
use crate::supervision::guardian::Guardian;
use crate::supervision::kind::{ActorId, Kind};
use crate::supervision::panics;
use crate::supervision::restart::Verdict;
use hashbrown::HashMap;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

const IDLE: Duration = Duration::from_millis(100);
const STALLED: Duration = Duration::from_millis(1);
/// Records taken off the wire before the routers are served again.
const ROUND: usize = 2_000;
/// How often the durable offsets are told to Kafka, for the tools that show lag; nothing of ours reads them.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// A batch under way, bound to the tenure that was current when its first record came. It does not keep that one's inbox
/// open: a tenure that is asked to end, which may happen inside any poll, sees that nothing more comes.
struct Bound {
    inbox: mpsc::WeakSender<RecordBatch>,
    progress: Arc<Progress>,
    batch: RecordBatch,
    is_paused: bool,
}

/// The thread's own memory.
pub(crate) struct PollThread {
    source: Source<Tenures>,
    config: Arc<EngineConfig>,
    controls: Arc<Controls>,
    guardian: Guardian,
    _alive: Alive,
    held: HashMap<i32, Bound>,
    /// Tenures that were not told yet that the log has nothing more for them, and the offset behind their last batch.
    behind: HashMap<i32, (i64, Arc<Progress>)>,
    /// Whether one of them had no room to be told.
    is_owing: bool,
    guardians: HashMap<i32, Guardian>,
    restarts: HashMap<i32, Instant>,
    committed: HashMap<i32, i64>,
    next_commit: Instant,
    /// Whether it has panicked and not recovered yet.
    is_shaken: bool,
}

impl PollThread {
    pub(crate) fn new(
        consumer: Arc<BaseConsumer<Tenures>>,
        config: Arc<EngineConfig>,
        controls: Arc<Controls>,
    ) -> Self {
        let tree = consumer.context().tree();
        Self {
            guardian: tree.guard(ActorId::Consumer),
            _alive: tree.chronicle.birth(Kind::KafkaConsumer),
            source: Source::new(consumer, &config.topic),
            config,
            controls,
            held: HashMap::new(),
            behind: HashMap::new(),
            is_owing: false,
            guardians: HashMap::new(),
            restarts: HashMap::new(),
            committed: HashMap::new(),
            next_commit: Instant::now(),
            is_shaken: false,
        }
    }

    /// Polls until it is stopped, or has died too often; then every tenure ends with a last flush and the group is left.
    pub(crate) fn run(mut self) {
        while let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.rounds())) {
            drop(panic);
            match self.guardian.died(&Ended::panicked(panics::last_message())) {
                Verdict::RestartAfter(wait) => self.controls.wait(wait),
                Verdict::Escalate => break,
            }
            self.is_shaken = true;
        }
        self.held.clear();
        let last = self.source.context().view();
        self.source.context().end(None);
        self.commit(&last, CommitMode::Sync);
        self.source.consumer.unsubscribe();
    }

    fn rounds(&mut self) {
        if std::mem::take(&mut self.is_shaken) {
            self.recover();
        }
        while !self.controls.is_stopping() {
            self.controls.count_round();
            failpoint::hit(Point::Poll);
            let nothing_more = self.poll();
            self.deliver(nothing_more);
            if nothing_more {
                self.tell_caught_up();
            }
            self.bury();
            self.restart();
            if Instant::now() >= self.next_commit {
                let tenures = self.source.context().view();
                self.commit(&tenures, CommitMode::Async);
                self.next_commit = Instant::now() + COMMIT_EVERY;
            }
        }
    }

    /// After a panic nobody knows which records were handed over: each tenure ends with a last flush, and a new one reads on
    /// from there.
    fn recover(&mut self) {
        self.held.clear();
        let now = Instant::now();
        self.restarts = self.source.context().retire().into_iter().map(|partition| (partition, now)).collect();
    }

    /// One round of records; true if librdkafka has nothing more for us just now.
    fn poll(&mut self) -> bool {
        let consumer = Arc::clone(&self.source.consumer);
        for polled in 0..self.config.batch_records.min(ROUND) {
            let patience = if polled > 0 {
                Duration::ZERO
            } else if self.held.is_empty() && !self.is_owing {
                IDLE
            } else {
                STALLED
            };
            match consumer.poll(patience) {
                Some(Ok(message)) => self.take(&message),
                Some(Err(error)) => self.source.note_error(&error),
                None => return true,
            }
        }
        false
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
        let partition = message.partition();
        self.source.flows();
        // What a tenure of the past did not take is read again by the one after it.
        if self.held.get(&partition).is_none_or(|bound| bound.inbox.strong_count() == 0) {
            let Some((inbox, progress)) = self.source.context().inbox(partition) else { return };
            let (inbox, batch) = (inbox.downgrade(), RecordBatch::default());
            self.held.insert(partition, Bound { inbox, progress, batch, is_paused: false });
        }
        if let Some(bound) = self.held.get_mut(&partition) {
            gather(&mut bound.batch, message);
        }
    }

    /// Hands batches over to the routers that wait for one. Those of busy routers are kept and grow meanwhile, so that they
    /// get fewer and bigger ones; only when a batch is big is its partition paused, because librdkafka then throws away what
    /// it has fetched. What the log has nothing to add to goes at once. That librdkafka has nothing more does not mean that:
    /// far behind, it mostly is on its way to fetch the next ones.
    fn deliver(&mut self, nothing_more: bool) {
        for (partition, bound) in std::mem::take(&mut self.held) {
            let Bound { inbox: door, progress, mut batch, mut is_paused } = bound;
            let Some(inbox) = door.upgrade() else { continue };
            let next_offset = batch.next_offset().unwrap_or_default();
            let caught_up = nothing_more && next_offset >= progress.high_watermark();
            batch.caught_up = caught_up;
            let is_big = batch.len() >= self.config.batch_records || batch.byte_len() >= self.config.batch_bytes;
            let is_wanted = caught_up || is_big || progress.step().0 == Step::Waiting;
            let stays = !is_wanted || inbox.capacity() == 0;
            if stays && !inbox.is_closed() {
                if is_big && !is_paused {
                    self.switch(partition, true);
                    is_paused = true;
                }
                self.held.insert(partition, Bound { inbox: door, progress, batch, is_paused });
                continue;
            }
            // There is room, for only this thread sends; a tenure that has ended reads its records again in its next life.
            let _ = inbox.try_send(batch);
            if caught_up {
                self.behind.remove(&partition);
            } else {
                self.behind.insert(partition, (next_offset, progress));
            }
            if is_paused {
                self.switch(partition, false);
            }
        }
    }

    /// A tenure whose last batch went off before anybody knew that it was the last learns it now, and so need not wait for
    /// more before it cuts.
    fn tell_caught_up(&mut self) {
        let Self { source, behind, held, is_owing, .. } = self;
        *is_owing = false;
        behind.retain(|partition, (next_offset, progress)| {
            let Some((inbox, current)) = source.context().inbox(*partition) else { return false };
            if !Arc::ptr_eq(&current, progress) {
                return false;
            }
            if held.contains_key(partition) || *next_offset < progress.high_watermark() {
                return true;
            }
            let mut word = RecordBatch::default();
            word.caught_up = true;
            let is_told = inbox.try_send(word).is_ok();
            *is_owing |= !is_told;
            !is_told
        });
    }

    fn switch(&self, partition: i32, pause: bool) {
        self.source.switch(partition, pause);
        for tenure in self.source.context().view() {
            if tenure.partition == partition {
                tenure.progress.set_paused(pause);
            }
        }
    }

    /// Decides what follows the death of a tenure.
    fn bury(&mut self) {
        for end in self.source.context().reap() {
            let tree = self.source.context().tree();
            let guardian =
                self.guardians.entry(end.partition).or_insert_with(|| tree.guard(ActorId::Router(end.partition)));
            let ended = end.ended();
            let verdict = match ended.reason {
                ExitReason::Rewound => guardian.died_for_nothing(&ended),
                _ => guardian.died(&ended),
            };
            if let Verdict::RestartAfter(wait) = verdict {
                self.restarts.insert(end.partition, Instant::now() + wait);
            }
        }
    }

    /// Starts those tenures whose time has come: a new claim, and fetching from the checkpoint again.
    fn restart(&mut self) {
        let now = Instant::now();
        let due: Vec<i32> = self.restarts.iter().filter(|(_, at)| **at <= now).map(|(p, _)| *p).collect();
        for partition in due {
            self.restarts.remove(&partition);
            let is_well = self.is_fetched(partition);
            if self.source.context().is_alive(partition).is_none_or(|is_alive| is_alive && is_well) {
                continue; // Revoked meanwhile, or assigned anew.
            }
            self.held.remove(&partition);
            if let Err(error) = self.fetch_anew(partition) {
                tracing::error!(partition, %error, "cannot fetch a partition anew, will try again");
                self.restarts.insert(partition, now + COMMIT_EVERY);
            }
        }
    }

    fn fetch_anew(&self, partition: i32) -> KafkaResult<()> {
        let (consumer, nowhere) = (&self.source.consumer, self.source.list(partition, Offset::Invalid));
        // A try before this one may have got no further.
        if self.is_fetched(partition) {
            consumer.incremental_unassign(&nowhere)?;
        }
        let from = self.source.context().begin(consumer, partition);
        // Without an offset there is no tenure yet; but the group thinks that we fetch it, and so must librdkafka.
        consumer.incremental_assign(&self.source.list(partition, from.map_or(Offset::Invalid, Offset::Offset)))?;
        // librdkafka keeps a partition paused though it was taken out and put back.
        consumer.resume(&nowhere)
    }

    fn is_fetched(&self, partition: i32) -> bool {
        let ours = self.source.consumer.assignment();
        ours.is_ok_and(|ours| ours.find_partition(&self.config.topic, partition).is_some())
    }

    fn commit(&mut self, tenures: &[TenureView], mode: CommitMode) {
        let mut list = TopicPartitionList::new();
        for tenure in tenures.iter().filter(|tenure| tenure.is_alive) {
            let (partition, durable) = (tenure.partition, tenure.progress.durable());
            if self.committed.insert(partition, durable) != Some(durable) {
                self.source.add(&mut list, partition, Offset::Offset(durable));
            }
        }
        if list.count() > 0
            && (matches!(mode, CommitMode::Async) || self.source.answers())
            && let Err(error) = self.source.consumer.commit(&list, mode)
        {
            tracing::debug!(%error, "an offset was not committed to Kafka; only lag tools miss it");
        }
    }
}
