//! One partition, one owner, one tenure: routes records, wakes incidents, cuts and flushes.
//!
//! Runs as one task on an arbiter, with its IncidentActors beside it. It ends when its channel closes (the
//! partition was revoked or the process stops), after a last flush; or when the fence refuses it.

use super::cut::{Gathered, minute_start};
use super::dedupe::{DedupeWindow, dedupe_key};
use crate::config::{Database, EngineConfig};
use crate::consumer::batch::{RawRecord, RecordBatch};
use crate::consumer::decode::{Identity, Undecodable, decode_command, decode_event};
use crate::incident::actor::IncidentActor;
use crate::incident::messages::{Apply, Record, Snapshot, TakeSnapshot};
use crate::incident::state::Occurrence;
use crate::supervision::child::Obituary;
use actix::{Actor, Addr};
use hashbrown::HashMap;
use schema::event::EventType;
use schema::flush::{CheckpointAdvance, Committed, FlushBatch, FlushError, SAMPLES_KEPT};
use schema::names::ENGINE_GROUP;
use schema::snapshot::{BucketDelta, LogGap};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// (project, fingerprint).
type Key = (Box<str>, Box<str>);

/// Why a tenure ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum TenureError {
    /// The fence.
    #[error(transparent)]
    Refused(#[from] FlushError),
    /// An incident died; its memory is gone, the log has it.
    #[error("an incident of partition {0} died")]
    ChildDied(i32),
}

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

/// The router of one partition.
#[expect(missing_debug_implementations, reason = "a database connection has no Debug")]
pub struct PartitionRouter {
    title: Title,
    database: Database,
    obituary: Obituary,
    window: DedupeWindow,
    children: HashMap<Key, Addr<IncidentActor>>,
    dirty: HashMap<Key, ()>,
    gathered: Gathered,
    position: i64,
    caught_up: bool,
}

impl PartitionRouter {
    /// A router that owns the partition from `title.next_offset` on.
    pub fn new(title: Title, database: Database, config: &EngineConfig, obituary: Obituary) -> Self {
        Self {
            position: title.next_offset,
            window: DedupeWindow::new(config.dedupe_records, config.dedupe_age_ms),
            title,
            database,
            obituary,
            children: HashMap::new(),
            dirty: HashMap::new(),
            gathered: Gathered::default(),
            caught_up: false,
        }
    }

