//! The way into the log. [`LogWriter::append`] comes back when all in-sync replicas have the record (G1), or
//! with the reason why that is not known, within the bound of [`ANSWERS_WITHIN`].
//!
//! Callers are the ingest routes and core-api's commands; it tells nobody. It owns one librdkafka producer
//! (idempotent, acks=all, lz4) and one thread that serves its delivery reports. Nothing here blocks the caller's
//! thread. When librdkafka declares its producer broken for good, the thread makes another.

mod gate;
mod line;
mod receipt;

use crate::metrics::append_duration;
use line::{Line, Parcel};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use receipt::{Fate, Tally};
use schema::instrument::Histogram;
use schema::trace::TraceParent;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::time::{Duration, Instant};

/// A record that is not acknowledged so long after it was handed over is given up. It may still turn up in the
/// log: the client that sends it again under the same event id is counted once.
pub const ANSWERS_WITHIN: Duration = Duration::from_secs(10);

/// Where a record stands in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Partition of the topic.
    pub partition: i32,
    /// Offset in that partition.
    pub offset: i64,
}

/// Why a record is not known to be in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// More is on its way than may be; try again in a moment.
    #[error("too many records are on their way to the log")]
    Full,
    /// The broker takes no record of this size.
    #[error("the log takes no record of this size")]
    TooLarge,
    /// Not acknowledged within [`ANSWERS_WITHIN`], or refused by the broker.
    #[error("the log did not acknowledge the record: {0}")]
    Unacknowledged(RDKafkaErrorCode),
}

impl From<RDKafkaErrorCode> for AppendError {
    fn from(code: RDKafkaErrorCode) -> Self {
        match code {
            RDKafkaErrorCode::QueueFull => Self::Full,
            RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize => Self::TooLarge,
            other => Self::Unacknowledged(other),
        }
    }
}

/// Records of one request for one key, one after the other in one buffer.
#[derive(Debug, Default)]
pub struct Records {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// The trace that they belong to, told with each of them.
    pub trace: Option<TraceParent>,
    /// Grows by their number as soon as all of them are in the log, whether or not somebody still waits for that.
    pub tally: Option<Arc<AtomicI64>>,
}

impl Records {
    /// None yet, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), ..Self::default() }
    }

    /// Adds the record that `write` appends to the buffer. If it fails, nothing is added.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn push<E>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let start = self.bytes.len();
        if let Err(error) = write(&mut self.bytes) {
            self.bytes.truncate(start);
            return Err(error);
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The records' bytes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(&0).chain(&self.ends);
        starts.zip(&self.ends).map(|(start, end)| self.bytes.get(*start..*end).unwrap_or_default())
    }
}

/// Appends records to one topic. Clones share one producer.
#[derive(Clone, Debug)]
pub struct LogWriter {
    line: Arc<Line>,
    duration: Histogram,
}

impl LogWriter {
    /// `kafka` says where the brokers are and how to speak to them; what it sets besides wins over our own
    /// settings, but for those that G1 stands on. Connects in the background, so it succeeds while the broker is away.
    ///
    /// # Errors
    /// A setting that librdkafka refuses, or no thread can be started.
    pub fn new(kafka: ClientConfig, topic: &str) -> Result<Self, KafkaError> {
        Ok(Self { line: Line::open(settings(kafka), topic)?, duration: append_duration() })
    }

    /// Appends one record under `key`; records of one key go to one partition.
    ///
    /// # Errors
    /// [`AppendError`]; the record may be in the log nevertheless unless the reason says that it was never sent.
    pub async fn append(&self, key: &str, payload: &[u8], is_command: bool) -> Result<Position, AppendError> {
        let records = Records { bytes: payload.to_vec(), ends: vec![payload.len()], ..Records::default() };
        self.deliver(key.into(), records, is_command).await
    }

    /// Appends events under `key`, in their order, and waits for all of them. Returns the place of the first
    /// that was acknowledged; none if there is no record.
    ///
    /// # Errors
    /// As [`LogWriter::append`], if any of them is not known to be in the log. Some may be.
    pub async fn append_all(&self, key: Arc<str>, records: Records) -> Result<Option<Position>, AppendError> {
        if records.is_empty() {
            return Ok(None);
        }
        self.deliver(key, records, false).await.map(Some)
    }

    async fn deliver(&self, key: Arc<str>, records: Records, is_command: bool) -> Result<Position, AppendError> {
        let number = i64::try_from(records.len()).unwrap_or(i64::MAX);
        let tally = records.tally.clone().map(|count| Tally { count, records: number });
        let (fate, receipt) = Fate::of(records.len(), tally);
        let began = Instant::now();
        self.line.send(Parcel { key, records, is_command, fate });
        let told = receipt.await;
        self.duration.record(began.elapsed());
        told.map_err(AppendError::from)
    }
}

