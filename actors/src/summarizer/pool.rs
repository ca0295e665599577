//! The SummarizerPool: keeps the summarizers of a process alive and looks after what none of them does: jobs whose workers
//! vanished, summaries that are due to be written again.
//!
//! It lives on a thread of its own, so that nothing here can slow the engine down. Its children are futures that are begun
//! anew after each death; their budgets are never spent, for nothing but summaries depends on them.

use super::actor::AiSummarizer;
use super::config::PoolConfig;
use super::desk::{Desk, Glance};
use super::model::ModelClient;
use super::refresh::Refresher;
use super::work::Tools;
use crate::config::Database;
use crate::metrics::{self, AiMeters};
use crate::supervision::assemble::{blank, millis, mortal};
use crate::supervision::child::Ended;
use crate::supervision::chronicle::Chronicle;
use crate::supervision::guardian::{Tree, keep};
use crate::supervision::kind::{ActorId, Kind};
use crate::supervision::panics;
use crate::supervision::plan::Plan;
use crate::supervision::view::{ActorView, Observed, State, SummarizerView, SummarizersView};
use actix::Arbiter;
use futures_util::future::join_all;
use schema::ai;
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::unbounded_channel;
use tokio::sync::{Notify, watch};

/// How long summarizers may take to give their jobs back when the process ends.
const LAST_MOMENT: Duration = Duration::from_secs(3);

/// Tells summarizers of the same process that jobs were queued. Clones tell the same ones.
pub type JobsQueued = Arc<Notify>;

/// A running pool. Dropping it without [`SummarizerPool::stop`] is like a crash: the leases of its jobs end by themselves.
#[derive(Debug)]
pub struct SummarizerPool {
    arbiter: Arbiter,
    stop: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
    observer: PoolObserver,
}

/// Sees a pool, from any thread; does not keep it alive.
#[derive(Clone, Debug)]
pub struct PoolObserver(Arc<Seen>);

#[derive(Debug)]
struct Seen {
    desks: Vec<(u16, Arc<Desk>)>,
    models: Vec<String>,
    tree: Tree,
    rounds: AtomicU64,
    refreshed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl SummarizerPool {
    /// Begins. `jobs_queued` wakes a summarizer at once; without it jobs are found by looking. Without `model` the summaries
    /// are deterministic. Must be called inside an actix system.
    pub fn start(database: Database, model: Option<ModelClient>, config: PoolConfig, jobs_queued: JobsQueued) -> Self {
        panics::install_hook();
        metrics::begin_summaries();
        let numbers = 1..=u16::try_from(config.workers.max(1)).unwrap_or(u16::MAX);
        // Nobody above the pool dies of it.
        let (obituary, _) = unbounded_channel();
        let tree = Tree { plan: Arc::new(Plan::default()), chronicle: Arc::new(Chronicle::default()), obituary };
        let seen = Arc::new(Seen {
            desks: numbers.map(|number| (number, Arc::default())).collect(),
            models: model.as_ref().map_or_else(Vec::new, |model| model.models().to_vec()),
            tree,
            rounds: AtomicU64::new(0),
            refreshed: AtomicU64::new(0),
            last_error: Mutex::default(),
        });
        let (stop, stopping) = watch::channel(false);
        let (tell, ended) = watch::channel(false);
        let tools = Tools { database, model, config };
        let keeper = Keeper { tools, seen: Arc::clone(&seen), wake: jobs_queued, stop: stopping };
        let arbiter = Arbiter::new();
        arbiter.spawn_fn(move || {
            actix::spawn(async move {
                keeper.run().await;
                tell.send_replace(true);
            });
        });
        Self { arbiter, stop, ended, observer: PoolObserver(seen) }
    }

    /// Sees this pool.
    pub fn observer(&self) -> PoolObserver {
        self.observer.clone()
    }

    /// Gives the jobs in hand back, so that another process takes them at once, and ends.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        let ended = tokio::time::timeout(LAST_MOMENT, self.ended.wait_for(|ended| *ended)).await;
        if !matches!(ended, Ok(Ok(_))) {
            tracing::warn!("the summarizers did not end in order; the leases of their jobs will end");
        }
        self.arbiter.stop();
    }
}

/// The pool's own life.
struct Keeper {
    tools: Tools,
    seen: Arc<Seen>,
    wake: JobsQueued,
    stop: watch::Receiver<bool>,
}

impl Keeper {
    async fn run(self) {
        let meters = AiMeters::new();
        // Unique, so that a lease tells whose it is; the claim's number is what fences.
        let process = ulid::Ulid::generate().to_string();
        let summarizers = self.seen.desks.iter().map(|(number, desk)| {
            let summarizer = AiSummarizer {
                name: format!("{process}/{number}"),
                tools: self.tools.clone(),
                desk: Arc::clone(desk),
                wake: Arc::clone(&self.wake),
                stop: self.stop.clone(),
                meters: meters.clone(),
            };
            self.keep_alive(*number, summarizer)
        });
        let housekeeping = async {
            // It never escalates: see the plan.
            let _ = keep(self.seen.tree.guard(ActorId::Summarizers), || self.keep_house()).await;
        };
        tokio::join!(join_all(summarizers), housekeeping);
    }

