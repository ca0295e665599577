//! Keeps a Flusher behind the door, life after life.

use super::child::Ended;
use super::guardian::{Tree, keep};
use super::kind::{ActorId, Kind};
use crate::config::EngineConfig;
use crate::dead_letter::DeadLetterWriter;
use crate::flusher::actor::{Flusher, Tools};
use crate::flusher::door::Doorkeeper;
use actix::Actor;
use rdkafka::ClientConfig;
use std::sync::Arc;
use tokio::sync::mpsc::unbounded_channel;

/// All that a new Flusher is made of. To be run on the arbiter where Flushers live.
pub(super) struct FlusherKeeper {
    pub kafka: ClientConfig,
    pub config: Arc<EngineConfig>,
    pub tools: Tools,
    pub tree: Tree,
    pub doorkeeper: Doorkeeper,
}

impl FlusherKeeper {
    /// Until the engine ends, or the budget is spent and the Flusher after that is dead too.
    pub async fn run(self) {
        if keep(self.tree.guard(ActorId::Flusher), || self.live()).await.is_err() {
            // The root knows and ends the process. What the tenures have in hand deserves a last attempt.
            let last = self.live().await;
            tracing::error!(?last, "the flusher for the last flushes has ended");
        }
    }

    async fn live(&self) -> Result<(), Ended> {
        let Self { kafka, config, tools, tree, doorkeeper } = self;
        let desk = Arc::clone(&tools.desk);
        let dead_letters = DeadLetterWriter::new(kafka.clone(), &config.topic, &config.dlq_topic, desk, tree)
            .map_err(|error| Ended::failed(error.to_string()))?;
        let (deaths, mut told) = unbounded_channel();
        let alive = tree.chronicle.birth(Kind::Flusher);
        doorkeeper.moved_in(Flusher::new(tools.clone(), dead_letters, deaths, alive).start());
        let ended = told.recv().await;
        doorkeeper.moved_out();
        ended.map_or(Ok(()), Err)
    }
}
