//! What a tenure has gathered since its last cut, besides what its children hold; and how answers become a batch. Pure.
//!
//! The ledger's sum stays closed through retries: a record that was put back out of the dead letters was accepted once
//! and stands under `dead_lettered`; with its new outcome, in the same cut, it leaves that line
//! ([`Gathered::take_back`]). Put back twice under the same attempt, the second is no event of its own and changes
//! nothing.

use crate::dead_letter::DeadLetter;
use crate::flusher::messages::Measures;
use crate::incident::messages::Snapshot;
use crate::project::messages::{BucketKey, Minutes};
use crate::project::state::metric_name;
use chrono::{DateTime, Utc};
use hashbrown::{HashMap, HashSet};
use schema::flush::{CheckpointAdvance, FlushBatch, Guards};
use schema::snapshot::{BucketDelta, CommandOutcome, IncidentIdentity, LedgerDelta, LogGap, TrendDelta};
use std::sync::Arc;
use tracing::Span;

/// What can become of a record; the ledger's `outcome`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It changed the counts.
    Counted,
    /// Its event id had been counted.
    Duplicate,
    /// It went to the dead letters.
    DeadLettered,
}

impl Outcome {
    /// As in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counted => "counted",
            Self::Duplicate => "duplicate",
            Self::DeadLettered => "dead_lettered",
        }
    }
}

/// Deltas of one partition since the last cut.
#[derive(Debug, Default)]
pub struct Gathered {
    ledger: HashMap<Box<str>, [i64; 3]>,
    /// By the offset of a record that was buried: in which bucket its project has counted it.
    undone: HashMap<i64, (Box<str>, BucketKey)>,
    /// Offsets of the records that were counted and then buried.
    buried: HashSet<i64>,
    /// Holes met.
    pub gaps: Vec<LogGap>,
    /// Answers to commands that the router itself obeyed.
    pub outcomes: Vec<CommandOutcome>,
    /// Records that could not be handled.
    pub dead_letters: Vec<DeadLetter>,
    /// Records routed.
    pub records: usize,
    /// Bytes of the batches that they came in.
    pub bytes: usize,
    /// Received time of the last event.
    pub complete_until: Option<DateTime<Utc>>,
    /// Spans that end when this is durable.
    pub spans: Vec<Span>,
    arrivals: Vec<(DateTime<Utc>, usize)>,
}

impl Gathered {
    /// Notes when the newest of a batch's records was received.
    pub fn arrived(&mut self, records: usize) {
        if let Some(newest) = self.complete_until {
            self.arrivals.push((newest, records));
        }
    }

    /// Takes what is told of this cut to whoever watches.
    pub fn take_measures(&mut self) -> Measures {
        Measures { records: self.records, arrivals: std::mem::take(&mut self.arrivals) }
    }

    /// Adds one event to a line of the ledger.
    pub fn enter(&mut self, project: &str, outcome: Outcome) {
        self.add(project, outcome, 1);
    }

    /// A record that was put back has a new outcome: it is in the dead letters no longer.
    pub fn take_back(&mut self, project: &str) {
        self.add(project, Outcome::DeadLettered, -1);
    }

    /// A record that had been counted since the last cut turns out to be a dead letter. False if that is known already: a
    /// record may kill its incident and its project as well, and is buried once.
    #[must_use]
    pub fn bury(&mut self, project: &str, letter: DeadLetter) -> bool {
        if !self.buried.insert(letter.offset) {
            return false;
        }
        self.add(project, Outcome::Counted, -1);
        self.add(project, Outcome::DeadLettered, 1);
        self.dead_letters.push(letter);
        true
    }

    /// The project's answer at this cut will contain this record, which was buried, in this bucket.
    pub fn undo(&mut self, offset: i64, project: &str, bucket: BucketKey) {
        self.undone.insert(offset, (project.into(), bucket));
    }

    /// It will not: the project was begun anew without the record.
    pub fn redo(&mut self, offset: i64) {
        self.undone.remove(&offset);
    }

