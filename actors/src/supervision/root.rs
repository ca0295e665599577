//! The engine as a whole: the one place where its parts are wired. Started top-down, stopped bottom-up.

use super::child::DeathNotice;
use super::panics;
use crate::config::{Database, EngineConfig};
use crate::consumer::controls::Controls;
use crate::consumer::poll_thread::PollThread;
use crate::consumer::tenures::{Links, TenureView, Tenures};
use crate::consumer::watermarks::WatermarkThread;
use crate::dead_letter::DeadLetterProducer;
use crate::flusher::actor::Flusher;
use crate::metrics::{self, PartitionGauges};
use actix::{Actor, Arbiter};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::Arc;
use std::thread::JoinHandle;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Threads on which routers and their children live; one more carries the Flusher.
const ARBITERS: usize = 2;

/// Why the engine could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The consumer or the producer of dead letters.
    #[error("cannot create a client of the log: {0}")]
    Kafka(#[from] rdkafka::error::KafkaError),
    /// The poll thread.
    #[error("cannot start the poll thread: {0}")]
    Thread(#[from] std::io::Error),
    /// The Flusher's thread ended before it began.
    #[error("cannot start the flusher")]
    Flusher,
}

/// A running engine. Dropping it without [`Engine::stop`] is like a crash: nothing is lost, the log has it.
pub struct Engine {
    controls: Arc<Controls>,
    consumer: Arc<BaseConsumer<Tenures>>,
    threads: [JoinHandle<()>; 2],
    arbiters: Vec<Arbiter>,
    deaths: UnboundedReceiver<DeathNotice>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("tenures", &self.tenures()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Joins the group and begins. `kafka` names the brokers and how to authenticate. Must be called inside an
    /// actix system.
    ///
    /// # Errors
    /// [`StartError`].
    pub async fn start(kafka: ClientConfig, database: Database, config: EngineConfig) -> Result<Self, StartError> {
        panics::install_hook();
        metrics::begin();
        let config = Arc::new(config);
        let (obituary, deaths) = unbounded_channel();
        let dead_letters = DeadLetterProducer::new(kafka.clone(), &config.topic, &config.dlq_topic)?;
        let flusher_arbiter = Arbiter::new();
        let (address, flusher) = tokio::sync::oneshot::channel();
        let flusher_database = database.clone();
        flusher_arbiter.spawn_fn(move || {
            // Nobody waits any more: the start was given up.
            let _ = address.send(Flusher::new(flusher_database, dead_letters).start());
        });
        let flusher = flusher.await.map_err(|_| StartError::Flusher)?;
        let mut arbiters: Vec<Arbiter> = (0..ARBITERS).map(|_| Arbiter::new()).collect();
        let controls = Arc::new(Controls::default());
        let links = Links {
            database: database.clone(),
            flusher,
            arbiters: arbiters.iter().map(Arbiter::handle).collect(),
            runtime: tokio::runtime::Handle::current(),
            controls: Arc::clone(&controls),
        };
        arbiters.push(flusher_arbiter);
        let consumer = Arc::new(consumer(kafka, &config, Tenures::new(Arc::clone(&config), links))?);
        consumer.subscribe(&[&config.topic])?;
        let watermarks = WatermarkThread {
            consumer: Arc::clone(&consumer),
            config: Arc::clone(&config),
            controls: Arc::clone(&controls),
            database,
            runtime: tokio::runtime::Handle::current(),
        };
        let poll = PollThread::new(Arc::clone(&consumer), config, Arc::clone(&controls), obituary);
        let threads = [
            std::thread::Builder::new().name("signals-poll".to_owned()).spawn(move || poll.run())?,
            std::thread::Builder::new().name("signals-watermarks".to_owned()).spawn(move || watermarks.run())?,
        ];
        Ok(Self { controls, consumer, threads, arbiters, deaths })
    }

    /// Waits until something has failed more often than its budget allows; whoever started the engine then ends.
    pub async fn failed(&mut self) -> Option<DeathNotice> {
        self.deaths.recv().await
    }

    /// The tenures of this process, by partition.
    pub fn tenures(&self) -> Vec<TenureView> {
        self.consumer.context().view()
    }

    /// Brings the gauges of this process's partitions up to date; for whoever serves metrics, each time before he does.
    pub fn sampler(&self) -> impl Fn() + Send + Sync + 'static {
        let (consumer, gauges) = (Arc::downgrade(&self.consumer), PartitionGauges::default());
        move || gauges.show(&consumer.upgrade().map_or_else(Vec::new, |consumer| consumer.context().view()))
    }

    /// Last flushes, then leaves the group. Blocks the calling thread's task, not its runtime.
    pub async fn stop(self) {
        self.controls.stop();
        for thread in self.threads {
            if !matches!(tokio::task::spawn_blocking(move || thread.join()).await, Ok(Ok(()))) {
                tracing::error!("a thread of the engine panicked");
            }
        }
        drop(self.consumer);
        for arbiter in self.arbiters {
            arbiter.stop();
        }
    }
}

fn consumer(
    mut kafka: ClientConfig,
    config: &EngineConfig,
    tenures: Tenures,
) -> rdkafka::error::KafkaResult<BaseConsumer<Tenures>> {
    kafka
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("fetch.wait.max.ms", "100")
        // After its queue was full, librdkafka fetches again so much later; its default, a second, starves us.
        .set("fetch.queue.backoff.ms", "10");
    for (name, value) in &config.consumer_settings {
        kafka.set(name, value);
    }
    kafka.create_with_context(tenures)
}
