//! The letters between a router and its children, whatever their kind, and what a dying child says.
//!
//! A child's only correspondent is the router of its partition, so the order of its letters is the log's. A full
//! box hands a letter back; the router then waits for room and routes nothing else meanwhile.

use super::chronicle::Alive;
use super::panics;
use crate::consumer::batch::RecordBatch;
use actix::Message;
use smallvec::SmallVec;
use std::sync::Arc;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;

/// One child's records of one batch, in log order. The router keeps a letter until a cut contains it, so that a
/// child that dies can be rebuilt.
#[derive(Debug)]
pub struct Letter<R> {
    /// The bytes.
    pub batch: Arc<RecordBatch>,
    /// The child's records.
    pub records: SmallVec<[R; 1]>,
}

/// Apply these records. No reply.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Apply<R>(pub Arc<Letter<R>>);

/// Hand over what has changed since the last cut.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TakeSnapshot<S> {
    /// Whether very many are asked at once: then a child hands over no more than it must.
    pub is_pressed: bool,
    /// Dropped unanswered if the child dies.
    pub reply: oneshot::Sender<S>,
}

/// Make room: answered with `true` by a child that holds nothing undurable and ends; nothing is sent after it,
/// so no accepted letter is lost.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Leave {
    /// Whether it goes.
    pub reply: oneshot::Sender<bool>,
}

/// Show your one small state. Forwarded by the router for the operator's view; changes nothing.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Describe<P> {
    /// Dropped unanswered if the child dies.
    pub reply: oneshot::Sender<P>,
}

/// A record as a child gets it.
pub trait Placed {
    /// Its offset in the partition.
    fn offset(&self) -> i64;
    /// Its index in the letter's batch.
    fn index(&self) -> usize;
}

/// Which life of which child this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The child's place with its parent.
    pub slot: usize,
    /// 1 for the first life; grows with every restart after a death.
    pub generation: u32,
}

/// Sent while a panic unwinds the child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    /// Who.
    pub life: Life,
    /// The record that it was at work on, if it was at work on one.
    pub offset: Option<i64>,
    /// The panic's message.
    pub message: String,
}

/// Where deaths are told. Unbounded: a notice must never wait, and each life ends once.
pub type Deaths = UnboundedSender<Death>;

/// What a child gets from its parent when its life begins.
#[derive(Debug)]
pub struct Birth {
    life: Life,
    deaths: Deaths,
    _alive: Alive,
}

impl Birth {
    /// Deaths of this life are told to `deaths`; `alive` counts it until then.
    pub fn new(life: Life, deaths: Deaths, alive: Alive) -> Self {
        Self { life, deaths, _alive: alive }
    }

    /// To be called in `stopped()`: if a panic unwinds the child, its parent learns of it.
    pub fn report_panic(&self, at_work_on: Option<i64>) {
        if std::thread::panicking() {
            // Without a router there is nobody left to tell.
            let _ = self.deaths.send(Death { life: self.life, offset: at_work_on, message: panics::last_message() });
        }
    }
}
