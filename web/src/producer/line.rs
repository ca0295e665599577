//! The librdkafka producer, the thread that serves it, and the gate before it.

use super::gate::Gate;
use super::receipt::Fate;
use super::{Position, Records};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, ProducerContext};
use schema::names::{KIND_COMMAND, KIND_HEADER, TRACEPARENT_HEADER};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak};
use std::thread;
use std::time::{Duration, Instant};

/// The thread looks up from the delivery reports so often: for records that waited long enough, a broken
/// producer, and the end.
const LOOKS_UP_EVERY: Duration = Duration::from_millis(20);

/// Lost records are reported so often at most.
const REPORTS_EVERY: Duration = Duration::from_secs(5);

/// The records of one request, and whom to tell.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) key: Arc<str>,
    pub(super) records: Records,
    pub(super) is_command: bool,
    pub(super) fate: Arc<Fate>,
}

/// From the callers' threads to librdkafka and back.
pub(super) struct Line {
    topic: String,
    settings: ClientConfig,
    gate: Mutex<Gate<Parcel>>,
    /// Records that librdkafka has and that are neither acknowledged nor given up. Not behind the gate's lock, which only the
    /// last of them needs.
    unacknowledged: AtomicUsize,
    producer: RwLock<Arc<BaseProducer<Reports>>>,
    broken: AtomicBool,
    lost: Mutex<Lost>,
}

/// Records that were given up since the last report, and why the last one was.
#[derive(Debug, Default)]
struct Lost {
    records: usize,
    reason: Option<KafkaError>,
}

impl Line {
    /// Opens the producer and starts its thread, which ends when the line is dropped.
    pub(super) fn open(settings: ClientConfig, topic: &str) -> Result<Arc<Self>, KafkaError> {
        // The producer's context needs the line, and the line the producer: the context is told afterwards.
        let reports = Reports::default();
        let line = Arc::new(Self {
            topic: topic.to_owned(),
            gate: Mutex::new(Gate::new()),
            unacknowledged: AtomicUsize::new(0),
            producer: RwLock::new(Arc::new(producer(&settings, reports.clone())?)),
            settings,
            broken: AtomicBool::new(false),
            lost: Mutex::default(),
        });
        reports.belong_to(&line);
        let weak = Arc::downgrade(&line);
        thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || serve(&weak))
            .map_err(|error| KafkaError::ClientCreation(format!("no thread for the delivery reports: {error}")))?;
        Ok(line)
    }

    /// Takes a parcel in. Its fate is told in every case; nothing here blocks.
    pub(super) fn send(&self, parcel: Parcel) {
        let (records, bytes) = (parcel.records.len(), parcel.records.bytes.len());
        let mut gate = self.gate();
        let released = self.count(gate.offer(parcel, records, bytes, self.is_clear(), Instant::now()));
        drop(gate);
        self.hand_over(released);
    }

    fn is_clear(&self) -> bool {
        self.unacknowledged.load(Ordering::Acquire) == 0
    }

    /// What is released is on its way before the gate's lock is free, so that nobody takes the way for clear.
    fn count(&self, released: Option<Vec<Parcel>>) -> Option<Vec<Parcel>> {
        let records = released.iter().flatten().map(|parcel| parcel.records.len()).sum();
        self.unacknowledged.fetch_add(records, Ordering::AcqRel);
        released
    }

    fn release_if_due(&self) -> Option<Vec<Parcel>> {
        let mut gate = self.gate();
        let released = gate.release_if_due(self.is_clear(), Instant::now());
        self.count(released)
    }

    /// So many records are acknowledged or given up. Whoever offers and finds the way not clear has offered before the last
    /// of them comes here, and so is found waiting.
    #[must_use]
    fn settle(&self, records: usize) -> Option<Vec<Parcel>> {
        if self.unacknowledged.fetch_sub(records, Ordering::AcqRel) == records { self.release_if_due() } else { None }
    }

    /// Gives what the gate lets through to librdkafka. A refusal settles the record at once, which may let more through.
    fn hand_over(&self, mut released: Option<Vec<Parcel>>) {
        while let Some(parcels) = released {
            let producer = Arc::clone(&self.producer.read().unwrap_or_else(PoisonError::into_inner));
            let refused = parcels.iter().map(|parcel| self.produce(&producer, parcel)).sum();
            released = (refused > 0).then(|| self.settle(refused)).flatten();
        }
    }

    /// Returns how many of the parcel's records librdkafka refused.
    fn produce(&self, producer: &BaseProducer<Reports>, parcel: &Parcel) -> usize {
        let headers = headers(parcel);
        for (sent, payload) in parcel.records.iter().enumerate() {
            let mut record = BaseRecord::with_opaque_to(&self.topic, Arc::clone(&parcel.fate)).payload(payload);
            record = record.key(parcel.key.as_bytes());
            if let Some(headers) = &headers {
                record = record.headers(headers.clone());
            }
            if let Err((error, _)) = producer.send(record) {
                // The rest is refused with it: a request is acknowledged as a whole, and its order is kept.
                let refused = parcel.records.len() - sent;
                self.note(&error);
                self.lose(refused, error.clone());
                parcel.fate.fail(refused, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
                return refused;
            }
        }
        0
    }

    fn note(&self, error: &KafkaError) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal) {
            self.broken.store(true, Ordering::Release);
        }
    }

    fn lose(&self, records: usize, reason: KafkaError) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.records += records;
        lost.reason = Some(reason);
    }

    /// One line for however many records were given up.
    fn report_lost(&self) {
        let lost = std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner));
        if let Some(reason) = lost.reason {
            tracing::warn!(records = lost.records, %reason, "the log did not acknowledge records; their clients were told");
        }
    }

    /// Replaces a producer that will never send again. What it had not sent is given up by its purge.
    fn repair(self: &Arc<Self>) {
        if !self.broken.load(Ordering::Acquire) {
            return;
        }
        let reports = Reports::default();
        match producer(&self.settings, reports.clone()) {
            Ok(fresh) => {
                reports.belong_to(self);
                let mut current = self.producer.write().unwrap_or_else(PoisonError::into_inner);
                let broken = std::mem::replace(&mut *current, Arc::new(fresh));
                self.broken.store(false, Ordering::Release);
                drop(current);
                tracing::warn!("the producer was broken for good and has been replaced");
                drop(broken);
            }
            Err(error) => tracing::error!(%error, "the producer is broken and cannot be replaced yet"),
        }
    }

    fn gate(&self) -> MutexGuard<'_, Gate<Parcel>> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Most records carry none.
