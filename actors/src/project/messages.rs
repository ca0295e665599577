//! What a ProjectActor is told and what it answers; the envelopes are those of [`crate::supervision::mail`].

use crate::supervision::mail::Placed;
use schema::event::EventType;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use utoipa::ToSchema;

/// One event of the project, reduced to what is counted.
#[derive(Clone, Debug)]
pub struct Observation {
    /// Place in the batch.
    pub index: u32,
    /// Place in the log.
    pub offset: i64,
    /// Unix minute of event time.
    pub minute: i64,
    /// Kind.
    pub event_type: EventType,
    /// Environment.
    pub environment: Arc<str>,
}

impl Placed for Observation {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn index(&self) -> usize {
        usize::try_from(self.index).unwrap_or(usize::MAX)
    }
}

/// (unix minute, type, environment) of a bucket.
pub type BucketKey = (i64, EventType, Arc<str>);

/// The reply to a cut: events to add per bucket.
#[derive(Debug)]
pub struct Minutes {
    /// Project.
    pub project_id: Arc<str>,
    /// Events per bucket since the last cut.
    pub buckets: Vec<(BucketKey, i64)>,
}

/// What a ProjectActor shows an operator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Portrait {
    /// Buckets with events that no cut contains yet.
    pub buckets: usize,
    /// Events in them.
    pub events: i64,
    /// Whether something was counted since the last cut.
    pub is_dirty: bool,
    /// Offset of the last record counted in this life.
    pub last_offset: Option<i64>,
}
