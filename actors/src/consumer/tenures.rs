//! The tenures of this process: each begins with a claim of its partition and ends with a last flush. All of it runs on
//! the poll thread, also inside librdkafka's callbacks, and may block.

use super::batch::RecordBatch;
use super::controls::{Controls, Work};
use super::ends::{TenureEnded, how_it_ended};
use super::progress::Progress;
use crate::config::{Database, EngineConfig};
use crate::failpoint::{self, Point};
use crate::flusher::door::FlusherDoor;
use crate::router::actor::{Means, PartitionRouter, Title};
use crate::router::convicts::Convicts;
use crate::router::dedupe::DedupeWindow;
use crate::router::report::{QUESTIONS, Questions};
use crate::supervision::child::{Ended, ExitReason};
use crate::supervision::guardian::Tree;
use crate::supervision::panics;
use crate::supervision::view::Mailbox;
use actix::ArbiterHandle;
use futures_util::FutureExt;
use rdkafka::consumer::BaseConsumer;
use std::collections::HashMap;
use std::mem::take;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc as blocking};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// How long a revoked tenure may take for its last flush; after that the fence protects the next owner.
const LAST_FLUSH: Duration = Duration::from_secs(8);
/// The same when the whole engine ends: whoever told it to will not wait for long.
const VERY_LAST_FLUSH: Duration = Duration::from_secs(4);

/// The epoch of a tenure that died before it had one; the database's begin at 1.
const STILLBORN: i64 = -1;

struct Running {
    epoch: i64,
    began: Instant,
    /// None after the tenure was asked to end or has ended by itself.
    inbox: Option<mpsc::Sender<RecordBatch>>,
    questions: Questions,
    progress: Arc<Progress>,
    /// Why it was told to end before its time.
    condemned: Option<String>,
}

/// A tenure as the outside sees it.
#[derive(Clone, Debug)]
pub struct TenureView {
    /// Partition.
    pub partition: i32,
    /// Its fencing token.
    pub epoch: i64,
    /// Whether it still takes records.
    pub is_alive: bool,
    /// When it began.
    pub began: Instant,
    /// Its inbox: batches.
    pub inbox: Mailbox,
    /// Where an operator's questions go.
    pub questions: Questions,
    /// Figures.
    pub progress: Arc<Progress>,
}

/// What a tenure needs of the rest of the engine.
#[derive(Clone)]
pub(crate) struct Links {
    pub database: Database,
    pub flusher: FlusherDoor,
    pub arbiters: Vec<ArbiterHandle>,
    /// Drives the database calls that the callbacks wait for; not the poll thread's own.
    pub runtime: tokio::runtime::Handle,
    pub controls: Arc<Controls>,
    pub tree: Tree,
}

/// Starts a tenure for each partition assigned and ends it when the partition is revoked.
#[expect(missing_debug_implementations, reason = "a database connection has no Debug")]
pub struct Tenures {
    pub(super) config: Arc<EngineConfig>,
    pub(super) links: Links,
    running: Mutex<HashMap<i32, Running>>,
    convicts: Mutex<HashMap<i32, Convicts>>,
    ends: (blocking::Sender<TenureEnded>, Mutex<blocking::Receiver<TenureEnded>>),
}

impl Tenures {
    pub(crate) fn new(config: Arc<EngineConfig>, links: Links) -> Self {
        let (tell, told) = blocking::channel();
        Self { config, links, running: Mutex::default(), convicts: Mutex::default(), ends: (tell, Mutex::new(told)) }
    }

    /// Where the records of a partition go now, and where one sees whether they are waited for; none if it is not ours.
    pub fn inbox(&self, partition: i32) -> Option<(mpsc::Sender<RecordBatch>, Arc<Progress>)> {
        let running = self.lock();
        let running = running.get(&partition)?;
        Some((running.inbox.clone()?, Arc::clone(&running.progress)))
    }

    /// The tenures of this process.
    pub fn view(&self) -> Vec<TenureView> {
        let running = self.lock();
        let mut all: Vec<TenureView> = running
            .iter()
            .map(|(partition, running)| TenureView {
                partition: *partition,
                epoch: running.epoch,
                is_alive: running.inbox.is_some(),
                began: running.began,
                inbox: running.inbox.as_ref().map_or_else(Mailbox::default, mailbox),
                questions: running.questions.clone(),
                progress: Arc::clone(&running.progress),
            })
            .collect();
        all.sort_by_key(|tenure| tenure.partition);
        all
    }