/// Ours, where the caller has none of his own.
fn settings(mut kafka: ClientConfig) -> ClientConfig {
    let within = ANSWERS_WITHIN.as_millis().to_string();
    kafka.set("enable.idempotence", "true").set("acks", "all");
    for (name, value) in [
        ("client.id", "signals"),
        ("compression.type", "lz4"),
        // `gate` decides what goes together. (librdkafka waits in whole milliseconds: 0.1 would be 1.)
        ("linger.ms", "0"),
        ("message.timeout.ms", within.as_str()),
        ("queue.buffering.max.messages", "200000"),
        ("queue.buffering.max.kbytes", "262144"),
        ("socket.nagle.disable", "true"),
        ("reconnect.backoff.max.ms", "1000"),
    ] {
        if kafka.get(name).is_none() {
            kafka.set(name, value);
        }
    }
    kafka
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    use std::time::Instant;

    #[test]
    fn records_keep_their_bounds_and_a_failed_one_leaves_no_trace() {
        let mut records = Records::default();
        let good = |text: &'static [u8]| {
            move |bytes: &mut Vec<u8>| {
                bytes.extend_from_slice(text);
                Ok::<(), &str>(())
            }
        };
        assert_eq!(records.push(good(b"one")), Ok(()));
        let failed = records.push(|bytes| {
            bytes.extend_from_slice(b"half");
            Err("no")
        });
        assert_eq!(failed, Err("no"));
        assert_eq!(records.push(good(b"two")), Ok(()));
        assert_eq!(records.iter().collect::<Vec<_>>(), [b"one", b"two"]);
        assert_eq!(records.len(), 2);
    }

    #[test]
    fn g1_what_the_operator_sets_wins_but_for_durability() {
        let mut kafka = ClientConfig::new();
        kafka.set("compression.type", "none").set("acks", "0").set("enable.idempotence", "false");
        let settings = settings(kafka);
        assert_eq!(settings.get("compression.type"), Some("none"));
        assert_eq!((settings.get("acks"), settings.get("enable.idempotence")), (Some("all"), Some("true")));
    }

    /// librdkafka's own broker for tests, which can be told to fail.
    #[tokio::test]
    async fn g1_a_producer_that_is_broken_for_good_is_replaced() {
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic("t", 1, 1).unwrap();
        let mut kafka = ClientConfig::new();
        kafka.set("bootstrap.servers", broker.bootstrap_servers());
        let log = LogWriter::new(kafka, "t").unwrap();
        assert_eq!(log.append("k", b"1", false).await, Ok(Position { partition: 0, offset: 0 }));

        broker
            .request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER]);
        let broken = log.append("k", b"2", false).await;
        assert!(matches!(broken, Err(AppendError::Unacknowledged(_))), "{broken:?}");

        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = log.append("k", b"3", false).await {
            assert!(Instant::now() < deadline, "still {error}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test]
    async fn g1_a_refusal_of_the_broker_that_passes_is_tried_again() {
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic("t", 1, 1).unwrap();
        let mut kafka = ClientConfig::new();
        kafka.set("bootstrap.servers", broker.bootstrap_servers());
        let log = LogWriter::new(kafka, "t").unwrap();
        broker.request_errors(
            RDKafkaApiKey::Produce,
            &[
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            ],
        );
        let mut records = Records::default();
        for n in 0..10_u8 {
            records
                .push(|bytes| {
                    bytes.push(n);
                    Ok::<(), ()>(())
                })
                .unwrap();
        }
        let first = log.append_all("k".into(), records).await;
        assert_eq!(first, Ok(Some(Position { partition: 0, offset: 0 })));
        assert_eq!(log.append("k", b"x", false).await, Ok(Position { partition: 0, offset: 10 }));
    }

    #[tokio::test]
    async fn g1_a_broker_that_comes_back_is_written_to_again() {
        let broker = MockCluster::new(1).unwrap();
        broker.create_topic("t", 1, 1).unwrap();
        let mut kafka = ClientConfig::new();
        kafka.set("bootstrap.servers", broker.bootstrap_servers()).set("message.timeout.ms", "2000");
        let log = LogWriter::new(kafka, "t").unwrap();
        assert!(log.append("k", b"1", false).await.is_ok());

        broker.broker_down(1).unwrap();
        let asked = Instant::now();
        assert!(log.append("k", b"2", false).await.is_err());
        assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());

        broker.broker_up(1).unwrap();
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = log.append("k", b"3", false).await {
            assert!(Instant::now() < deadline, "still {error}");
        }
    }
}
