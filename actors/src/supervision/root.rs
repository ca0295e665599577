//! The engine as a whole: the one place where its parts are wired. Started top-down, stopped bottom-up.

use super::child::DeathNotice;
use super::chronicle::{Alive, Chronicle};
use super::ending;
use super::flushers::FlusherKeeper;
use super::guardian::Tree;
use super::kind::{ActorId, Kind};
use super::observer::{Observer, Parts};
use super::panics;
use super::pulse::Pulse;
use super::view::{ActorView, Selection};
use crate::config::{Database, EngineConfig};
use crate::consumer::controls::Controls;
use crate::consumer::poll_thread::PollThread;
use crate::consumer::tenures::{Links, TenureView, Tenures};
use crate::consumer::watermarks::WatermarkThread;
use crate::flusher::actor::Tools;
use crate::flusher::desk::Desk;
use crate::flusher::door::door;
use crate::metrics::{self, PartitionGauges};
use actix::Arbiter;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Threads on which routers and their children live; one more carries the Flusher.
const ARBITERS: usize = 6;
/// How long the threads of actors may take to end; one that is blocked is left to the end of the process.
const LAST_MOMENT: Duration = Duration::from_secs(2);

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
    observer: Observer,
    _alive: Alive,
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
        let (chronicle, desk) = (Arc::new(Chronicle::default()), Arc::new(Desk::default()));
        let tree = Tree { plan: Arc::new(config.plan.clone()), chronicle: Arc::clone(&chronicle), obituary };
        let (doorkeeper, flusher) = door();
        let keeper = FlusherKeeper {
            kafka: kafka.clone(),
            config: Arc::clone(&config),
            tools: Tools {
                database: database.clone(),
                desk: Arc::clone(&desk),
                jobs_queued: Arc::clone(&config.jobs_queued),
            },
            tree: tree.clone(),
            doorkeeper,
        };
        let flusher_arbiter = Arbiter::new();
        if !flusher_arbiter.spawn(keeper.run()) {
            return Err(StartError::Flusher);
        }
        let mut arbiters: Vec<Arbiter> = (0..ARBITERS).map(|_| Arbiter::new()).collect();
        let controls = Arc::new(Controls::default());
        let links = Links {
            database: database.clone(),
            flusher,
            arbiters: arbiters.iter().map(Arbiter::handle).collect(),
            runtime: tokio::runtime::Handle::current(),
            controls: Arc::clone(&controls),
            tree,
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
        let observer = Observer::new(Parts {
            config: Arc::clone(&config),
            controls: Arc::clone(&controls),
            chronicle: Arc::clone(&chronicle),
            desk,
            tenures: Arc::downgrade(consumer.context()),
            pulses: pulses(&arbiters),
        });
        let poll = PollThread::new(Arc::clone(&consumer), config, Arc::clone(&controls));
        let threads = [
            std::thread::Builder::new().name("signals-poll".to_owned()).spawn(move || poll.run())?,
            std::thread::Builder::new().name("signals-watermarks".to_owned()).spawn(move || watermarks.run())?,
        ];
        let alive = chronicle.birth(Kind::RootSupervisor);
        Ok(Self { controls, consumer, threads, arbiters, deaths, observer, _alive: alive })
    }

    /// Waits until a part has died more often than its budget allows. Whoever started the engine then stops it, which is a
    /// last attempt to flush, and ends with an error.
    pub async fn failed(&mut self) -> Option<DeathNotice> {
        self.deaths.recv().await
    }

    /// The tenures of this process, by partition.
    pub fn tenures(&self) -> Vec<TenureView> {
        self.consumer.context().view()
    }

    /// Sees this engine, from any thread; does not keep it alive.
    pub fn observer(&self) -> Observer {
        self.observer.clone()
    }

    /// The living tree; see [`Observer::view`].
    pub async fn view(&self, children: Selection) -> ActorView {
        self.observer.view(children).await
    }

    /// One actor of the tree; see [`Observer::actor`].
    pub async fn child(&self, id: &ActorId, children: Selection) -> Option<ActorView> {
        self.observer.actor(id, children, children).await
    }

    /// Brings the gauges of this process's partitions up to date; for whoever serves metrics, each time before he does.
    pub fn sampler(&self) -> impl Fn() + Send + Sync + 'static {
        let (consumer, gauges) = (Arc::downgrade(&self.consumer), PartitionGauges::default());
        move || gauges.show(&consumer.upgrade().map_or_else(Vec::new, |consumer| consumer.context().view()))
    }

    /// Last flushes, also if parts are dead, then leaves the group. Blocks the calling thread's task, not its runtime.
    pub async fn stop(self) {
        self.controls.stop();
        ending::join(self.threads.into()).await;
        ending::close(self.consumer).await;
        end(self.arbiters).await;
    }
}

/// The last of them carries the Flusher.
fn pulses(arbiters: &[Arbiter]) -> Vec<Pulse> {
    let names = (1..=ARBITERS).map(|number| format!("routers {number}")).chain(["flusher".to_owned()]);
    names.zip(arbiters).map(|(name, arbiter)| Pulse::new(name, arbiter.handle())).collect()
}

/// Ends the threads and all that lives there.
async fn end(arbiters: Vec<Arbiter>) {
    for arbiter in &arbiters {
        arbiter.stop();
    }
    let join = || arbiters.into_iter().filter_map(|arbiter| arbiter.join().err()).count();
    let panicked = ending::within(LAST_MOMENT, join).await;
    if panicked != Some(0) {
        tracing::error!(?panicked, "a thread of actors did not end in order");
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