    async fn keep_alive(&self, number: u16, summarizer: AiSummarizer) {
        let id = ActorId::Summarizer(number);
        let is_first = Cell::new(true);
        let kept = keep(self.seen.tree.guard(id.clone()), || async {
            let alive = self.seen.tree.chronicle.birth(Kind::AiSummarizer);
            let died_of = (!is_first.replace(false)).then(|| self.seen.last_words(&id)).flatten();
            summarizer.live(died_of).await;
            drop(alive);
            Ok(())
        });
        if let Err(Ended { words, .. }) = kept.await {
            tracing::error!(number, words, "a summarizer has died too often");
        }
    }

    /// Looks for jobs whose last worker vanished and for summaries that are due, again and again.
    async fn keep_house(&self) -> Result<(), Ended> {
        let _alive = self.seen.tree.chronicle.birth(Kind::SummarizerPool);
        let mut refresher = Refresher::default();
        let mut stop = self.stop.clone();
        while !*stop.borrow() {
            let looked = self.look(&mut refresher).await;
            if let Err(error) = &looked {
                tracing::warn!(error, "cannot look after the summaries, will try again");
            }
            *self.seen.last_error.lock().unwrap_or_else(PoisonError::into_inner) = looked.err();
            self.seen.rounds.fetch_add(1, Ordering::Relaxed);
            tokio::select! {
                () = tokio::time::sleep(self.tools.config.refresh) => {}
                changed = stop.changed() => if changed.is_err() { break },
            }
        }
        Ok(())
    }

    async fn look(&self, refresher: &mut Refresher) -> Result<(), String> {
        let asked = refresher.round(&self.tools).await?;
        if asked > 0 {
            self.seen.refreshed.fetch_add(asked, Ordering::Relaxed);
            metrics::ai_refreshes().increment(asked);
            self.wake.notify_one();
        }
        let mut connection = self.tools.connection().await.map_err(|error| error.to_string())?;
        let buried = ai::bury(&mut connection).await.map_err(|error| error.to_string())?;
        if buried > 0 {
            tracing::warn!(buried, "summary jobs have failed: their last workers vanished");
        }
        AiMeters::spent(ai::budget::spent_today(&mut connection).await.map_err(|error| error.to_string())?);
        Ok(())
    }
}

impl Seen {
    fn last_words(&self, id: &ActorId) -> Option<String> {
        self.tree.chronicle.deaths(id).last.back().map(|death| death.words.clone())
    }
}

impl PoolObserver {
    /// The pool and its summarizers.
    pub fn view(&self) -> ActorView {
        let seen = &self.0;
        let glances: Vec<(u16, Glance)> = seen.desks.iter().map(|(number, desk)| (*number, desk.glance())).collect();
        let last_error = seen.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let observed = Observed::Summarizers(SummarizersView {
            models: seen.models.clone(),
            busy: glances.iter().filter(|(_, glance)| glance.job.is_some()).count(),
            rounds: seen.rounds.load(Ordering::Relaxed),
            refreshed: seen.refreshed.load(Ordering::Relaxed),
            last_error: last_error.clone(),
        });
        let state = match (seen.tree.chronicle.alive(Kind::SummarizerPool) > 0, &last_error) {
            (false, _) => State::Ended,
            (true, Some(_)) => State::Waiting,
            (true, None) => State::Running,
        };
        let id = ActorId::Summarizers;
        let view = ActorView { why: last_error, ..blank(&id, state, observed) };
        let view = mortal(view, &seen.tree.chronicle.deaths(&id), seen.tree.plan.of(id.kind()).policy);
        ActorView {
            children: glances.into_iter().map(|(number, glance)| self.summarizer(number, glance)).collect(),
            ..view
        }
    }

    /// One of them, if this names one.
    pub fn actor(&self, id: &ActorId) -> Option<ActorView> {
        match id {
            ActorId::Summarizers => Some(self.view()),
            ActorId::Summarizer(number) => {
                let (_, desk) = self.0.desks.iter().find(|(known, _)| known == number)?;
                Some(self.summarizer(*number, desk.glance()))
            }
            _ => None,
        }
    }

    fn summarizer(&self, number: u16, glance: Glance) -> ActorView {
        let id = ActorId::Summarizer(number);
        let (incident_id, attempt) = glance.job.unzip();
        let observed = Observed::Summarizer(SummarizerView {
            incident_id,
            attempt,
            since_ms: millis(glance.since),
            jobs: glance.tally.jobs,
            succeeded: glance.tally.succeeded,
            failed: glance.tally.failed,
            calls: glance.tally.calls,
            last_error: glance.last_error,
        });
        let state = if glance.is_there { State::Running } else { State::Ended };
        let tree = &self.0.tree;
        mortal(blank(&id, state, observed), &tree.chronicle.deaths(&id), tree.plan.of(id.kind()).policy)
    }
}
