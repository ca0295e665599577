//! What a tenure has gathered since its last cut, besides what its incidents hold. Pure.

use crate::project::state::{ProjectState, metric_name};
use chrono::{DateTime, Utc};
use hashbrown::HashMap;
use schema::event::EventType;
use schema::snapshot::{BucketDelta, LedgerDelta, LogGap};
use std::collections::BTreeMap;

/// Deltas of one partition since the last cut.
#[derive(Debug, Default)]
pub struct Gathered {
    projects: HashMap<Box<str>, ProjectState>,
    ledger: BTreeMap<(Box<str>, &'static str), i64>,
    /// Holes met.
    pub gaps: Vec<LogGap>,
    /// Records routed.
    pub records: usize,
    /// Received time of the last event.
    pub complete_until: Option<DateTime<Utc>>,
}

impl Gathered {
    /// A counted event.
    pub fn count(&mut self, project: &str, environment: &str, event_type: EventType, at: DateTime<Utc>) {
        let key = (environment.into(), at.timestamp().div_euclid(60), event_type);
        self.projects.entry(project.into()).or_default().add(key, 1);
        self.enter(project, "counted");
    }

    /// Adds one event to a line of the ledger.
    pub fn enter(&mut self, project: &str, outcome: &'static str) {
        *self.ledger.entry((project.into(), outcome)).or_insert(0) += 1;
    }

    /// The ledger's rows.
    pub fn ledger(&self) -> Vec<LedgerDelta> {
        let row = |((project, outcome), events): (&(Box<str>, &'static str), &i64)| LedgerDelta {
            project_id: project.to_string(),
            outcome,
            events: *events,
        };
        self.ledger.iter().map(row).collect()
    }

    /// The projects' minutes.
    pub fn buckets(&mut self) -> Vec<BucketDelta> {
        let mut rows = Vec::new();
        for (project, state) in &mut self.projects {
            for ((environment, minute, event_type), value) in state.take_changes() {
                rows.extend(minute_start(minute).map(|bucket_time| BucketDelta {
                    bucket_time,
                    metric_name: metric_name(event_type),
                    project_id: project.to_string(),
                    environment: environment.to_string(),
                    fingerprint: String::new(),
                    value,
                }));
            }
        }
        rows
    }
}

/// Start of a unix minute; none beyond the years that a time can hold.
pub fn minute_start(minute: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(minute.checked_mul(60)?, 0)
}
