//! The indexer of one partition: takes batches, has them stored, goes on only when every record of them is settled.

use super::config::IndexerConfig;
use super::meters::IndexMeters;
use super::portion::{Bounds, Portion, Settled, Throttle};
use super::progress::{Progress, Step};
use super::refresher::Refresher;
use crate::consumer::batch::RecordBatch;
use crate::dead_letter::{DeadLetter, DeadLetterWriter};
use crate::flusher::lateness;
use crate::flusher::retry::Patience;
use crate::metrics::buried;
use crate::supervision::child::Ended;
use crate::supervision::chronicle::Alive;
use schema::search::{ItemOutcome, SearchError, SearchIndex};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::{mpsc, watch};

/// Where a record is given up that the index refuses.
pub const STAGE: &str = "index";

/// What an indexer needs of the rest.
#[derive(Clone)]
pub(crate) struct Means {
    pub config: Arc<IndexerConfig>,
    pub index: Arc<dyn SearchIndex>,
    pub dead_letters: Arc<DeadLetterWriter>,
    pub refresher: Refresher,
}

/// Why an indexer ends before everything is settled; the next owner, or its next life, does the rest.
enum Halt {
    /// It was asked to.
    Asked,
    /// It cannot go on.
    Failed(Ended),
}

/// One assigned partition's indexer.
pub(crate) struct Indexer {
    partition: i32,
    means: Means,
    progress: Arc<Progress>,
    meters: IndexMeters,
    throttle: Throttle,
    expected: Option<i64>,
    ending: watch::Receiver<bool>,
    _alive: Alive,
}

impl Indexer {
    /// Of a partition; `ending` turns true when it shall leave what it cannot finish.
    pub(crate) fn new(
        partition: i32,
        means: Means,
        progress: Arc<Progress>,
        (ending, alive): (watch::Receiver<bool>, Alive),
    ) -> Self {
        let throttle = Throttle::new(means.config.bulk_records);
        let expected = progress.stored();
        Self { partition, means, progress, meters: IndexMeters::new(), throttle, expected, ending, _alive: alive }
    }

    /// Until its inbox closes.
    ///
    /// # Errors
    /// What it cannot go on from.
    pub(crate) async fn run(mut self, inbox: mpsc::Receiver<RecordBatch>) -> Result<(), Ended> {
        match self.live(inbox).await {
            Ok(()) | Err(Halt::Asked) => Ok(()),
            Err(Halt::Failed(ended)) => Err(ended),
        }
    }

    async fn live(&mut self, mut inbox: mpsc::Receiver<RecordBatch>) -> Result<(), Halt> {
        self.prepare().await?;
        self.progress.enter(Step::Waiting);
        while let Some(batch) = inbox.recv().await {
            self.take(&batch).await?;
            self.progress.enter(Step::Waiting);
        }
        Ok(())
    }

    async fn prepare(&mut self) -> Result<(), Halt> {
        let mut wait = Patience::default();
        let index = Arc::clone(&self.means.index);
        loop {
            self.progress.enter(Step::Preparing);
            match index.prepare().await {
                Ok(()) => break,
                Err(error) => self.back_off(&mut wait, &error.to_string()).await?,
            }
        }
        self.progress.succeeded();
        Ok(())
    }

    async fn take(&mut self, batch: &RecordBatch) -> Result<(), Halt> {
        self.note_gap(batch);
        let bounds = Bounds { records: self.means.config.bulk_records, bytes: self.means.config.bulk_bytes };
        let mut from = 0;
        while from < batch.len() {
            let portion = Portion::cut(batch, from, bounds);
            from = portion.end;
            self.meters.left_out(portion.commands, portion.undecodable);
            self.settle(batch, portion).await?;
            if let Some(last) = batch.record(from.saturating_sub(1)) {
                self.progress.set_stored(last.offset + 1);
                self.expected = Some(last.offset + 1);
            }
        }
        Ok(())
    }