fn headers(parcel: &Parcel) -> Option<OwnedHeaders> {
    let trace = parcel.records.trace.map(|trace| trace.to_string());
    let kind = parcel.is_command.then_some(Header { key: KIND_HEADER, value: Some(KIND_COMMAND) });
    let trace = trace.as_ref().map(|trace| Header { key: TRACEPARENT_HEADER, value: Some(trace.as_bytes()) });
    let both = kind.into_iter().chain(trace);
    both.fold(None, |headers, header| Some(headers.unwrap_or_else(OwnedHeaders::new).insert(header)))
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("topic", &self.topic).finish_non_exhaustive()
    }
}

fn producer(settings: &ClientConfig, reports: Reports) -> Result<BaseProducer<Reports>, KafkaError> {
    BaseProducer::from_config_and_context(settings, reports)
}

/// The thread's whole life.
fn serve(line: &Weak<Line>) {
    let mut reported = Instant::now();
    while let Some(line) = line.upgrade() {
        let producer = Arc::clone(&line.producer.read().unwrap_or_else(PoisonError::into_inner));
        producer.poll(LOOKS_UP_EVERY);
        line.hand_over(line.release_if_due());
        drop(producer);
        line.repair();
        if reported.elapsed() >= REPORTS_EVERY {
            line.report_lost();
            reported = Instant::now();
        }
    }
}

/// Receives librdkafka's reports, on the line's own thread.
#[derive(Clone, Debug, Default)]
struct Reports {
    line: Arc<std::sync::OnceLock<Weak<Line>>>,
}

impl Reports {
    fn belong_to(&self, line: &Arc<Line>) {
        self.line.get_or_init(|| Arc::downgrade(line));
    }

    fn line(&self) -> Option<Arc<Line>> {
        self.line.get().and_then(Weak::upgrade)
    }
}

impl ClientContext for Reports {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(%error, reason, "the log's client reports a fault");
        if let Some(line) = self.line() {
            line.note(&error);
        }
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Arc<Fate>;

    fn delivery(&self, result: &DeliveryResult<'_>, fate: Arc<Fate>) {
        match result {
            Ok(record) => fate.acknowledge(Position { partition: record.partition(), offset: record.offset() }),
            Err((error, _)) => {
                fate.fail(1, error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail));
                if let Some(line) = self.line() {
                    line.note(error);
                    line.lose(1, error.clone());
                }
            }
        }
        if let Some(line) = self.line() {
            line.hand_over(line.settle(1));
        }
    }
}
