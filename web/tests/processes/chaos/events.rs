//! What the clients of a chaos run send: events of which some are sent twice on purpose, some kill their actor, and
//! records that were never events.

use crate::load::{event, first_moment, kind};
use crate::stack::Stack;
use actors::failpoint::{POISON, PROJECT_POISON};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};
use schema::names::{KIND_COMMAND, KIND_HEADER, RAW_TOPIC};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use traffic::event::ClientEvent;

/// One in so many is sent a second time...
const DUPLICATE_EVERY: u64 = 15;
/// ...after at most so many others.
const FAR: u64 = 1_500;
/// Kinds whose number leaves this rest have records that kill again and again, until they are quarantined.
const DEADLY_KINDS: (u64, u64) = (30, 7);
/// One in so many of their records kills.
const DEADLY_EVERY: u64 = 9;
/// One in so many of all others: too few for a quarantine.
const POISON_EVERY: u64 = 2_500;
/// One in so many, errors or not, kills the actor of its project.
const PROJECT_POISON_EVERY: u64 = 3_000;
/// What the records say that are no events.
pub const GARBAGE: &str = "chaos-garbage";
const SENT_WITHIN: Duration = Duration::from_secs(120);

/// The events of one project.
#[derive(Clone)]
pub struct Stream {
    seed: u64,
    different: Arc<AtomicU64>,
}

impl Stream {
    pub fn new(seed: u64) -> Self {
        Self { seed, different: Arc::default() }
    }

    /// How many different ones were made so far: numbers 0 to below this.
    pub fn different(&self) -> u64 {
        self.different.load(Ordering::SeqCst)
    }

    /// Endless.
    pub fn events(&self) -> impl Iterator<Item = ClientEvent> + Send + 'static {
        let (mut rng, start, different) =
            (StdRng::seed_from_u64(self.seed), first_moment(), Arc::clone(&self.different));
        std::iter::repeat_with(move || {
            let next = different.load(Ordering::SeqCst);
            if next > 0 && rng.random_range(0..DUPLICATE_EVERY) == 0 {
                return dressed(next - 1 - rng.random_range(0..next.min(FAR)), start);
            }
            different.store(next + 1, Ordering::SeqCst);
            dressed(next, start)
        })
    }
}

fn dressed(number: u64, start: chrono::DateTime<chrono::Utc>) -> ClientEvent {
    let mut event = event(number, start);
    let dice = number.wrapping_mul(0xd6e8_feb8_6659_fd93) >> 24;
    let is_deadly = kind(number) % DEADLY_KINDS.0 == DEADLY_KINDS.1;
    if dice.is_multiple_of(if is_deadly { DEADLY_EVERY } else { POISON_EVERY }) {
        event.message = format!("{} {POISON}", event.message);
    } else if dice % PROJECT_POISON_EVERY == 1 {
        event.message = format!("{} {PROJECT_POISON}", event.message);
    }
    event
}

/// Writes into the log what no ingest of ours would.
pub struct Garbage(ThreadedProducer<DefaultProducerContext>);

impl Garbage {
    pub fn new(stack: &Stack) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", stack.servers().0.address()).set("enable.idempotence", "true");
        config.set("message.timeout.ms", SENT_WITHIN.as_millis().to_string());
        Self(config.create().unwrap())
    }

    /// A handful of each kind, some under the key of a project that has a load.
    pub fn throw(&self, number: u64) {
        let name = format!("{GARBAGE} {number}");
        let texts = [
            name.clone(),
            format!(r#"{{"event_id": "{name}""#),
            format!(r#"{{"schema_version": "1.0", "event_id": "{name}", "project_id": "proj_demo"}}"#),
            format!(r#"["{name}", null]"#),
        ];
        for text in &texts {
            for key in ["proj_demo", super::PROJECTS[0], "proj_unknown"] {
                self.send(BaseRecord::to(RAW_TOPIC).key(key.as_bytes()).payload(text.as_bytes()));
            }
        }
        let bytes = [&[0xff, 0xfe, 0x00][..], name.as_bytes()].concat();
        self.send(BaseRecord::to(RAW_TOPIC).key(&[0xff, 0x01][..]).payload(&bytes));
        let command = OwnedHeaders::new().insert(Header { key: KIND_HEADER, value: Some(KIND_COMMAND) });
        self.send(BaseRecord::to(RAW_TOPIC).key(&b"proj_demo"[..]).payload(name.as_bytes()).headers(command));
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8]>) {
        self.0.send(record).map_err(|(error, _)| error).unwrap();
    }

    /// Waits until all of it is in the log.
    pub fn end(&self) {
        self.0.flush(SENT_WITHIN).unwrap();
    }
}
