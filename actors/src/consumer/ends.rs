//! How tenures end.

use crate::flusher::messages::{Conviction, Refusal};
use crate::router::actor::TenureError;
use crate::supervision::child::{Ended, ExitReason};
use crate::supervision::panics;

/// How a tenure ended.
#[derive(Debug)]
pub struct TenureEnded {
    /// Partition.
    pub partition: i32,
    /// Its fencing token.
    pub epoch: i64,
    /// Why.
    pub reason: ExitReason,
    /// What there is to say about it.
    pub words: String,
    /// Records that the database refuses, as it has learned.
    pub convictions: Vec<Conviction>,
}

impl TenureEnded {
    pub(super) fn new(partition: i32, epoch: i64, Ended { reason, words }: Ended) -> Self {
        Self { partition, epoch, reason, words, convictions: Vec::new() }
    }

    /// It ended in order because it was condemned, if it was.
    pub(super) fn because(self, condemned: Option<String>) -> Self {
        match condemned {
            Some(words) if self.reason == ExitReason::Finished => Self { reason: ExitReason::Rewound, words, ..self },
            _ => self,
        }
    }

    /// For its guardian.
    pub fn ended(&self) -> Ended {
        Ended { reason: self.reason, words: self.words.clone() }
    }
}

/// To be called on the thread of the tenure, where the words of its panic are known.
pub(super) fn how_it_ended(
    partition: i32,
    epoch: i64,
    ended: std::thread::Result<Result<(), TenureError>>,
) -> TenureEnded {
    let words = match &ended {
        Ok(Ok(())) => String::new(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => panics::last_message(),
    };
    let (reason, convictions) = match ended {
        Ok(Ok(())) => (ExitReason::Finished, Vec::new()),
        Ok(Err(TenureError::Refused(Refusal::Fence(_)))) => (ExitReason::Revoked, Vec::new()),
        Ok(Err(TenureError::Refused(Refusal::Content(convictions)))) => (ExitReason::Rewound, convictions),
        Ok(Err(_)) => (ExitReason::Failed, Vec::new()),
        Err(_) => (ExitReason::Panicked, Vec::new()),
    };
    if reason != ExitReason::Finished {
        tracing::warn!(partition, epoch, ?reason, words, "a tenure ended before it was asked to");
    }
    TenureEnded { partition, epoch, reason, words, convictions }
}
