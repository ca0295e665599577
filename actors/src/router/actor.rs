//! The router: routes records, wakes children, cuts, and hands cuts to the Flusher while it routes on.
//!
//! Runs as one task on an arbiter with its children beside it. It ends when its inbox closes (the partition was revoked
//! or the process stops), after a last flush; or when the fence refuses it.

use super::admission::Rows;
use super::barrier::{BarrierPolicy, Pressure};
use super::book::Book;
use super::convicts::Convicts;
use super::cut::Gathered;
use super::dedupe::DedupeWindow;
use super::flight::{InFlight, landed};
use super::isolation::Bases;
use super::nursery::{Child, Nursery};
use super::quarantine::Quarantine;
use super::report::Question;
use super::sort::Sorter;
use super::strikes::Strikes;
use super::trace;
use crate::config::{Database, EngineConfig};
use crate::consumer::batch::RecordBatch;
use crate::consumer::progress::{Progress, Step};
use crate::failpoint::{self, Point};
use crate::flusher::door::{FlusherDoor, NoFlusher};
use crate::flusher::messages::{Cut, Refusal};
use crate::incident::actor::{IncidentActor, LogPlace};
use crate::incident::messages::{Portrait as IncidentPortrait, Record, Snapshot};
use crate::metrics::RouterMeters;
use crate::project::actor::ProjectActor;
use crate::project::messages::{Minutes, Observation, Portrait as ProjectPortrait};
use crate::supervision::chronicle::{Alive, Chronicle};
use crate::supervision::guardian::Tree;
use crate::supervision::kind::Kind;
use schema::flush::{CheckpointAdvance, Guards};
use schema::snapshot::{IncidentSnapshot, LogGap};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

impl Child for IncidentActor {
    const ACTOR: Kind = Kind::IncidentActor;
    const KIND: &'static str = "incident";
    type Record = Record;
    type Snapshot = Snapshot;
    type Portrait = IncidentPortrait;
}

impl Child for ProjectActor {
    const ACTOR: Kind = Kind::ProjectActor;
    const KIND: &'static str = "project";
    type Record = Observation;
    type Snapshot = Minutes;
    type Portrait = ProjectPortrait;
}

