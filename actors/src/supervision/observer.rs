//! The operator's eye: asks every part of an engine at once, each with a deadline, and never waits for one that is stuck.
//!
//! Whoever serves pages or probes keeps an [`Observer`]; it does not keep the engine alive.

use super::assemble::{self, PollGlance, Tenure, millis};
use super::chronicle::{Chronicle, Deaths};
use super::kind::{ActorId, Kind};
use super::pulse::{Beat, Pulse};
use super::view::{
    ActorView, ArbiterView, IncidentView, Living, Mailbox, Observed, ProjectView, ResidentView, Restarts, RootView,
    Selection, State,
};
use crate::config::EngineConfig;
use crate::consumer::controls::Controls;
use crate::consumer::tenures::{TenureView, Tenures};
use crate::flusher::actor::MAILBOX as FLUSHES;
use crate::flusher::desk::Desk;
use crate::router::report::{Called, Portrait, Question};
use futures_util::future::join_all;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

/// What does not answer within this time is stuck.
pub const DEADLINE: Duration = Duration::from_millis(200);
/// How long a liveness probe waits for an arbiter before it asks how long the beat is owed.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Sees all of one engine, or of its children only those of one project. Clones see the same.
#[derive(Clone)]
pub struct Observer(Arc<Parts>, Option<Arc<str>>);

/// What there is to see.
pub(super) struct Parts {
    pub config: Arc<EngineConfig>,
    pub controls: Arc<Controls>,
    pub chronicle: Arc<Chronicle>,
    pub desk: Arc<Desk>,
    pub tenures: Weak<Tenures>,
    pub pulses: Vec<Pulse>,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Observer").field("topic", &self.0.config.topic).finish_non_exhaustive()
    }
}

