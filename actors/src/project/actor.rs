//! The shell around [`ProjectState`].

use super::messages::{Minutes, Observation};
use super::state::ProjectState;
use crate::supervision::mail::{Apply, Death, Deaths, Leave, Life, TakeSnapshot};
use crate::supervision::panics;
use actix::{Actor, ActorContext, Context, Handler};
use std::sync::Arc;

/// Letters that may wait. One batch sends one letter a project, so more only wait behind a stalled actor.
const MAILBOX: usize = 16;

/// One project, alive on its router's arbiter.
#[derive(Debug)]
pub struct ProjectActor {
    project_id: Arc<str>,
    state: ProjectState,
    at_work_on: Option<i64>,
    life: Life,
    deaths: Deaths,
}

impl ProjectActor {
    /// With nothing counted yet.
    pub fn new(project_id: Arc<str>, life: Life, deaths: Deaths) -> Self {
        Self { project_id, state: ProjectState::default(), at_work_on: None, life, deaths }
    }
}

impl Actor for ProjectActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if std::thread::panicking() {
            // Without a router there is nobody left to tell.
            let _ =
                self.deaths.send(Death { life: self.life, offset: self.at_work_on, message: panics::last_message() });
        }
    }
}

impl Handler<Apply<Observation>> for ProjectActor {
    type Result = ();

    fn handle(&mut self, Apply(letter): Apply<Observation>, _: &mut Self::Context) {
        for event in &letter.records {
            self.at_work_on = Some(event.offset);
            crate::failpoint::observe(letter.batch.payload(usize::try_from(event.index).unwrap_or(usize::MAX)));
            self.state.observe(event);
        }
        self.at_work_on = None;
    }
}

impl Handler<TakeSnapshot<Minutes>> for ProjectActor {
    type Result = ();

    fn handle(&mut self, question: TakeSnapshot<Minutes>, _: &mut Self::Context) {
        let minutes = Minutes { project_id: Arc::clone(&self.project_id), buckets: self.state.take_changes() };
        // A router that is gone has no use for the answer.
        let _ = question.reply.send(minutes);
    }
}

impl Handler<Leave> for ProjectActor {
    type Result = ();

    fn handle(&mut self, question: Leave, context: &mut Self::Context) {
        let goes = !self.state.is_dirty();
        if question.reply.send(goes).is_err() || goes {
            context.stop();
        }
    }
}
