//! What a router tells an operator: questions come through a small box of their own and are answered between two steps,
//! so that a router at work on something long answers late, and one that is stuck does not answer at all.

use super::actor::PartitionRouter;
use super::name::Key;
use super::nursery::{Child, Nursery};
use super::page::select;
use crate::incident::messages::Portrait as IncidentPortrait;
use crate::project::messages::Portrait as ProjectPortrait;
use crate::supervision::child::ExitReason;
use crate::supervision::chronicle;
use crate::supervision::kind::{ActorId, Kind};
use crate::supervision::mail::Death;
use crate::supervision::view::{Cursor, Selection};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Questions that may wait; to whoever comes on top, the router is stuck.
pub const QUESTIONS: usize = 16;

/// Where questions go.
pub type Questions = mpsc::Sender<Question>;

/// What can be asked. Nothing changes by it.
#[derive(Debug)]
pub enum Question {
    /// How are you and your children?
    Report {
        /// Which incidents to list.
        incidents: Selection,
        /// Which projects to list.
        projects: Selection,
        /// Whose; all if none.
        only: Option<Arc<str>>,
        /// Where the answer goes.
        reply: oneshot::Sender<Report>,
    },
    /// How is this child? The question is handed on to it.
    Child {
        /// Its kind.
        kind: Kind,
        /// Its project.
        project: String,
        /// Its fingerprint; empty for a project.
        fingerprint: String,
        /// Where the answer goes; none if no such child lives here.
        reply: oneshot::Sender<Option<Called>>,
    },
}

/// A router's own state.
#[derive(Clone, Debug)]
pub struct Report {
    /// Age of the flush in flight.
    pub flush: Option<Duration>,
    /// What the last flush took; zero before the first.
    pub last_cost: Duration,
    /// Its IncidentActors.
    pub incidents: Residents,
    /// Its ProjectActors.
    pub projects: Residents,
}

/// Children of one kind.
#[derive(Clone, Debug, Default)]
pub struct Residents {
    /// All of them.
    pub total: usize,
    /// Those asked for.
    pub rows: Vec<Row>,
    /// Where those behind them begin.
    pub next: Option<Cursor>,
    /// What is used of the restart budget that all of them share.
    pub used: usize,
}

/// What is known of a child without asking it.
#[derive(Clone, Debug)]
pub struct Row {
    /// Project and fingerprint.
    pub key: Key,
    /// 1 for its first life.
    pub generation: u32,
    /// Letters that no cut contains.
    pub letters: usize,
    /// Those of them that it has not taken out of its box.
    pub waiting: usize,
    /// Time since its last letter.
    pub idle: Duration,
}

/// A child that was called: what is known of it, and its own answer when it comes.
#[derive(Debug)]
pub struct Called {
    /// What its router knows.
    pub row: Row,
    /// Its own answer; none if its box was full.
    pub portrait: Option<Portrait>,
}

/// A child's own answer.
#[derive(Debug)]
pub enum Portrait {
    /// Of an IncidentActor.
    Incident(oneshot::Receiver<IncidentPortrait>),
    /// Of a ProjectActor.
    Project(oneshot::Receiver<ProjectPortrait>),
}

impl PartitionRouter {
    /// Answers at once; nobody's patience is at stake but that of whoever asked.
    pub(super) fn answer(&mut self, question: Question) {
        match question {
            // Whoever asked has lost patience.
            Question::Report { reply, .. } if reply.is_closed() => {}
            Question::Report { incidents, projects, only, reply } => {
                let report = Report {
                    flush: self.in_flight.as_ref().map(|flush| flush.began.elapsed()),
                    last_cost: self.last_cost,
                    incidents: Residents {
                        used: self.strikes.used(Kind::IncidentActor),
                        ..residents(&self.incidents, incidents, only.as_deref())
                    },
                    projects: Residents {
                        used: self.strikes.used(Kind::ProjectActor),
                        ..residents(&self.projects, projects, only.as_deref())
                    },
                };
                let _ = reply.send(report);
            }
            Question::Child { kind, project, fingerprint, reply } => {
                let called = match kind {
                    Kind::ProjectActor => call(&self.projects, &project, "", Portrait::Project),
                    Kind::IncidentActor => call(&self.incidents, &project, &fingerprint, Portrait::Incident),
                    _ => None,
                };
                let _ = reply.send(called);
            }
        }
    }

    /// Enters a child's death into the chronicle.
    pub(super) fn enter_death(
        &self,
        kind: Kind,
        death: &Death,
        (restarts_after, is_charged): (Option<Duration>, bool),
    ) {
        let key = match kind {
            Kind::ProjectActor => self.projects.key(death.life.slot),
            _ => self.incidents.key(death.life.slot),
        };
        let Some((project, fingerprint)) = key else { return };
        let entry = chronicle::Death {
            actor: ActorId::child(kind, &project, &fingerprint).to_string(),
            partition: Some(self.title.partition),
            reason: ExitReason::Panicked,
            words: death.message.clone(),
            offset: death.offset,
            restarts_after,
            is_charged,
            at: Instant::now(),
        };
        self.chronicle.enter(kind, entry);
    }
}

/// One question walks over all children, in place; nothing of it is kept.
fn residents<C: Child>(nursery: &Nursery<C>, ask: Selection, only: Option<&str>) -> Residents {
    let is_asked = |slot: usize| only.is_none_or(|only| nursery.belongs(slot, only));
    let places = nursery.places(ask.order).filter(|place| is_asked(place.slot));
    let (page, has_more) = match ask.limit {
        0 => (Vec::new(), false),
        limit => select(places, ask.after, limit),
    };
    let last = page.last().filter(|_| has_more);
    Residents {
        total: match only {
            Some(_) => nursery.places(ask.order).filter(|place| is_asked(place.slot)).count(),
            None => nursery.len(),
        },
        next: last.map(|place| Cursor { order: ask.order, after: *place }),
        rows: page.iter().filter_map(|place| nursery.row(place.slot)).collect(),
        used: 0,
    }
}

fn call<C: Child>(
    nursery: &Nursery<C>,
    project: &str,
    fingerprint: &str,
    wrap: fn(oneshot::Receiver<C::Portrait>) -> Portrait,
) -> Option<Called> {
    let slot = nursery.find(project, fingerprint)?;
    Some(Called { row: nursery.row(slot)?, portrait: nursery.describe(slot).map(wrap) })
}