impl Observer {
    pub(super) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts), None)
    }

    /// The same engine, but of projects and incidents only those of this project.
    #[must_use]
    pub fn only(&self, project: &str) -> Self {
        Self(Arc::clone(&self.0), Some(project.into()))
    }

    /// Whether this sees the children of a project.
    pub fn sees(&self, project: &str) -> bool {
        self.1.as_deref().is_none_or(|only| only == project)
    }

    /// The engine's consumer group.
    pub fn group(&self) -> &str {
        &self.0.config.group
    }

    /// The topic that it reads.
    pub fn topic(&self) -> &str {
        &self.0.config.topic
    }

    /// The whole tree; of each router the first children of either kind.
    pub async fn view(&self, children: Selection) -> ActorView {
        let (tenures, arbiters) = tokio::join!(self.routers(self.tenures(), children, children), self.arbiters_now());
        let parts = &self.0;
        let observed = Observed::Root(RootView {
            up_ms: millis(parts.chronicle.born.elapsed()),
            group: parts.config.group.clone(),
            topic: parts.config.topic.clone(),
            alive: Kind::ALL.map(|kind| Living { kind, count: parts.chronicle.alive(kind) }).to_vec(),
            arbiters,
            policies: parts.config.plan.view(),
        });
        let (total, mut deaths) = parts.chronicle.all_deaths();
        deaths.retain(|death| match death.actor.parse() {
            Ok(ActorId::Project(project) | ActorId::Incident { project, .. }) => self.sees(&project),
            _ => true,
        });
        let is_there = parts.chronicle.alive(Kind::RootSupervisor) > 0 && !parts.controls.is_stopping();
        let state = if is_there { State::Running } else { State::Ended };
        let mut all = vec![self.flusher(), self.consumer()];
        all.extend(tenures);
        let restarts = Restarts { count: total, budget: None, deaths: deaths.iter().map(assemble::death).collect() };
        ActorView { restarts, children: all, ..assemble::blank(&ActorId::Root, state, observed) }
    }

    /// One actor; none if it does not live in this process. Of a router, also the children that are asked for.
    pub async fn actor(&self, id: &ActorId, incidents: Selection, projects: Selection) -> Option<ActorView> {
        match id {
            ActorId::Root => Some(self.view(incidents).await),
            ActorId::Flusher => Some(self.flusher()),
            ActorId::DeadLetters => Some(self.dead_letters()),
            ActorId::Consumer => Some(self.consumer()),
            ActorId::Router(partition) => {
                let mut tenures = self.tenures();
                tenures.retain(|tenure| tenure.partition == *partition);
                self.routers(tenures, incidents, projects).await.pop()
            }
            // They are none of the engine's.
            ActorId::IndexConsumer | ActorId::Indexer(_) => None,
            ActorId::Project(project) => self.child(id, project, "").await,
            ActorId::Incident { project, fingerprint } => self.child(id, project, fingerprint).await,
            // Their pool shows them: it is there also where no engine is.
            ActorId::Summarizers | ActorId::Summarizer(_) => None,
        }
    }

    /// Whether the poll thread is alive, in words: its rounds must go on. While it waits for the database in a rebalance
    /// it counts as alive for some minutes.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn poll_thread(&self) -> Result<String, String> {
        self.poll_glance().vital()
    }

    /// Whether the threads are alive that actors live on, in words.
    ///
    /// # Errors
    /// Which one does not turn, and for how long.
    pub async fn arbiters(&self) -> Result<String, String> {
        if self.0.controls.is_stopping() {
            return Ok("ending".to_owned());
        }
        let beats =
            join_all(self.0.pulses.iter().map(|pulse| async move { (pulse, pulse.feel(HEARTBEAT).await) })).await;
        let said = |alive: bool| {
            let of = beats.iter().filter(|(_, beat)| beat.is_alive() == alive);
            of.map(|(pulse, beat)| format!("{} {beat:?}", pulse.name)).collect::<Vec<_>>().join(", ")
        };
        let dead = said(false);
        if dead.is_empty() { Ok(said(true)) } else { Err(dead) }
    }

    /// Whether the engine works, in words: it polls, and not all of its tenures are dead.
    ///
    /// # Errors
    /// What is wrong, in words.
    pub fn readiness(&self) -> Result<String, String> {
        self.poll_thread()?;
        let tenures = self.tenures();
        let dead = tenures.iter().filter(|tenure| !tenure.is_alive).count();
        let said = format!("{} tenures, {dead} of them to begin anew", tenures.len());
        if dead > 0 && dead == tenures.len() { Err(said) } else { Ok(said) }
    }

    fn tenures(&self) -> Vec<TenureView> {
        self.0.tenures.upgrade().map_or_else(Vec::new, |tenures| tenures.view())
    }

    fn flusher(&self) -> ActorView {
        let glance = self.0.desk.glance();
        let mailbox = Mailbox { waiting: glance.under_way, capacity: FLUSHES };
        let view = assemble::flusher(glance, mailbox, self.0.chronicle.alive(Kind::Flusher) > 0);
        ActorView { children: vec![self.dead_letters()], ..self.with_restarts(&ActorId::Flusher, view) }
    }

    fn dead_letters(&self) -> ActorView {
        let is_there = self.0.chronicle.alive(Kind::DeadLetterWriter) > 0;
        let view = assemble::dead_letters(self.0.desk.letters(), is_there);
        self.with_restarts(&ActorId::DeadLetters, view)
    }

    fn consumer(&self) -> ActorView {
        self.with_restarts(&ActorId::Consumer, assemble::consumer(&self.poll_glance()))
    }

    /// With its deaths, and what is left of its budget. One that is not there, but may live again, is about to.
    fn with_restarts(&self, id: &ActorId, view: ActorView) -> ActorView {
        let (deaths, spec) = (self.0.chronicle.deaths(id), self.0.config.plan.of(id.kind()));
        assemble::mortal(view, &deaths, spec.policy)
    }

    fn poll_glance(&self) -> PollGlance {
        let controls = &self.0.controls;
        PollGlance {
            rounds: controls.rounds(),
            since_round: controls.since_round(),
            work: controls.work(),
            is_there: self.0.chronicle.alive(Kind::KafkaConsumer) > 0,
            is_stopping: controls.is_stopping(),
            tenures: self.tenures().len(),
        }
    }

    async fn arbiters_now(&self) -> Vec<ArbiterView> {
        join_all(self.0.pulses.iter().map(|pulse| async {
            let (state, age) = match pulse.feel(DEADLINE).await {
                Beat::Heard(age) => (State::Running, age),
                Beat::Owed(age) => (State::Stuck, age),
                Beat::Ended => (State::Ended, Duration::ZERO),
            };
            ArbiterView { name: pulse.name.clone(), state, beat_ms: millis(age) }
        }))
        .await
    }

    async fn routers(&self, tenures: Vec<TenureView>, incidents: Selection, projects: Selection) -> Vec<ActorView> {
        let deadline = Instant::now() + DEADLINE;
        let asked = tenures.into_iter().map(|view| async move {
            let (reply, answer) = oneshot::channel();
            let question = Question::Report { incidents, projects, only: self.1.clone(), reply };
            let is_asked = view.questions.try_send(question).is_ok();
            let report = if is_asked { timeout_at(deadline, answer).await.ok().and_then(Result::ok) } else { None };
            let tenure = Tenure {
                topic: &self.0.config.topic,
                deaths: self.0.chronicle.deaths(&ActorId::Router(view.partition)),
                plan: &self.0.config.plan,
                view,
                report,
            };
            tenure.show(incidents, projects)
        });
        join_all(asked).await
    }

    /// Asks every router for the child, for nobody else knows where it lives, and then the child itself.
    async fn child(&self, id: &ActorId, project: &str, fingerprint: &str) -> Option<ActorView> {
        if !self.sees(project) {
            return None;
        }
        let deadline = Instant::now() + DEADLINE;
        let asked = self.tenures().into_iter().filter(|tenure| tenure.is_alive).map(|tenure| async move {
            let (reply, answer) = oneshot::channel();
            let (project, fingerprint) = (project.to_owned(), fingerprint.to_owned());
            let question = Question::Child { kind: id.kind(), project, fingerprint, reply };
            let is_asked = tenure.questions.try_send(question).is_ok();
            let answer = if is_asked { timeout_at(deadline, answer).await.ok() } else { None };
            (tenure.partition, answer.and_then(Result::ok))
        });
        let mut silent = Vec::new();
        for (partition, answer) in join_all(asked).await {
            match answer {
                Some(Some(called)) => return Some(self.portray(id, called, deadline).await),
                Some(None) => {}
                None => silent.push(ActorId::Router(partition).to_string()),
            }
        }
        if silent.is_empty() {
            return None;
        }
        let observed = Observed::Resident(ResidentView::default());
        let why = Some(format!("if it lives, then with a router that does not answer: {}", silent.join(", ")));
        Some(ActorView { why, ..assemble::blank(id, State::Stuck, observed) })
    }

    async fn portray(&self, id: &ActorId, called: Called, deadline: Instant) -> ActorView {
        let mut view = assemble::resident(id.kind(), &called.row);
        view.restarts.deaths = deaths_of(&view.id, &self.0.chronicle.child_deaths(id.kind()));
        let Observed::Resident(resident) = view.observed else { return view };
        let observed = match called.portrait {
            Some(Portrait::Incident(answer)) => timeout_at(deadline, answer)
                .await
                .ok()
                .and_then(Result::ok)
                .map(|portrait| Observed::Incident(IncidentView { resident, portrait })),
            Some(Portrait::Project(answer)) => timeout_at(deadline, answer)
                .await
                .ok()
                .and_then(Result::ok)
                .map(|portrait| Observed::Project(ProjectView { resident, portrait })),
            None => None,
        };
        match observed {
            Some(observed) => view.observed = observed,
            None => {
                view.state = State::Stuck;
                view.why = Some("it does not answer".to_owned());
            }
        }
        view
    }
}

fn deaths_of(actor: &str, deaths: &Deaths) -> Vec<super::view::DeathView> {
    deaths.last.iter().rev().filter(|death| death.actor == actor).map(assemble::death).collect()
}
