//! The indexers of this process: who starts them, and what an operator sees of them. Apart from the engine, so that neither
//! takes the other down.

use super::assemble::{PollGlance, blank, consumer as consumer_view, millis, mortal, restarts};
use super::chronicle::Chronicle;
use super::ending;
use super::guardian::Tree;
use super::kind::{ActorId, Kind};
use super::panics;
use super::view::{ActorView, IndexerView, Observed, State};
use crate::consumer::controls::Controls;
use crate::dead_letter::DeadLetterWriter;
use crate::flusher::desk::Desk;
use crate::indexer::actor::Means;
use crate::indexer::assignment::{Assignment, IndexerGlance, Links};
use crate::indexer::config::IndexerConfig;
use crate::indexer::meters::{self, IndexGauges};
use crate::indexer::poll_thread::IndexPollThread;
use crate::indexer::progress::Step;
use crate::indexer::refresher::Refresher;
use crate::supervision::root::StartError;
use actix::Arbiter;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaResult;
use schema::search::SearchIndex;
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;
use tokio::sync::mpsc::unbounded_channel;

/// How often librdkafka tells the ends of the partitions, in milliseconds.
const STATISTICS: &str = "1000";
/// Kilobytes that librdkafka may fetch ahead.
const AHEAD: &str = "16384";

/// Running indexers. Dropping them without [`Indexing::stop`] is like a crash: nothing is lost, the log has it.
pub struct Indexing {
    controls: Arc<Controls>,
    consumer: Arc<BaseConsumer<Assignment>>,
    thread: JoinHandle<()>,
    arbiter: Arbiter,
    observer: IndexObserver,
}

impl std::fmt::Debug for Indexing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Indexing").field("observer", &self.observer).finish_non_exhaustive()
    }
}

impl Indexing {
    /// Joins the group and begins, whether or not the index answers. `kafka` names the brokers and how to authenticate. Must
    /// be called inside an actix system.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(kafka: ClientConfig, index: Arc<dyn SearchIndex>, config: IndexerConfig) -> Result<Self, StartError> {
        panics::install_hook();
        meters::begin();
        let config = Arc::new(config);
        let (controls, chronicle) = (Arc::new(Controls::default()), Arc::new(Chronicle::default()));
        // Nobody above them dies of them.
        let (obituary, _) = unbounded_channel();
        let tree = Tree { plan: Arc::new(config.plan.clone()), chronicle: Arc::clone(&chronicle), obituary };
        let desk = Arc::new(Desk::default());
        let dead_letters = DeadLetterWriter::new(kafka.clone(), &config.topic, &config.dlq_topic, desk, &tree)?;
        let (arbiter, refresher) = (Arbiter::new(), Refresher::default());
        arbiter.spawn(refresher.clone().run(Arc::clone(&index), config.refresh_every));
        let means = Means {
            config: Arc::clone(&config),
            index: Arc::clone(&index),
            dead_letters: Arc::new(dead_letters.on_behalf_of(&config.group)),
            refresher,
        };
        let links = Links { arbiter: arbiter.handle(), controls: Arc::clone(&controls), tree };
        let consumer = Arc::new(consumer(kafka, &config, Assignment::new(means, links))?);
        consumer.subscribe(&[&config.topic])?;
        let observer = IndexObserver(Arc::new(Parts {
            config: Arc::clone(&config),
            index,
            controls: Arc::clone(&controls),
            chronicle,
            assignment: Arc::downgrade(consumer.context()),
        }));
        let poll = IndexPollThread::new(Arc::clone(&consumer), config, Arc::clone(&controls));
        let thread = std::thread::Builder::new().name("signals-index-poll".to_owned()).spawn(move || poll.run())?;
        Ok(Self { controls, consumer, thread, arbiter, observer })
    }

    /// Sees these indexers, from any thread; does not keep them alive.
    pub fn observer(&self) -> IndexObserver {
        self.observer.clone()
    }

    /// Brings the gauges of this process's partitions up to date; for whoever serves metrics, each time before he does.
    pub fn sampler(&self) -> impl Fn() + Send + Sync + 'static {
        let (consumer, gauges) = (Arc::downgrade(&self.consumer), IndexGauges::default());
        move || gauges.show(&consumer.upgrade().map_or_else(Vec::new, |consumer| consumer.context().view()))
    }

    /// Batches under way, then leaves the group.
    pub async fn stop(self) {
        self.controls.stop();
        ending::join(vec![self.thread]).await;
        ending::close(self.consumer).await;
        // What is still stored there is stored again by the next owner.
        self.arbiter.stop();
    }
}

