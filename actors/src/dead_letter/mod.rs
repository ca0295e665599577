//! Records that nobody could handle: kept byte for byte in `signals.dlq.v1`, with the reason.
//!
//! One whose value is too large for its topic goes there without it and says so: its place in the log tells where it is.
//!
//! Header names are those of Kafka Connect (KIP-298), so that tools which know them show ours.

use crate::failpoint::{self, Point};
use crate::flusher::desk::Desk;
use crate::flusher::retry::Patience;
use crate::supervision::child::Ended;
use crate::supervision::chronicle::Alive;
use crate::supervision::guardian::{Guardian, Tree};
use crate::supervision::kind::{ActorId, Kind};
use crate::supervision::restart::Verdict;
use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::util::Timeout;
use schema::names::{self, KIND_COMMAND, KIND_HEADER, RETRIES_HEADER, TRACEPARENT_HEADER};
use schema::trace::TraceParent;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// Letters that wait for their acknowledgements side by side: one after the other, each would cost a flush a round trip.
const TOGETHER: usize = 1_000;

/// Characters of a reason that are kept: a panic may say anything.
const REASON: usize = 4_000;
/// What librdkafka lets pass; how much a record may hold is the broker's business.
const LARGEST: &str = "100000000";

/// One record on its way there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// Partition that it came from.
    pub partition: i32,
    /// Its offset there.
    pub offset: i64,
    /// Its key.
    pub key: Vec<u8>,
    /// Its value.
    pub payload: Vec<u8>,
    /// Whether it is a person's command.
    pub is_command: bool,
    /// How often it had been taken back before.
    pub retries: u32,
    /// `decode`, `incident`, `project`, `quarantine`, `flush` or, of the search index, `index`.
    pub stage: &'static str,
    /// A sentence: the parser's, or the panic's message.
    pub reason: String,
    /// The trace that it belongs to.
    pub trace: Option<TraceParent>,
}

/// The way to the dead-letter topic. It outlives its producers: one that is broken for good (librdkafka's fatal errors)
/// is replaced, as often as the restart policy allows.
pub struct DeadLetterWriter {
    kafka: ClientConfig,
    origin: Arc<str>,
    topic: Arc<str>,
    group: Arc<str>,
    desk: Arc<Desk>,
    life: Mutex<Life>,
    _alive: Alive,
}

struct Life {
    guardian: Guardian,
    producer: FutureProducer,
    /// Producers before this one.
    number: u64,
    /// How the last one ended, once there will be no other.
    ended: Option<Ended>,
}

impl std::fmt::Debug for DeadLetterWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeadLetterWriter").field("topic", &self.topic).finish_non_exhaustive()
    }
}

/// Why one try failed.
enum Failure {
    /// The next one may not.
    Passing(String),
    /// This producer will never send anything again.
    Broken(String),
}

impl DeadLetterWriter {
    /// Connects when the first letter is sent. `origin` is the topic that the records come from.
    ///
    /// # Errors
    /// librdkafka's, for settings that it does not know.
    pub fn new(mut kafka: ClientConfig, origin: &str, topic: &str, desk: Arc<Desk>, tree: &Tree) -> KafkaResult<Self> {
        kafka.set("enable.idempotence", "true").set("message.timeout.ms", "10000").set("message.max.bytes", LARGEST);
        let (guardian, producer) = (tree.guard(ActorId::DeadLetters), kafka.create()?);
        let life = Mutex::new(Life { guardian, producer, number: 0, ended: None });
        let _alive = tree.chronicle.birth(Kind::DeadLetterWriter);
        let group = names::ENGINE_GROUP.into();
        Ok(Self { kafka, origin: origin.into(), topic: topic.into(), group, desk, life, _alive })
    }

    /// The same, on behalf of another consumer group than the engine's.
    #[must_use]
    pub fn on_behalf_of(self, group: &str) -> Self {
        Self { group: group.into(), ..self }
    }

    /// Sends all and tries each again until it is acknowledged. They are handed over in order; one that must be tried
    /// again may come to stand behind later ones.
    ///
    /// # Errors
    /// How its last producer ended: there will be no other.
    pub async fn send(&self, letters: &[DeadLetter]) -> Result<(), Ended> {
        for together in letters.chunks(TOGETHER) {
            let _waiting = self.desk.letters_wait(together.len());
            let sent = join_all(together.iter().map(|letter| self.send_until_taken(letter))).await;
            sent.into_iter().collect::<Result<(), Ended>>()?;
        }
        Ok(())
    }

