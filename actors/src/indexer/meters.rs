//! What the indexers measure: by batch, never by record. The metrics themselves are declared with the others.

use super::actor::STAGE;
use super::assignment::IndexerGlance;
use crate::metrics::{
    ALL, dead_letters, event_indexed, figure, index_bulk_duration, index_bulk_size, index_gap, index_lag,
    index_left_out, index_paused, index_retries, indexed, wide,
};
use schema::instrument::{Counter, Histogram, Instrument};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Describes everything and makes what has known labels appear with 0, so that the first change shows as a rise.
pub(crate) fn begin() {
    ALL.iter().for_each(Instrument::describe);
    for outcome in ["stored", "already_there", "refused"] {
        indexed(outcome).increment(0);
    }
    for reason in ["command", "undecodable"] {
        index_left_out(reason).increment(0);
    }
    for of in ["item", "batch"] {
        index_retries(of).increment(0);
    }
    index_gap().increment(0);
    dead_letters(STAGE).increment(0);
}

/// What an indexer measures.
#[derive(Debug)]
pub(crate) struct IndexMeters {
    stored: Counter,
    already_there: Counter,
    refused: Counter,
    items: Counter,
    batches: Counter,
    duration: Histogram,
    size: Histogram,
    event: Histogram,
}

impl IndexMeters {
    pub(crate) fn new() -> Self {
        Self {
            stored: indexed("stored"),
            already_there: indexed("already_there"),
            refused: indexed("refused"),
            items: index_retries("item"),
            batches: index_retries("batch"),
            duration: index_bulk_duration(),
            size: index_bulk_size(),
            event: event_indexed(),
        }
    }

    pub(crate) fn left_out(&self, commands: u64, undecodable: u64) {
        for (reason, records) in [("command", commands), ("undecodable", undecodable)] {
            if records > 0 {
                index_left_out(reason).increment(records);
            }
        }
    }

    pub(crate) fn gap(&self, records: i64) {
        index_gap().increment(u64::try_from(records).unwrap_or(0));
    }

    pub(crate) fn settled(&self, stored: u64, already_there: u64, refused: usize, retries: u64) {
        self.stored.increment(stored);
        self.already_there.increment(already_there);
        self.refused.increment(u64::try_from(refused).unwrap_or(0));
        self.items.increment(retries);
    }

    pub(crate) fn batch_failed(&self) {
        self.batches.increment(1);
    }

    pub(crate) fn note_bulk(&self, events: usize, took: Duration) {
        self.duration.record(took);
        self.size.record(figure(events));
    }

    pub(crate) fn note_stored(&self, lateness: Duration) {
        self.event.record(lateness);
    }
}

/// Brings the gauges of the indexers' partitions up to date when somebody asks for them.
#[derive(Debug, Default)]
pub(crate) struct IndexGauges {
    owned: Mutex<BTreeSet<i32>>,
}

impl IndexGauges {
    pub(crate) fn show(&self, glances: &[IndexerGlance]) {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        for glance in glances {
            owned.insert(glance.partition);
            index_lag(glance.partition).set(wide(glance.progress.lag().unwrap_or(0)));
            index_paused(glance.partition).set(f64::from(u8::from(glance.progress.is_paused())));
        }
        let is_gone = |partition: &i32| !glances.iter().any(|glance| glance.partition == *partition);
        for partition in owned.extract_if(.., is_gone) {
            index_lag(partition).set(0.0);
            index_paused(partition).set(0.0);
        }
    }
}