    fn add(&mut self, project: &str, outcome: Outcome, events: i64) {
        let lines = match self.ledger.get_mut(project) {
            Some(lines) => lines,
            None => self.ledger.entry(project.into()).or_default(),
        };
        let [counted, duplicate, dead] = lines;
        *match outcome {
            Outcome::Counted => counted,
            Outcome::Duplicate => duplicate,
            Outcome::DeadLettered => dead,
        } += events;
    }

    fn ledger(&self) -> Vec<LedgerDelta> {
        let outcomes = [Outcome::Counted, Outcome::Duplicate, Outcome::DeadLettered];
        let lines = self.ledger.iter().flat_map(|(project, events)| {
            outcomes.iter().zip(events).filter(|(_, events)| **events != 0).map(|(outcome, events)| LedgerDelta {
                project_id: project.to_string(),
                outcome: outcome.as_str(),
                events: *events,
            })
        });
        lines.collect()
    }

    /// Everything of this cut as one batch.
    pub fn into_batch(
        self,
        checkpoint: CheckpointAdvance,
        guards: Guards,
        incidents: Vec<Snapshot>,
        mut projects: Vec<Minutes>,
    ) -> (FlushBatch, Vec<DeadLetter>) {
        let ledger = self.ledger();
        let mut batch = FlushBatch {
            checkpoint,
            opened: Vec::new(),
            changed: Vec::with_capacity(incidents.len()),
            samples: Vec::new(),
            transitions: Vec::new(),
            outcomes: self.outcomes,
            buckets: Vec::new(),
            trends: Vec::with_capacity(incidents.len()),
            ledger,
            gaps: self.gaps,
            guards,
        };
        for snapshot in incidents {
            add_incident(&mut batch, snapshot);
        }
        for (project, bucket) in self.undone.values() {
            for minutes in projects.iter_mut().filter(|minutes| *minutes.project_id == **project) {
                if let Some((_, events)) = minutes.buckets.iter_mut().find(|(key, _)| key == bucket) {
                    *events -= 1;
                }
            }
        }
        for minutes in projects {
            add_project(&mut batch, minutes);
        }
        (batch, self.dead_letters)
    }
}

fn add_incident(batch: &mut FlushBatch, snapshot: Snapshot) {
    let mut changes = snapshot.changes;
    if let Some(newest) = changes.incidents.last() {
        add_trends(&mut batch.trends, &newest.identity, changes.minutes);
    }
    let known = changes.incidents.len().saturating_sub(changes.opened);
    batch.opened.extend(changes.incidents.drain(known..));
    batch.changed.extend(changes.incidents);
    batch.samples.extend(snapshot.samples);
    batch.transitions.extend(changes.transitions);
    batch.outcomes.extend(changes.outcomes);
}

/// Minutes of one fingerprint, by hour.
fn add_trends(trends: &mut Vec<TrendDelta>, identity: &Arc<IncidentIdentity>, mut minutes: Vec<(i64, i64)>) {
    minutes.sort_unstable();
    for hour in minutes.chunk_by(|(one, _), (next, _)| one.div_euclid(60) == next.div_euclid(60)) {
        let Some((first, _)) = hour.first() else { continue };
        trends.push(TrendDelta {
            identity: Arc::clone(identity),
            hour: first.div_euclid(60),
            minutes: hour
                .iter()
                .map(|(minute, errors)| (u8::try_from(minute.rem_euclid(60)).unwrap_or(0), *errors))
                .collect(),
        });
    }
}

fn add_project(batch: &mut FlushBatch, minutes: Minutes) {
    batch.buckets.extend(minutes.buckets.into_iter().filter(|(_, events)| *events != 0).filter_map(
        |((minute, event_type, environment), value)| {
            minute_start(minute).map(|bucket_time| BucketDelta {
                bucket_time,
                metric_name: metric_name(event_type),
                project_id: minutes.project_id.to_string(),
                environment: environment.to_string(),
                value,
            })
        },
    ));
}

/// Start of a unix minute; none beyond the years that a time can hold.
pub fn minute_start(minute: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(minute.checked_mul(60)?, 0)
}
