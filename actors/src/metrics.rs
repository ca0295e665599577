//! What the engine measures. A comment here is the HELP text and the README's line.
//!
//! The engine measures by batch, by flush or by accident, never by record, and decides nothing by what it has measured.

use crate::consumer::tenures::TenureView;
use crate::dead_letter::DeadLetter;
use crate::supervision::child::ExitReason;
use crate::supervision::kind::Kind;
use schema::flush::FlushBatch;
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
    /// Parts of the engine that died and live again, by kind (incident, project, tenure, flusher, dead_letters, consumer,
    /// summarizers, summarizer, index_consumer, indexer) and reason (panicked, failed, revoked, rewound).
    Counter restarts(kind, reason) = "signals_restarts_total";
    /// Records that went to the dead letters, by the stage that gave them up (decode, incident, project,
    /// quarantine, flush, index).
    Counter dead_letters(stage) = "signals_dead_letters_total";
    /// Samples whose content the database refused, and that are kept without it.
    Counter samples_refused() = "signals_samples_refused_total";
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
    /// Requests to the model endpoint, by what came of them (answered, unusable, unsupported, no_model, rate_limited,
    /// unavailable, timed_out, unauthorized, out_of_credit, too_large, refused).
    Counter ai_requests(outcome) = "signals_ai_requests_total";
    /// From a request to the model endpoint to the end of its answer.
    Histogram ai_request_duration() = "signals_ai_request_duration_seconds";
    /// Tokens that models have read (in) and written (out), estimated where the endpoint does not count them.
    Counter ai_tokens(direction) = "signals_ai_tokens_total";
    /// Claims of summary jobs, by what came of them: model, deterministic, cached (the facts had not changed), gone (so was the
    /// incident), retried, failed, postponed (no attempt was counted) or lost (another worker has the job).
    Counter ai_jobs(outcome) = "signals_ai_jobs_total";
    /// From the claim of a summary job to its good end.
    Histogram ai_job_duration() = "signals_ai_job_duration_seconds";
    /// Summaries that were asked for again because their incidents had changed.
    Counter ai_refreshes() = "signals_ai_refreshes_total";
    /// Tokens spent or reserved today (UTC), by all processes.
    Gauge ai_spent_today() = "signals_ai_spent_today_tokens";
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
const STAGES: [&str; 6] = ["decode", "incident", "project", "quarantine", "flush", crate::indexer::actor::STAGE];

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
    samples_refused().increment(0);
    for kind in ["incident", "project"] {
        passivated(kind).increment(0);
        // Registering it is what makes it appear.
        let _ = mailbox_wait(kind);
    }
    for kind in Kind::ALL {
        if let Some(label) = label(kind) {
            restarts(label, ExitReason::Panicked.as_str()).increment(0);
        }
    }
    for reason in [ExitReason::Failed, ExitReason::Revoked, ExitReason::Rewound] {
        restarts("tenure", reason.as_str()).increment(0);
    }
}

/// The same for the summarizers.
pub(crate) fn begin_summaries() {
    ALL.iter().for_each(schema::instrument::Instrument::describe);
    for outcome in ["model", "deterministic", "cached", "gone", "retried", "failed", "postponed", "lost"] {
        ai_jobs(outcome).increment(0);
    }
    ai_requests("answered").increment(0);
    ai_tokens_spent(0, 0);
    ai_refreshes().increment(0);
}

/// Models have read and written so many tokens.
pub(crate) fn ai_tokens_spent(read: u32, written: u32) {
    for (direction, tokens) in [("in", read), ("out", written)] {
        ai_tokens(direction).increment(tokens.into());
    }
}

/// A child of this kind died so and lives again.
pub(crate) fn restarted(kind: Kind, reason: ExitReason) {
    if let Some(label) = label(kind) {
        restarts(label, reason.as_str()).increment(1);
    }
}

/// The name of a kind among the labels; none for the root, which never lives again.
fn label(kind: Kind) -> Option<&'static str> {
    match kind {
        Kind::RootSupervisor => None,
        Kind::Flusher => Some("flusher"),
        Kind::DeadLetterWriter => Some("dead_letters"),
        Kind::KafkaConsumer => Some("consumer"),
        Kind::PartitionRouter => Some("tenure"),
        Kind::ProjectActor => Some("project"),
        Kind::IncidentActor => Some("incident"),
        Kind::SummarizerPool => Some("summarizers"),
        Kind::AiSummarizer => Some("summarizer"),
        Kind::IndexConsumer => Some("index_consumer"),
        Kind::Indexer => Some("indexer"),
    }
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
    /// See [`flushes_refused`].
    pub refused: Counter,
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

    /// A flush became durable.
    pub(crate) fn note(&self, batch: &FlushBatch, records: usize, took: Duration) {
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

/// What summarizers measure.
#[derive(Clone, Debug)]
pub(crate) struct AiMeters {
    duration: Histogram,
}

impl AiMeters {
    /// Describes everything and makes the outcomes appear with 0.
    pub(crate) fn new() -> Self {
        ALL.iter().for_each(schema::instrument::Instrument::describe);
        for outcome in ["model", "deterministic", "cached", "gone", "retried", "failed", "postponed", "lost"] {
            ai_jobs(outcome).increment(0);
        }
        ai_refreshes().increment(0);
        ai_tokens_spent(0, 0);
        Self { duration: ai_job_duration() }
    }

    /// A claim came to this end.
    pub(crate) fn ended(&self, outcome: &'static str) {
        ai_jobs(outcome).increment(1);
    }

    /// A job ended well.
    pub(crate) fn done(&self, outcome: &'static str, took: Duration) {
        self.ended(outcome);
        self.duration.record(took);
    }

    /// What was spent today.
    pub(crate) fn spent(tokens: i64) {
        ai_spent_today().set(wide(tokens));
    }
}

/// A number of things as a figure.
pub(crate) fn figure(things: usize) -> f64 {
    f64::from(u32::try_from(things).unwrap_or(u32::MAX))
}

/// Offsets and lags are beyond an u32.
#[expect(clippy::as_conversions, reason = "a figure of more than 53 bits may lose its last ones")]
pub(crate) fn wide(number: i64) -> f64 {
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