fn consumer(
    mut kafka: ClientConfig,
    config: &IndexerConfig,
    assignment: Assignment,
) -> KafkaResult<BaseConsumer<Assignment>> {
    kafka
        .set("group.id", &config.group)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", "10000")
        .set("fetch.wait.max.ms", "500")
        // With its default, a second, an indexer that has caught up with a full queue waits for nothing.
        .set("fetch.queue.backoff.ms", "10")
        .set("queued.max.messages.kbytes", AHEAD)
        .set("statistics.interval.ms", STATISTICS);
    for (name, value) in &config.consumer_settings {
        kafka.set(name, value);
    }
    kafka.create_with_context(assignment)
}

/// Sees the indexers of one process. Clones see the same.
#[derive(Clone)]
pub struct IndexObserver(Arc<Parts>);

struct Parts {
    config: Arc<IndexerConfig>,
    index: Arc<dyn SearchIndex>,
    controls: Arc<Controls>,
    chronicle: Arc<Chronicle>,
    assignment: Weak<Assignment>,
}

impl std::fmt::Debug for IndexObserver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IndexObserver").field("topic", &self.0.config.topic).finish_non_exhaustive()
    }
}

impl IndexObserver {
    /// The poll thread, and below it the indexer of each assigned partition.
    pub fn view(&self) -> ActorView {
        let glances = self.glances();
        let children = glances.iter().map(|glance| self.indexer(glance)).collect();
        ActorView { children, ..self.consumer(glances.len()) }
    }

    /// One of them; none for any other name.
    pub fn actor(&self, id: &ActorId) -> Option<ActorView> {
        match id {
            ActorId::IndexConsumer => Some(self.view()),
            ActorId::Indexer(partition) => {
                let glances = self.glances();
                glances.iter().find(|glance| glance.partition == *partition).map(|glance| self.indexer(glance))
            }
            _ => None,
        }
    }

    /// Whether the poll thread is alive, in words. It never waits for the index.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn poll_thread(&self) -> Result<String, String> {
        self.poll_glance(0).vital()
    }

    fn glances(&self) -> Vec<IndexerGlance> {
        self.0.assignment.upgrade().map_or_else(Vec::new, |assignment| assignment.view())
    }

    fn poll_glance(&self, tenures: usize) -> PollGlance {
        let controls = &self.0.controls;
        PollGlance {
            rounds: controls.rounds(),
            since_round: controls.since_round(),
            work: controls.work(),
            is_there: self.0.chronicle.alive(Kind::IndexConsumer) > 0,
            is_stopping: controls.is_stopping(),
            tenures,
        }
    }

    fn consumer(&self, tenures: usize) -> ActorView {
        let view = consumer_view(&self.poll_glance(tenures));
        let deaths = self.0.chronicle.deaths(&ActorId::IndexConsumer);
        let view = mortal(view, &deaths, self.0.config.plan.of(Kind::IndexConsumer).policy);
        ActorView { kind: Kind::IndexConsumer, id: ActorId::IndexConsumer.to_string(), ..view }
    }

    fn indexer(&self, glance: &IndexerGlance) -> ActorView {
        let (progress, parts) = (&glance.progress, &self.0);
        let (step, since) = progress.step();
        let (failures, last_error) = progress.trouble().map_or((0, None), |(times, words)| (times, Some(words)));
        let deaths = parts.chronicle.deaths(&ActorId::Indexer(glance.partition));
        let state = match (glance.is_alive, failures) {
            (false, _) => State::Restarting,
            (true, 1..) => State::Waiting,
            (true, 0) if progress.is_paused() => State::Paused,
            (true, 0) => State::Running,
        };
        let why = match (&last_error, step) {
            _ if !glance.is_alive => deaths.last.back().map(|death| death.words.clone()),
            (Some(error), _) => Some(format!("tried {failures} times: {error}")),
            (None, Step::Storing) if progress.is_paused() => Some("its inbox is full: storing events".to_owned()),
            (None, _) => None,
        };
        let observed = Observed::Indexer(IndexerView {
            topic: parts.config.topic.clone(),
            partition: glance.partition,
            index: parts.index.name().to_owned(),
            age_ms: millis(glance.began.elapsed()),
            next_offset: progress.stored(),
            high_watermark: progress.high_watermark(),
            lag: progress.lag(),
            events: progress.events(),
            failures,
            last_error,
            step: step.as_str().to_owned(),
            step_ms: millis(since),
        });
        ActorView {
            why,
            mailbox: Some(glance.inbox),
            restarts: restarts(&deaths, parts.config.plan.of(Kind::Indexer).policy),
            last_progress_ms: Some(millis(progress.since_moved())),
            ..blank(&ActorId::Indexer(glance.partition), state, observed)
        }
    }
}