    /// The log may have deleted what was not stored yet.
    fn note_gap(&self, batch: &RecordBatch) {
        let first = batch.record(0).map(|record| record.offset);
        if let (Some(expected), Some(first)) = (self.expected, first)
            && first > expected
        {
            tracing::error!(partition = self.partition, expected, first, "events are missing that the log has deleted");
            self.meters.gap(first - expected);
        }
    }

    /// Sends the portion's events until each is stored, was there, or lies in the dead letters.
    async fn settle(&mut self, batch: &RecordBatch, mut portion: Portion) -> Result<(), Halt> {
        let newest = portion.events.last().map(|event| event.received_at);
        let mut wait = Patience::default();
        while !portion.events.is_empty() {
            if *self.ending.borrow() {
                return Err(Halt::Asked);
            }
            let sent = self.throttle.now().min(portion.events.len());
            match self.store(&portion, sent).await {
                Ok(outcomes) => {
                    let settled = portion.settle(sent, outcomes);
                    self.note(&settled);
                    self.bury(batch, &settled).await?;
                    match settled.retry {
                        None => {
                            wait = Patience::default();
                            self.throttle.succeeded();
                            self.progress.succeeded();
                        }
                        Some(why) => self.back_off(&mut wait, &why).await?,
                    }
                }
                Err(error) => {
                    self.meters.batch_failed();
                    self.back_off(&mut wait, &error.to_string()).await?;
                }
            }
        }
        if let Some(newest) = newest {
            self.meters.note_stored(lateness::since(newest));
        }
        Ok(())
    }

    async fn store(&self, portion: &Portion, sent: usize) -> Result<Vec<ItemOutcome>, SearchError> {
        self.progress.enter(Step::Storing);
        let began = Instant::now();
        let stored = self.means.index.store(portion.events.get(..sent).unwrap_or_default()).await?;
        self.meters.note_bulk(sent, began.elapsed());
        self.means.refresher.ask();
        Ok(stored)
    }

    fn note(&self, settled: &Settled) {
        self.progress.count_events(settled.stored.saturating_add(settled.already_there));
        self.meters.settled(settled.stored, settled.already_there, settled.refused.len(), settled.retries);
    }

    /// What the index refuses goes to the dead letters before the offset goes on.
    async fn bury(&mut self, batch: &RecordBatch, settled: &Settled) -> Result<(), Halt> {
        if settled.refused.is_empty() {
            return Ok(());
        }
        self.progress.enter(Step::Burying);
        let letters: Vec<DeadLetter> =
            settled.refused.iter().filter_map(|(place, why)| self.letter(batch, *place, why)).collect();
        tracing::warn!(partition = self.partition, events = letters.len(), "the index refuses events");
        tokio::select! {
            sent = self.means.dead_letters.send(&letters) => sent.map_err(Halt::Failed)?,
            // Its sender is gone only when everything is.
            _ = self.ending.wait_for(|ending| *ending) => return Err(Halt::Asked),
        }
        buried(&letters);
        Ok(())
    }

    fn letter(&self, batch: &RecordBatch, place: usize, why: &str) -> Option<DeadLetter> {
        let record = batch.record(place)?;
        Some(DeadLetter {
            partition: self.partition,
            offset: record.offset,
            key: batch.key(place).to_vec(),
            payload: batch.payload(place).to_vec(),
            is_command: false,
            retries: record.retries,
            stage: STAGE,
            reason: why.to_owned(),
            trace: batch.trace(place),
        })
    }

    async fn back_off(&mut self, wait: &mut Patience, why: &str) -> Result<(), Halt> {
        self.throttle.failed();
        self.progress.failed(why);
        self.progress.enter(Step::BackingOff);
        tokio::select! {
            () = wait.after(why, "the search index does not take events, will try again") => Ok(()),
            _ = self.ending.wait_for(|ending| *ending) => Err(Halt::Asked),
        }
    }
}
