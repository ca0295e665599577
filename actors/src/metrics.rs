//! What the engine measures. A comment here is the HELP text and the README's line.
//!
//! The engine measures by batch, by flush or by accident, never by record, and decides nothing by what it has measured.

use crate::consumer::tenures::TenureView;
use crate::dead_letter::DeadLetter;
use crate::supervision::child::ExitReason;
use schema::flush::{Committed, FlushBatch, FlushError};
use schema::instrument::{Counter, Gauge, Histogram};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

schema::instruments! {
    /// Records that routers have taken in, duplicates and dead letters included.
    Counter records_routed(partition) = "signals_records_routed_total";
    /// Events by what became of them, durably: counted, duplicate (its id stood in the dedupe window) or dead_lettered.
    /// One that is put back counts again, under what becomes of it then.
    Counter events_settled(outcome) = "signals_events_settled_total";
    /// From an event's receipt by ingest to the commit that made it durable. One observation for every 32 records of
    /// a batch begun, by the newest of them.
    Histogram event_durable() = "signals_event_durable_seconds";
    /// From a cut's arrival at the flusher to its commit, with all its retries.
    Histogram flush_duration() = "signals_flush_duration_seconds";
    /// Records that a flush contained.
    Histogram flush_size() = "signals_flush_size_records";
    /// Rows that a flush wrote.
    Histogram flush_rows() = "signals_flush_size_rows";
    /// Tries of a flush that the database did not take and that were repeated.
    Counter flush_retries() = "signals_flush_retries_total";
    /// Flushes that the fence refused: the partition has another owner.
    Counter flushes_refused() = "signals_flushes_refused_total";
    /// From asking the changed actors of a partition for their part of a cut to the last answer: how long letters wait in
    /// the mailboxes at that moment, and what answering costs.
    Histogram cut_duration() = "signals_cut_duration_seconds";
    /// How long a router waited for room in the full mailbox of an actor; observed only when one was full.
    Histogram mailbox_wait(kind) = "signals_mailbox_wait_seconds";
    /// Actors and tenures that died and live again, by kind (incident, project, tenure, indexer) and reason (panicked, failed, revoked).
    Counter restarts(kind, reason) = "signals_restarts_total";
    /// Records that went to the dead letters, by the stage that gave them up (decode, incident, project, quarantine, index).
    Counter dead_letters(stage) = "signals_dead_letters_total";
    /// Fingerprints that were quarantined because their records kept killing their incident's actor.
    Counter quarantines() = "signals_quarantines_total";
    /// Events that went to an overflow incident because their project had opened too many fingerprints.
    Counter overflowed() = "signals_overflow_events_total";
    /// Idle actors that made room for others.
    Counter passivated(kind) = "signals_passivated_total";
    /// 1 while this process owns the partition. All other figures of a partition are 0 while it does not.
    Gauge partition_owned(partition) = "signals_partition_owned";
    /// Records in the log that are not durable in the database yet, as far as the broker has told us the log's end.
    Gauge partition_lag(partition) = "signals_partition_lag_records";
    /// First offset that is not durable.
    Gauge partition_durable(partition) = "signals_partition_durable_offset";
    /// Records routed since the last cut.
    Gauge partition_undurable(partition) = "signals_partition_undurable_records";
    /// 1 while reading is paused because the router is behind.
    Gauge partition_paused(partition) = "signals_partition_paused";
    /// IncidentActors alive.
    Gauge residents(partition) = "signals_resident_incidents";
    /// Events that indexers have settled, by what became of them: stored, already_there (a replay) or refused (they went to
    /// the dead letters).
    Counter indexed(outcome) = "signals_indexed_events_total";
    /// Records that indexers left out, by reason: command, or undecodable (the engine's group dead-letters them).
    Counter index_left_out(reason) = "signals_index_left_out_total";
    /// Events that the search index did not take yet and that were sent again, one by one (item) or as a whole batch (batch,
    /// counted once a batch).
    Counter index_retries(of) = "signals_index_retries_total";
    /// Records that the log had deleted before they were indexed.
    Counter index_gap() = "signals_index_gap_records_total";
    /// How long the search index took for a batch.
    Histogram index_bulk_duration() = "signals_index_bulk_duration_seconds";
    /// Events in a batch for the search index.
    Histogram index_bulk_size() = "signals_index_bulk_size_records";
    /// From an event's receipt by ingest to its storage in the search index; one observation a batch, by the newest.
    Histogram event_indexed() = "signals_event_indexed_seconds";
    /// Records in the log that are not in the search index yet, as far as the broker has told the log's end.
    Gauge index_lag(partition) = "signals_index_lag_records";
    /// 1 while reading for the search index is paused because its indexer is behind.
    Gauge index_paused(partition) = "signals_index_paused";
}

/// Records for which one end-to-end observation is made, so that a flush of 50,000 does not make as many.
const RECORDS_AN_OBSERVATION: usize = 32;

/// Where a record can be given up.
const STAGES: [&str; 5] = ["decode", "incident", "project", "quarantine", crate::indexer::actor::STAGE];