    pub(crate) fn tree(&self) -> &Tree {
        &self.links.tree
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<i32, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a partition over and starts its router. Returns the offset from which to fetch: somewhat before the
    /// checkpoint, so that the dedupe window is filled from the log.
    /// None if the engine is asked to end before the database answers, or if the claim panicked: then the partition has a
    /// dead tenure, which is begun anew like any other.
    pub fn begin(&self, consumer: &BaseConsumer<Self>, partition: i32) -> Option<i64> {
        let _aside = self.links.controls.turn_to(Work::Claiming(partition));
        // A panic must not leave a callback of librdkafka before its partitions are assigned: the group would wait for ever.
        let begun = catch_unwind(AssertUnwindSafe(|| self.try_begin(consumer, partition)));
        begun.unwrap_or_else(|_| {
            self.stillborn(partition);
            None
        })
    }

    /// A tenure that died before it began.
    fn stillborn(&self, partition: i32) {
        let progress = self.lock().get(&partition).map(|before| Arc::clone(&before.progress));
        let running = Running {
            epoch: STILLBORN,
            began: Instant::now(),
            inbox: None,
            questions: mpsc::channel(1).0,
            progress: progress.unwrap_or_else(|| Arc::new(Progress::starting_at(0))),
            condemned: None,
        };
        self.lock().insert(partition, running);
        let ended = Ended::panicked(panics::last_message());
        // The poll thread is gone only when everything ends.
        let _ = self.ends.0.send(TenureEnded::new(partition, STILLBORN, ended));
    }

    fn try_begin(&self, consumer: &BaseConsumer<Self>, partition: i32) -> Option<i64> {
        let tenure = self.links.runtime.block_on(self.claim(partition))?;
        let (tenure, log_end) = self.reconcile(consumer, partition, tenure);
        let title = Title {
            topic: Arc::from(self.config.topic.as_str()),
            partition,
            epoch: tenure.epoch,
            next_offset: tenure.next_offset,
        };
        let from = DedupeWindow::new(self.config.dedupe_records, 0).read_again_from(title.next_offset);
        self.start(title, log_end);
        Some(from)
    }

    fn start(&self, title: Title, log_end: i64) {
        let (inbox, records) = mpsc::channel(self.config.batches_waiting);
        let (questions, asked) = mpsc::channel(QUESTIONS);
        let (partition, epoch) = (title.partition, title.epoch);
        let progress = Arc::new(Progress::starting_at(title.next_offset));
        progress.set_high_watermark(log_end);
        let convicts = self.convicts(partition, title.next_offset);
        tracing::info!(partition, epoch, next_offset = title.next_offset, "tenure begins");
        let turn = usize::try_from(partition).unwrap_or(0) % self.links.arbiters.len().max(1);
        let (config, links, tell) = (Arc::clone(&self.config), self.links.clone(), self.ends.0.clone());
        let running = Running {
            epoch,
            began: Instant::now(),
            inbox: Some(inbox),
            questions,
            progress: Arc::clone(&progress),
            condemned: None,
        };
        self.lock().insert(partition, running);
        let life = async move {
            let Links { database, flusher, tree, .. } = links;
            let router = PartitionRouter::new(title, Means { config, database, flusher, progress, tree, convicts });
            let ended = AssertUnwindSafe(router.run(records, asked)).catch_unwind().await;
            // The poll thread is gone only when everything ends.
            let _ = tell.send(how_it_ended(partition, epoch, ended));
        };
        let spawned = self.links.arbiters.get(turn).is_some_and(|arbiter| arbiter.spawn(life));
        if !spawned {
            let _ = self.ends.0.send(TenureEnded::new(partition, epoch, Ended::failed("its arbiter has ended")));
        }
    }

    /// Ends a tenure for this reason, after a last flush. It is begun anew like any other, for nothing.
    pub(crate) fn condemn(&self, partition: i32, epoch: i64, why: String) {
        let mut running = self.lock();
        let Some(tenure) = running.get_mut(&partition).filter(|tenure| tenure.epoch == epoch) else { return };
        if tenure.inbox.take().is_some() {
            tracing::error!(partition, epoch, why, "a tenure is begun anew");
            tenure.condemned = Some(why);
        }
    }

    /// Tenures that ended though nobody asked them to.
    pub fn reap(&self) -> Vec<TenureEnded> {
        let ends = self.ends.1.lock().unwrap_or_else(PoisonError::into_inner);
        let mut dead = Vec::new();
        while let Ok(end) = ends.try_recv() {
            let mut running = self.lock();
            if let Some(tenure) = running.get_mut(&end.partition).filter(|tenure| tenure.epoch == end.epoch) {
                tenure.inbox = None;
                let condemned = tenure.condemned.take();
                drop(running);
                dead.push(self.learn(end.because(condemned)));
            }
        }
        dead
    }

    /// Keeps what a tenure has learned for the next one. If that is no progress, the tenure has failed like any other.
    fn learn(&self, mut end: TenureEnded) -> TenureEnded {
        let mut convicts = self.convicts.lock().unwrap_or_else(PoisonError::into_inner);
        if !end.convictions.is_empty() && !convicts.entry(end.partition).or_default().add(take(&mut end.convictions)) {
            end.reason = ExitReason::Failed;
        }
        end
    }

    fn convicts(&self, partition: i32, next_offset: i64) -> Convicts {
        let mut all = self.convicts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = all.remove(&partition) else { return Convicts::default() };
        let known = Convicts::from_offset(known.all(), next_offset);
        all.insert(partition, known.clone());
        known
    }

    /// Whether this partition's tenure is alive, or waits for its restart; none if the partition is not ours.
    pub fn is_alive(&self, partition: i32) -> Option<bool> {
        self.lock().get(&partition).map(|running| running.inbox.is_some())
    }

    /// Ends the tenures of these partitions, or all, each with a last flush.
    pub fn end(&self, partitions: Option<&[i32]>) {
        let _aside = self.links.controls.turn_to(Work::EndingTenures);
        // As at the beginning: whatever happens here, librdkafka must get its partitions back.
        let ended = catch_unwind(AssertUnwindSafe(|| {
            failpoint::hit(Point::Revoke);
            let patience = if partitions.is_some() { LAST_FLUSH } else { VERY_LAST_FLUSH };
            self.await_ends(self.take_out(partitions), patience);
        }));
        if ended.is_err() {
            let words = panics::last_message();
            tracing::error!(words, "the end of tenures was not waited for; the fence protects their next owners");
            drop(self.take_out(partitions));
        }
    }

    /// Ends all tenures, each with a last flush, but keeps their places: their partitions are still ours. Returns those.
    pub fn retire(&self) -> Vec<i32> {
        let _aside = self.links.controls.turn_to(Work::EndingTenures);
        let mut awaited = HashMap::new();
        let mut retired = Vec::new();
        for (partition, running) in self.lock().iter_mut() {
            retired.push(*partition);
            if running.inbox.take().is_some() {
                awaited.insert(*partition, running.epoch);
            }
        }
        self.await_ends(awaited, LAST_FLUSH);
        retired
    }

    /// (partition, epoch) of those that were alive.
    fn take_out(&self, partitions: Option<&[i32]>) -> HashMap<i32, i64> {
        let mut running = self.lock();
        let ours: Vec<i32> = running.keys().copied().collect();
        let out = partitions.unwrap_or(&ours).iter().filter_map(|partition| {
            let out = running.remove(partition)?;
            out.inbox.is_some().then_some((*partition, out.epoch))
        });
        out.collect()
    }

    fn await_ends(&self, mut awaited: HashMap<i32, i64>, patience: Duration) {
        let deadline = Instant::now() + patience;
        let ends = self.ends.1.lock().unwrap_or_else(PoisonError::into_inner);
        let mut others = Vec::new();
        while !awaited.is_empty() {
            let Ok(end) = ends.recv_timeout(deadline.saturating_duration_since(Instant::now())) else { break };
            if awaited.get(&end.partition) == Some(&end.epoch) {
                awaited.remove(&end.partition);
            } else {
                others.push(end);
            }
        }
        for end in others {
            let _ = self.ends.0.send(end);
        }
        for partition in awaited.keys() {
            tracing::warn!(partition, "the last flush took too long; the fence protects the next owner");
        }
    }
}

fn mailbox(inbox: &mpsc::Sender<RecordBatch>) -> Mailbox {
    let capacity = inbox.max_capacity();
    Mailbox { waiting: capacity.saturating_sub(inbox.capacity()), capacity }
}