    /// Routes until the channel closes; flushes whenever nothing more is waiting, and after `most` records.
    ///
    /// # Errors
    /// [`TenureError`]; the durable state is then that of the last flush.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<RecordBatch>, most: usize) -> Result<(), TenureError> {
        while let Some(batch) = inbox.recv().await {
            self.caught_up = batch.caught_up && inbox.is_empty();
            self.route(batch).await?;
            if inbox.is_empty() || self.gathered.records >= most {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    async fn route(&mut self, batch: RecordBatch) -> Result<(), TenureError> {
        let batch = Arc::new(batch);
        let mut letters: HashMap<Key, Vec<Record>> = HashMap::new();
        for (index, (raw, payload)) in batch.iter().enumerate() {
            if raw.offset < self.title.next_offset {
                self.remember(raw, payload);
            } else if raw.offset >= self.position {
                self.advance(raw.offset);
                if let Some((key, record)) = self.sort(index, raw, payload) {
                    letters.entry(key).or_default().push(record);
                }
            }
        }
        self.wake(letters.keys()).await;
        for (key, records) in letters {
            self.deliver(key, Apply { batch: Arc::clone(&batch), records }).await?;
        }
        Ok(())
    }

    /// A record that an earlier transaction contains only feeds the window.
    fn remember(&mut self, raw: &RawRecord, payload: &[u8]) {
        if let (false, Ok(seen)) = (raw.is_command, serde_json::from_slice::<Identity<'_>>(payload)) {
            let key = dedupe_key(&seen.project_id, &seen.event_id);
            let _ = self.window.observe(key, raw.offset, seen.received_at.timestamp_millis());
        }
    }

    fn advance(&mut self, offset: i64) {
        if offset > self.position {
            self.gathered.gaps.push(LogGap { from_offset: self.position, to_offset: offset });
        }
        self.position = offset.saturating_add(1);
        self.gathered.records += 1;
    }

    /// Counts what needs no incident; says where the rest goes.
    fn sort(&mut self, index: usize, raw: &RawRecord, payload: &[u8]) -> Option<(Key, Record)> {
        if raw.is_command {
            let command = decode_command(payload).map_err(|error| self.undecodable(raw.offset, &error)).ok()?;
            let key = (command.project_id.as_str().into(), command.fingerprint.as_str().into());
            return Some((key, Record::Command { offset: raw.offset, command: Box::new(command) }));
        }
        let event = decode_event(payload).map_err(|error| self.undecodable(raw.offset, &error)).ok()?;
        let (project, received) = (event.project_id.as_ref(), event.received_at);
        self.gathered.complete_until = self.gathered.complete_until.max(Some(received));
        let seen = dedupe_key(project, &event.event_id);
        if self.window.observe(seen, raw.offset, received.timestamp_millis()) {
            self.gathered.enter(project, "duplicate");
            return None;
        }
        self.gathered.count(project, &event.environment, event.event_type, event.occurred_at);
        let occurrence = Occurrence { offset: raw.offset, occurred_at: event.occurred_at, severity: event.severity };
        (event.event_type == EventType::Error)
            .then(|| ((project.into(), event.fingerprint.as_ref().into()), Record::Event { index, occurrence }))
    }

    fn undecodable(&mut self, offset: i64, error: &Undecodable) {
        tracing::warn!(partition = self.title.partition, offset, %error, "a record cannot be decoded and is dropped");
        self.gathered.enter("", "dropped:undecodable");
    }

    /// Starts an actor for each key that has none, all their rows loaded with one query.
    async fn wake(&mut self, keys: impl Iterator<Item = &Key>) {
        let unknown: Vec<Key> = keys.filter(|key| !self.children.contains_key(*key)).cloned().collect();
        if unknown.is_empty() {
            return;
        }
        let mut rows = self.load(&unknown).await;
        for key in unknown {
            let row = rows.remove(&key);
            let (topic, obituary) = (Arc::clone(&self.title.topic), self.obituary.clone());
            self.children.insert(key, IncidentActor::new(row, topic, self.title.partition, obituary).start());
        }
    }

    async fn load(&self, keys: &[Key]) -> HashMap<Key, schema::snapshot::IncidentSnapshot> {
        let projects: Vec<&str> = keys.iter().map(|key| key.0.as_ref()).collect();
        let fingerprints: Vec<&str> = keys.iter().map(|key| key.1.as_ref()).collect();
        let mut wait = Backoff::default();
        loop {
            let loaded = match self.database.get().await {
                Ok(mut connection) => schema::wake::newest_incidents(&mut connection, &projects, &fingerprints)
                    .await
                    .map_err(|e| e.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match loaded {
                Ok(rows) => {
                    let keyed = rows
                        .into_iter()
                        .map(|row| ((row.project_id.as_str().into(), row.fingerprint.as_str().into()), row));
                    return keyed.collect();
                }
                Err(error) => wait.after(&error, "cannot load incidents, will try again").await,
            }
        }
    }

    async fn deliver(&mut self, key: Key, letter: Apply) -> Result<(), TenureError> {
        let died = TenureError::ChildDied(self.title.partition);
        let Some(child) = self.children.get(&key) else { return Err(died) };
        // `send` keeps a letter that a full box refuses until it is taken; this router sends nothing meanwhile.
        child.send(letter).await.map_err(|_| died)?;
        self.dirty.insert(key, ());
        Ok(())
    }

    /// A consistent cut at `position` through all dirty children, in one transaction.
    async fn flush(&mut self) -> Result<(), TenureError> {
        if self.gathered.records == 0 {
            return Ok(());
        }
        let mut gathered = std::mem::take(&mut self.gathered);
        let mut batch = FlushBatch {
            checkpoint: self.checkpoint(&gathered),
            incidents: Vec::new(),
            opened: Vec::new(),
            samples: Vec::new(),
            transitions: Vec::new(),
            outcomes: Vec::new(),
            buckets: gathered.buckets(),
            ledger: gathered.ledger(),
            gaps: std::mem::take(&mut gathered.gaps),
        };
        for snapshot in self.snapshots().await? {
            add(&mut batch, snapshot);
        }
        self.commit(&batch).await?;
        self.title.next_offset = batch.checkpoint.next_offset;
        Ok(())
    }

    fn checkpoint(&self, gathered: &Gathered) -> CheckpointAdvance {
        CheckpointAdvance {
            group: ENGINE_GROUP,
            topic: self.title.topic.to_string(),
            partition: self.title.partition,
            epoch: self.title.epoch,
            from_offset: self.title.next_offset,
            next_offset: self.position,
            complete_until: gathered.complete_until,
            high_watermark: self.position.saturating_add(i64::from(!self.caught_up)),
        }
    }

    async fn snapshots(&mut self) -> Result<Vec<Snapshot>, TenureError> {
        let died = || TenureError::ChildDied(self.title.partition);
        let samples = if self.dirty.len() > 1_000 { 1 } else { usize::try_from(SAMPLES_KEPT).unwrap_or(1) };
        let mut replies = Vec::with_capacity(self.dirty.len());
        for (key, ()) in std::mem::take(&mut self.dirty) {
            let (reply, answer) = oneshot::channel();
            let child = self.children.get(&key).ok_or_else(died)?;
            child.try_send(TakeSnapshot { samples, reply }).map_err(|_| died())?;
            replies.push(answer);
        }
        let mut snapshots = Vec::with_capacity(replies.len());
        for answer in replies {
            snapshots.push(answer.await.map_err(|_| died())?);
        }
        Ok(snapshots)
    }

    /// Tries the same batch again until the database has it or the fence refuses it: a later flush can never
    /// overtake a failed one.
    async fn commit(&self, batch: &FlushBatch) -> Result<Committed, TenureError> {
        let mut wait = Backoff::default();
        loop {
            let done = match self.database.get().await {
                Ok(mut connection) => schema::flush::commit(&mut connection, batch).await,
                Err(error) => {
                    wait.after(&error.to_string(), "no database connection, will try again").await;
                    continue;
                }
            };
            match done {
                Ok(committed) => return Ok(committed),
                Err(FlushError::Database(error)) => {
                    wait.after(&error.to_string(), "a flush failed, will try again").await
                }
                Err(refused) => return Err(refused.into()),
            }
        }
    }
}

fn add(batch: &mut FlushBatch, snapshot: Snapshot) {
    let changes = snapshot.changes;
    if let Some(newest) = changes.incidents.last() {
        batch.buckets.extend(changes.minutes.iter().filter_map(|(minute, value)| {
            minute_start(*minute).map(|bucket_time| BucketDelta {
                bucket_time,
                metric_name: "errors",
                project_id: newest.project_id.clone(),
                environment: newest.environment.clone(),
                fingerprint: newest.fingerprint.clone(),
                value: *value,
            })
        }));
    }
    batch.incidents.extend(changes.incidents);
    batch.opened.extend(changes.opened);
    batch.samples.extend(snapshot.samples);
    batch.transitions.extend(changes.transitions);
    batch.outcomes.extend(changes.outcomes);
}

/// Waits longer after each failure, up to two seconds.
#[derive(Debug, Default)]
struct Backoff(u32);

impl Backoff {
    async fn after(&mut self, error: &str, sentence: &'static str) {
        if self.0 == 0 {
            tracing::warn!(error, "{sentence}");
        }
        tokio::time::sleep(Duration::from_millis(25 << self.0.min(6))).await;
        self.0 = self.0.saturating_add(1);
    }
}