    async fn send_until_taken(&self, letter: &DeadLetter) -> Result<(), Ended> {
        let mut wait = Patience::default();
        loop {
            let (producer, number) = self.producer().await?;
            match self.send_once(&producer, letter).await {
                Ok(()) => {
                    self.desk.letter_sent();
                    return Ok(());
                }
                Err(Failure::Passing(error)) => {
                    self.desk.letter_failed(&error);
                    wait.after(&error, "a dead letter was not taken, will try again").await;
                }
                Err(Failure::Broken(error)) => {
                    self.desk.letter_failed(&error);
                    self.replace(number, &error).await;
                }
            }
        }
    }

    async fn producer(&self) -> Result<(FutureProducer, u64), Ended> {
        let life = self.life.lock().await;
        match &life.ended {
            Some(ended) => Err(ended.clone()),
            None => Ok((life.producer.clone(), life.number)),
        }
    }

    /// A new producer in place of this one, after a wait in which nobody sends. Of all that notice the same death, only
    /// the first one acts.
    async fn replace(&self, number: u64, error: &str) {
        let mut life = self.life.lock().await;
        let mut ended = Ended::failed(error);
        while life.number == number && life.ended.is_none() {
            match life.guardian.died(&ended) {
                Verdict::RestartAfter(wait) => tokio::time::sleep(wait).await,
                Verdict::Escalate => {
                    life.ended = Some(Ended { words: format!("no dead letter can be sent: {}", ended.words), ..ended });
                    return;
                }
            }
            match self.kafka.create() {
                Ok(producer) => {
                    life.producer = producer;
                    life.number = life.number.saturating_add(1);
                }
                Err(error) => ended = Ended::failed(error.to_string()),
            }
        }
    }

    async fn send_once(&self, producer: &FutureProducer, letter: &DeadLetter) -> Result<(), Failure> {
        failpoint::pass(Point::DeadLetter).await.map_err(|struck| Failure::Broken(struck.to_string()))?;
        let mut sent = self.try_send(producer, letter, true).await;
        if sent.as_ref().is_err_and(|error| error.rdkafka_error_code() == Some(RDKafkaErrorCode::MessageSizeTooLarge)) {
            // The headers come on top of a value that filled its record in the log. Its place must not stop the partition.
            sent = self.try_send(producer, letter, false).await;
        }
        let Err(error) = sent else { return Ok(()) };
        match producer.client().fatal_error() {
            Some((_, words)) => Err(Failure::Broken(words)),
            None => Err(Failure::Passing(error.to_string())),
        }
    }

    async fn try_send(&self, producer: &FutureProducer, letter: &DeadLetter, is_whole: bool) -> KafkaResult<()> {
        let record = FutureRecord::<[u8], [u8]>::to(&self.topic).key(&letter.key);
        let headers = headers(letter, &self.origin, &self.group, is_whole);
        let record = if is_whole { record.payload(&letter.payload) } else { record }.headers(headers);
        let sent = producer.send(record, Timeout::After(Duration::from_secs(10))).await;
        sent.map(drop).map_err(|(error, _)| error)
    }
}

fn headers(letter: &DeadLetter, origin: &str, group: &str, is_whole: bool) -> OwnedHeaders {
    let mut reason: String = letter.reason.chars().take(REASON).collect();
    if !is_whole {
        let bytes = letter.payload.len();
        reason.push_str(&format!(
            " (its value of {bytes} bytes is too large for this topic; it stands at its origin only)"
        ));
    }
    let texts = [
        (names::ORIGIN_TOPIC_HEADER, origin.to_owned()),
        (names::ORIGIN_PARTITION_HEADER, letter.partition.to_string()),
        (names::ORIGIN_OFFSET_HEADER, letter.offset.to_string()),
        (names::CONNECTOR_HEADER, group.to_owned()),
        (names::STAGE_HEADER, letter.stage.to_owned()),
        (names::REASON_HEADER, reason),
        (RETRIES_HEADER, letter.retries.to_string()),
    ];
    let mut headers = OwnedHeaders::new_with_capacity(texts.len() + 2);
    for (key, value) in &texts {
        headers = headers.insert(Header { key, value: Some(value.as_bytes()) });
    }
    if letter.is_command {
        headers = headers.insert(Header { key: KIND_HEADER, value: Some(KIND_COMMAND) });
    }
    if let Some(trace) = letter.trace {
        headers = headers.insert(Header { key: TRACEPARENT_HEADER, value: Some(trace.to_string().as_bytes()) });
    }
    headers
}