/// Why a tenure ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum TenureError {
    /// The fence, or the database for what is in a flush.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Flusher after Flusher died with the same flush in hand.
    #[error("flusher after flusher died of the same flush")]
    FlusherDied,
    /// There will be none any more.
    #[error(transparent)]
    NoFlusher(#[from] NoFlusher),
    /// A child dies again and again, and not of one record.
    #[error("a child keeps dying: {0}")]
    ChildDies(String),
    /// In tests only.
    #[error(transparent)]
    Struck(#[from] failpoint::Struck),
}

/// What a flush is thought to cost before there was one. A tenure that begins far behind would otherwise open with a small
/// cut, of incidents that the next one writes all over again.
const FIRST_COST: Duration = Duration::from_millis(100);
/// Incidents that may change in one cut and all hand over each of their newest events.
const PRESSED: usize = 200;
/// Spans that may wait for one cut.
const SPANS: usize = 64;

/// What identifies the tenure.
#[derive(Clone, Debug)]
pub struct Title {
    /// Topic.
    pub topic: Arc<str>,
    /// Partition.
    pub partition: i32,
    /// Fencing token.
    pub epoch: i64,
    /// First offset that is not durable.
    pub next_offset: i64,
}

/// What a tenure needs of the rest of the engine.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a database connection has no Debug")]
pub struct Means {
    /// Sizes.
    pub config: Arc<EngineConfig>,
    /// Where incidents are loaded from.
    pub database: Database,
    /// Where cuts go.
    pub flusher: FlusherDoor,
    /// Where the router writes down how far it is.
    pub progress: Arc<Progress>,
    /// Where births and deaths are entered, and what follows them.
    pub tree: Tree,
    /// What earlier tenures have learned.
    pub convicts: Convicts,
}

/// The router of one partition.
#[expect(missing_debug_implementations, reason = "a database connection has no Debug")]
pub struct PartitionRouter {
    pub(super) title: Title,
    pub(super) config: Arc<EngineConfig>,
    pub(super) database: Database,
    pub(super) flusher: FlusherDoor,
    pub(super) progress: Arc<Progress>,
    pub(super) chronicle: Arc<Chronicle>,
    place: Arc<LogPlace>,
    pub(super) sorter: Sorter,
    pub(super) incidents: Nursery<IncidentActor>,
    pub(super) projects: Nursery<ProjectActor>,
    pub(super) gathered: Gathered,
    pub(super) strikes: Strikes,
    pub(super) bases: Bases,
    position: i64,
    is_caught_up: bool,
    pub(super) in_flight: Option<InFlight>,
    last_cut: Instant,
    pub(super) last_cost: Duration,
    _alive: Alive,
    pub(super) meters: RouterMeters,
}

impl PartitionRouter {
    /// A router that owns the partition from `title.next_offset` on.
    pub fn new(title: Title, means: Means) -> Self {
        let Means { config, database, flusher, progress, tree, convicts } = means;
        let chronicle = Arc::clone(&tree.chronicle);
        let (quarantine, book) = (Quarantine::new(config.quarantine), Book::new(config.limits));
        let window = DedupeWindow::new(config.dedupe_records, config.dedupe_age_ms);
        let mut sorter = Sorter::new(title.partition, window, quarantine, book);
        sorter.convicts = convicts;
        Self {
            position: title.next_offset,
            place: Arc::new(LogPlace { topic: title.topic.to_string(), partition: title.partition }),
            sorter,
            meters: RouterMeters::of(title.partition),
            title,
            config,
            database,
            flusher,
            progress,
            incidents: Nursery::new(Arc::clone(&chronicle)),
            projects: Nursery::new(Arc::clone(&chronicle)),
            _alive: chronicle.birth(Kind::PartitionRouter),
            chronicle,
            gathered: Gathered::default(),
            strikes: Strikes::new(&tree.plan),
            bases: Bases::default(),
            is_caught_up: false,
            in_flight: None,
            last_cut: Instant::now(),
            last_cost: FIRST_COST,
        }
    }

    /// Routes until the inbox closes, cutting whenever the policy says so.
    ///
    /// # Errors
    /// [`TenureError`]; the durable state is then that of the last flush.
    pub async fn run(
        mut self,
        mut inbox: mpsc::Receiver<RecordBatch>,
        mut questions: mpsc::Receiver<Question>,
    ) -> Result<(), TenureError> {
        self.recall().await;
        loop {
            self.progress.enter(Step::Waiting);
            let has_room = !self.is_full();
            let pace = self.policy().pace(self.last_cost).saturating_sub(self.last_cut.elapsed());
            let waits_for_pace = self.in_flight.is_none() && self.gathered.records > 0;
            tokio::select! {
                biased;
                landed = landed(&mut self.in_flight, &self.flusher) => self.land(landed?).await,
                Some(question) = questions.recv() => self.answer(question),
                batch = inbox.recv(), if has_room => match batch {
                    Some(batch) => self.route(batch).await?,
                    None => break,
                },
                () = tokio::time::sleep(pace), if waits_for_pace => {}
            }
            if self.in_flight.is_none() && self.is_due(!inbox.is_empty()) {
                self.cut().await?;
            }
        }
        self.settle().await?;
        self.cut().await?;
        self.settle().await
    }

    fn policy(&self) -> BarrierPolicy {
        BarrierPolicy {
            most_records: self.config.flush_records,
            shortest: self.config.shortest_pace,
            longest: self.config.longest_pace,
        }
    }

    /// Whether no more may be gathered before the next cut.
    fn is_full(&self) -> bool {
        self.gathered.records >= self.config.flush_records || self.gathered.bytes >= self.config.flush_bytes
    }

    fn is_due(&self, is_waiting: bool) -> bool {
        self.is_full()
            || self.policy().is_due(Pressure {
                records: self.gathered.records,
                more_waiting: is_waiting || !self.is_caught_up,
                since_last: self.last_cut.elapsed(),
                last_cost: self.last_cost,
            })
    }

    async fn route(&mut self, batch: RecordBatch) -> Result<(), TenureError> {
        self.is_caught_up = batch.caught_up;
        self.progress.enter(Step::Routing);
        failpoint::stall(&batch).await;
        let batch = Arc::new(batch);
        let before = self.gathered.records;
        let mut later = Vec::new();
        for (index, (raw, payload)) in batch.iter().enumerate() {
            if raw.offset < self.title.next_offset {
                self.sorter.remember(raw, payload);
            } else if raw.offset >= self.position {
                self.advance(raw.offset);
                if let Some(sorted) = self.sorter.sort(&batch, index, &mut self.gathered) {
                    self.draft_or_keep(sorted, &mut later);
                }
            }
        }
        self.arrived(&batch, self.gathered.records.saturating_sub(before));
        let rows = self.admit(later).await;
        self.wake(rows).await;
        self.progress.enter(Step::Routing);
        for slot in self.incidents.deliver(&batch).await {
            self.revive_incident(slot).await?;
        }
        for slot in self.projects.deliver(&batch).await {
            self.revive_project(slot).await?;
        }
        self.progress.set_routed(self.position, self.gathered.records, self.incidents.len());
        Ok(())
    }

    /// For whoever watches: `new` records of this batch are under way.
    fn arrived(&mut self, batch: &RecordBatch, new: usize) {
        if new == 0 {
            return;
        }
        self.gathered.bytes += batch.byte_len();
        self.meters.routed.increment(u64::try_from(new).unwrap_or(u64::MAX));
        self.gathered.arrived(new);
        if self.gathered.spans.len() < SPANS {
            self.gathered.spans.extend(trace::span_of(batch, self.title.partition));
        }
    }

    fn advance(&mut self, offset: i64) {
        if offset > self.position {
            self.gathered.gaps.push(LogGap { from_offset: self.position, to_offset: offset });
        }
        self.position = offset.saturating_add(1);
        self.gathered.records += 1;
    }

    /// Starts a child for each key that has none; rows that are not there yet are loaded with one query.
    async fn wake(&mut self, mut rows: Rows) {
        for slot in self.projects.take_unborn() {
            self.bear_project(slot);
        }
        let unborn = self.incidents.take_unborn();
        let unborn: Vec<_> = unborn.into_iter().filter_map(|slot| Some((slot, self.incidents.key(slot)?))).collect();
        let missing: Vec<(&str, &str)> = unborn
            .iter()
            .filter(|(_, key)| !rows.contains_key(key))
            .map(|(_, (project, fingerprint))| (&**project, &**fingerprint))
            .collect();
        rows.extend(self.load(&missing).await);
        for (slot, key) in &unborn {
            self.bear_incident(*slot, rows.remove(key).flatten());
        }
    }

    pub(super) fn bear_project(&mut self, slot: usize) {
        let Some((project, _)) = self.projects.key(slot) else { return };
        let project: Arc<str> = Arc::from(project);
        self.projects.bear(slot, |birth| ProjectActor::new(project, birth));
    }

    pub(super) fn bear_incident(&mut self, slot: usize, row: Option<IncidentSnapshot>) {
        let place = Arc::clone(&self.place);
        self.incidents.bear(slot, |birth| IncidentActor::new(row, place, birth));
    }

    /// A consistent cut at `position` through all dirty children, on its way in one transaction.
    async fn cut(&mut self) -> Result<(), TenureError> {
        if self.gathered.records == 0 {
            return Ok(());
        }
        self.progress.enter(Step::Cutting);
        let began = Instant::now();
        failpoint::pass(Point::Cut).await?;
        let projects = self.project_answers().await?;
        let incidents = self.incident_answers().await?;
        self.meters.cut.record(began.elapsed());
        self.incidents.forget_letters();
        self.projects.forget_letters();
        let mut gathered = std::mem::take(&mut self.gathered);
        let (measures, spans) = (gathered.take_measures(), std::mem::take(&mut gathered.spans));
        let checkpoint = self.checkpoint(&gathered);
        let (quarantines, poison) = self.sorter.quarantine.take_changes();
        let guards = Guards { quarantines, poison, limits: self.sorter.book.take_changes() };
        let (batch, dead_letters) = gathered.into_batch(checkpoint, guards, incidents, projects);
        self.progress.set_flushing(true);
        self.progress.set_undurable(0);
        let cut = Cut::new(batch, measures, dead_letters);
        self.in_flight = Some(InFlight::launch(&self.flusher, cut, began, spans).await?);
        self.last_cut = began;
        Ok(())
    }

    /// Whether a cut asks each incident only for the samples that it must have: when many changed, for each is a row to
    /// write.
    pub(super) fn is_pressed(&self) -> bool {
        self.incidents.dirty().len() > PRESSED
    }

    fn checkpoint(&self, gathered: &Gathered) -> CheckpointAdvance {
        CheckpointAdvance {
            group: self.config.group.clone(),
            topic: self.title.topic.to_string(),
            partition: self.title.partition,
            epoch: self.title.epoch,
            from_offset: self.title.next_offset,
            next_offset: self.position,
            complete_until: gathered.complete_until,
            high_watermark: self.position.saturating_add(i64::from(!self.is_caught_up)),
        }
    }

    /// A flush is durable: the checkpoint is there, and what is clean may make room.
    async fn land(&mut self, landed: InFlight) {
        self.title.next_offset = landed.next_offset;
        self.last_cost = landed.began.elapsed();
        self.progress.set_flushing(false);
        self.progress.set_durable(landed.next_offset);
        self.progress.enter(Step::MakingRoom);
        let incidents = self.incidents.make_room(self.config.residents).await;
        let projects = self.projects.make_room(self.config.residents).await;
        let resident = &self.projects;
        self.sorter.book.make_room(self.config.residents, |project| resident.find(project, "").is_some());
        if incidents + projects > 0 {
            self.bases.forget();
            tracing::debug!(partition = self.title.partition, incidents, projects, "idle children made room");
            self.progress.set_routed(self.position, self.gathered.records, self.incidents.len());
        }
    }

    /// Waits until nothing is in flight, so that the durable rows are those of the last cut.
    pub(super) async fn settle(&mut self) -> Result<(), TenureError> {
        while self.in_flight.is_some() {
            self.progress.enter(Step::Settling);
            let flush = landed(&mut self.in_flight, &self.flusher).await?;
            self.title.next_offset = flush.next_offset;
            self.last_cost = flush.began.elapsed();
            self.progress.set_flushing(false);
            self.progress.set_durable(flush.next_offset);
        }
        Ok(())
    }
}
