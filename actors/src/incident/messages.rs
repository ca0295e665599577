//! What an IncidentActor is told and what it answers; the envelopes are those of [`crate::supervision::mail`].

use super::state::{Changes, Occurrence};
use crate::supervision::mail::Placed;
use schema::command::IncidentCommand;
use schema::snapshot::Sample;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One record for this fingerprint.
#[derive(Clone, Debug)]
pub enum Record {
    /// An error event.
    Event {
        /// Place in the batch.
        index: u32,
        /// What is counted.
        occurrence: Occurrence,
    },
    /// An error event of a fingerprint that the project's limit turned away: it is counted by the incident of all
    /// such fingerprints of its environment.
    Overflow {
        /// Place in the batch.
        index: u32,
        /// What is counted.
        occurrence: Occurrence,
        /// Environment of the overflow incident.
        environment: Arc<str>,
    },
    /// A person's command.
    Command {
        /// Place in the batch.
        index: u32,
        /// Place in the log.
        offset: i64,
        /// What is asked.
        command: Box<IncidentCommand>,
    },
}

impl Placed for Record {
    fn offset(&self) -> i64 {
        match self {
            Self::Event { occurrence, .. } | Self::Overflow { occurrence, .. } => occurrence.offset,
            Self::Command { offset, .. } => *offset,
        }
    }

    fn index(&self) -> usize {
        let (Self::Event { index, .. } | Self::Overflow { index, .. } | Self::Command { index, .. }) = self;
        usize::try_from(*index).unwrap_or(usize::MAX)
    }
}

/// The reply to a cut.
#[derive(Debug)]
pub struct Snapshot {
    /// Fingerprint's part of the flush.
    pub changes: Changes,
    /// Kept examples.
    pub samples: Vec<Sample>,
}

/// What an IncidentActor shows an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Portrait {
    /// The fingerprint's newest incident; none before its first event is counted.
    pub incident_id: Option<String>,
    /// Its status.
    pub status: Option<String>,
    /// Its events, durable or not.
    pub event_count: i64,
    /// Which incident of the fingerprint it is: 1, and one more after each resolution.
    pub incident_generation: i32,
    /// Whether something has changed since the last cut.
    pub is_dirty: bool,
    /// Samples kept for the next cut.
    pub samples: usize,
    /// Offset of the last record that it contains.
    pub last_offset: Option<i64>,
}
