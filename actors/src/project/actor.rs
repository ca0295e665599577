//! The shell around [`ProjectState`].

use super::messages::{Minutes, Observation, Portrait};
use super::state::ProjectState;
use crate::supervision::mail::{Apply, Birth, Describe, Leave, TakeSnapshot};
use actix::{Actor, ActorContext, Context, Handler};
use std::sync::Arc;

/// Letters that may wait. One batch sends one letter a project, so more only wait behind a stalled actor.
pub(crate) const MAILBOX: usize = 16;

/// One project, alive on its router's arbiter.
#[derive(Debug)]
pub struct ProjectActor {
    project_id: Arc<str>,
    state: ProjectState,
    at_work_on: Option<i64>,
    last_offset: Option<i64>,
    birth: Birth,
}

impl ProjectActor {
    /// With nothing counted yet.
    pub fn new(project_id: Arc<str>, birth: Birth) -> Self {
        Self { project_id, state: ProjectState::default(), at_work_on: None, last_offset: None, birth }
    }
}

impl Actor for ProjectActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.birth.report_panic(self.at_work_on);
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
        self.last_offset = self.at_work_on.take();
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

impl Handler<Describe<Portrait>> for ProjectActor {
    type Result = ();

    fn handle(&mut self, question: Describe<Portrait>, _: &mut Self::Context) {
        let (buckets, events) = self.state.pending();
        let portrait = Portrait { buckets, events, is_dirty: self.state.is_dirty(), last_offset: self.last_offset };
        // Whoever asked has lost patience.
        let _ = question.reply.send(portrait);
    }
}