/// Describes everything and makes what has known labels appear with 0, so that the first change shows as a rise.
pub(crate) fn begin() {
    ALL.iter().for_each(schema::instrument::Instrument::describe);
    for outcome in ["counted", "duplicate", "dead_lettered"] {
        events_settled(outcome).increment(0);
    }
    for stage in STAGES {
        dead_letters(stage).increment(0);
    }
    quarantines().increment(0);
    for kind in ["incident", "project"] {
        restarts(kind, "panicked").increment(0);
        passivated(kind).increment(0);
        // Registering it is what makes it appear.
        let _ = mailbox_wait(kind);
    }
    for reason in [ExitReason::Panicked, ExitReason::Failed, ExitReason::Revoked] {
        tenure_restarted(reason, 0);
    }
}

/// Tenures that began anew after they had ended so.
pub(crate) fn tenure_restarted(reason: ExitReason, times: u64) {
    restarts("tenure", reason.as_str()).increment(times);
}

/// What a router measures; made once a tenure.
#[derive(Debug)]
pub(crate) struct RouterMeters {
    /// See [`records_routed`].
    pub routed: Counter,
    /// See [`overflowed`].
    pub overflowed: Counter,
    /// See [`cut_duration`].
    pub cut: Histogram,
}

impl RouterMeters {
    pub(crate) fn of(partition: i32) -> Self {
        Self { routed: records_routed(partition), overflowed: overflowed(), cut: cut_duration() }
    }
}

/// What the flusher measures.
#[derive(Clone, Debug)]
pub(crate) struct FlushMeters {
    duration: Histogram,
    size: Histogram,
    rows: Histogram,
    durable: Histogram,
    refused: Counter,
    /// See [`flush_retries`].
    pub retries: Counter,
}

impl FlushMeters {
    pub(crate) fn new() -> Self {
        Self {
            duration: flush_duration(),
            size: flush_size(),
            rows: flush_rows(),
            durable: event_durable(),
            refused: flushes_refused(),
            retries: flush_retries(),
        }
    }

    /// A flush came to its end.
    pub(crate) fn note(
        &self,
        batch: &FlushBatch,
        records: usize,
        took: Duration,
        done: &Result<Committed, FlushError>,
    ) {
        if done.is_err() {
            self.refused.increment(1);
            return;
        }
        self.duration.record(took);
        self.size.record(figure(records));
        self.rows.record(figure(batch.rows()));
        for line in &batch.ledger {
            // A negative line takes back what an earlier one of the same outcome said.
            events_settled(line.outcome).increment(u64::try_from(line.events).unwrap_or(0));
        }
    }

    /// So many records became durable, the newest of them so long after its receipt.
    pub(crate) fn note_durable(&self, lateness: Duration, records: usize) {
        for _ in 0..records.div_ceil(RECORDS_AN_OBSERVATION) {
            self.durable.record(lateness);
        }
    }
}

/// A number of things as a figure.
fn figure(things: usize) -> f64 {
    f64::from(u32::try_from(things).unwrap_or(u32::MAX))
}

/// Offsets and lags are beyond an u32.
#[expect(clippy::as_conversions, reason = "a figure of more than 53 bits may lose its last ones")]
fn wide(number: i64) -> f64 {
    number as f64
}

/// These went to the dead letters.
pub(crate) fn buried(letters: &[DeadLetter]) {
    if letters.is_empty() {
        return;
    }
    for stage in STAGES {
        dead_letters(stage).increment(letters.iter().filter(|letter| letter.stage == stage).map(|_| 1).sum());
    }
}

/// Brings the gauges of partitions up to date when somebody asks for them.
#[derive(Debug, Default)]
pub(crate) struct PartitionGauges {
    owned: Mutex<BTreeSet<i32>>,
}

impl PartitionGauges {
    pub(crate) fn show(&self, tenures: &[TenureView]) {
        let mut owned = self.owned.lock().unwrap_or_else(PoisonError::into_inner);
        for tenure in tenures {
            let (partition, progress) = (tenure.partition, &tenure.progress);
            owned.insert(partition);
            partition_owned(partition).set(1.0);
            partition_lag(partition).set(wide(progress.lag()));
            partition_durable(partition).set(wide(progress.durable()));
            partition_undurable(partition).set(figure(progress.undurable()));
            partition_paused(partition).set(f64::from(u8::from(progress.is_paused())));
            residents(partition).set(figure(progress.residents()));
        }
        let is_gone = |partition: &i32| !tenures.iter().any(|tenure| tenure.partition == *partition);
        for partition in owned.extract_if(.., is_gone) {
            partition_owned(partition).set(0.0);
            let others: [fn(i32) -> Gauge; 5] =
                [partition_lag, partition_durable, partition_undurable, partition_paused, residents];
            for gauge in others {
                gauge(partition).set(0.0);
            }
        }
    }
}

/// Describes everything and makes what has known labels appear with 0, for a process that indexes.
pub(crate) fn begin_indexing() {
    ALL.iter().for_each(schema::instrument::Instrument::describe);
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
    dead_letters(crate::indexer::actor::STAGE).increment(0);
    indexer_restarted(ExitReason::Panicked, 0);
}

/// Indexers that began anew after they had ended so.
pub(crate) fn indexer_restarted(reason: ExitReason, times: u64) {
    restarts("indexer", reason.as_str()).increment(times);
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
    pub(crate) fn show(&self, glances: &[crate::indexer::assignment::IndexerGlance]) {
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
