//! The engine as a whole: started, watched, stopped.

use crate::config::{Database, EngineConfig};
use crate::consumer::{poll_thread, rebalance::Tenures};
use crate::supervision::child::DeathNotice;
use actix::Arbiter;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Threads on which routers and incidents live.
const ARBITERS: usize = 2;

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The consumer.
    #[error("cannot create the consumer: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The poll thread.
    #[error("cannot start the poll thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running engine. Dropping it without [`Engine::stop`] is like a crash: nothing is lost, the log has it.
#[derive(Debug)]
pub struct Engine {
    stop: Arc<AtomicBool>,
    poll_thread: JoinHandle<()>,
    arbiters: Vec<Arbiter>,
    deaths: UnboundedReceiver<DeathNotice>,
}

impl Engine {
    /// Joins the group and begins. `kafka` names the brokers and how to authenticate. Must be called inside an
    /// actix system.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(mut kafka: ClientConfig, database: Database, config: EngineConfig) -> Result<Self, StartError> {
        let (obituary, deaths) = unbounded_channel();
        let arbiters: Vec<Arbiter> = (0..ARBITERS).map(|_| Arbiter::new()).collect();
        let handles = arbiters.iter().map(Arbiter::handle).collect();
        let (topic, most) = (config.topic.clone(), config.batch_records);
        let runtime = tokio::runtime::Handle::current();
        let tenures = Tenures::new(database, config, handles, obituary, runtime);
        let consumer: BaseConsumer<Tenures> = kafka
            .set("group.id", schema::names::ENGINE_GROUP)
            .set("enable.auto.commit", "false")
            .set("auto.offset.reset", "earliest")
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("session.timeout.ms", "10000")
            .set("fetch.wait.max.ms", "100")
            .create_with_context(tenures)?;
        consumer.subscribe(&[&topic])?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let poll_thread = std::thread::Builder::new()
            .name("signals-poll".to_owned())
            .spawn(move || poll_thread::run(&consumer, &topic, most, &stopped))?;
        Ok(Self { stop, poll_thread, arbiters, deaths })
    }

    /// Waits until some actor has died; whoever started the engine then starts another one in its place.
    pub async fn failed(&mut self) -> Option<DeathNotice> {
        self.deaths.recv().await
    }

    /// Last flushes, then leaves the group. Blocks the calling thread's task, not its runtime.
    pub async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        let poll_thread = self.poll_thread;
        if !matches!(tokio::task::spawn_blocking(move || poll_thread.join()).await, Ok(Ok(()))) {
            tracing::error!("the poll thread panicked");
        }
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}
