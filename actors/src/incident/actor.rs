//! The shell around [`IncidentState`].

use super::identity::incident_id;
use super::messages::{Portrait, Record, Snapshot};
use super::state::{IncidentState, Occurrence, Opening};
use crate::consumer::batch::RecordBatch;
use crate::consumer::decode::{Shown, decode_event, text_of, without_nul};
use crate::failpoint::{self, Point};
use crate::supervision::mail::{Apply, Birth, Describe, Leave, Placed, TakeSnapshot};
use actix::{Actor, ActorContext, Context, Handler};
use schema::envelope::Envelope;
use schema::fingerprint::overflow_fingerprint;
use schema::flush::SAMPLES_KEPT;
use schema::snapshot::{IncidentSnapshot, Sample};
use std::collections::VecDeque;
use std::sync::Arc;

/// Letters that may wait. One batch sends one letter a fingerprint, so more only wait behind a stalled actor.
pub(crate) const MAILBOX: usize = 16;
/// Title of the incident of those fingerprints that a project's limit turned away.
const OVERFLOW_TITLE: &str = "Too many different errors: further new ones are counted here";
/// Minutes after which a sample is renewed even under pressure.
const RENEWED: i64 = 10;
/// Characters of a message's first line that become a title.
const TITLE_CHARS: usize = 200;

/// An example by reference: it is decoded only if it is still among the newest at the next cut.
#[derive(Debug)]
struct KeptSample {
    ordinal: i64,
    minute: i64,
    index: usize,
    offset: i64,
    batch: Arc<RecordBatch>,
}

/// One fingerprint of one project, alive on its router's arbiter.
#[derive(Debug)]
pub struct IncidentActor {
    state: IncidentState,
    samples: VecDeque<KeptSample>,
    /// Ordinal and minute of the newest sample that was handed over.
    sampled: Option<(i64, i64)>,
    place: Arc<LogPlace>,
    at_work_on: Option<i64>,
    birth: Birth,
}

/// The partition whose records an actor counts; part of every incident's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogPlace {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
}

impl IncidentActor {
    /// From the durable row, if there is one.
    pub fn new(newest: Option<IncidentSnapshot>, place: Arc<LogPlace>, birth: Birth) -> Self {
        let state = IncidentState::new(newest);
        Self { state, samples: VecDeque::new(), sampled: None, place, at_work_on: None, birth }
    }

    fn count(&mut self, batch: &Arc<RecordBatch>, index: usize, occurrence: Occurrence, overflow: Option<&str>) {
        failpoint::count(batch.payload(index));
        let place = &self.place;
        let ordinal = self.state.apply(occurrence, || {
            let opening = opening(batch.payload(index), place, occurrence);
            match overflow {
                Some(environment) => overflowing(environment, opening),
                None => opening,
            }
        });
        if ordinal == 1
            && let (Some(trace), Some(incident)) = (batch.trace(index), self.state.newest())
        {
            tracing::info!(incident_id = incident.id, trace_id = trace.trace(), "an incident opened");
        }
        if self.samples.len() >= usize::try_from(SAMPLES_KEPT).unwrap_or(1) {
            self.samples.pop_front();
        }
        let minute = occurrence.occurred_at.timestamp().div_euclid(60);
        let (offset, batch) = (occurrence.offset, Arc::clone(batch));
        self.samples.push_back(KeptSample { ordinal, minute, index, offset, batch });
    }

    /// The newest samples. Under pressure at most one, and none while the last one still tells much the same: less than ten
    /// minutes ago, of an incident that has not become ten times bigger since.
    fn take_samples(&mut self, is_pressed: bool) -> Vec<Sample> {
        let pending = std::mem::take(&mut self.samples);
        let (Some(newest), Some(incident)) = (pending.back(), self.state.newest()) else { return Vec::new() };
        let is_due = self.sampled.is_none_or(|(ordinal, minute)| {
            newest.ordinal < ordinal
                || newest.ordinal >= ordinal.saturating_mul(10)
                || newest.minute.saturating_sub(minute) >= RENEWED
        });
        if is_pressed && !is_due {
            return Vec::new();
        }
        self.sampled = Some((newest.ordinal, newest.minute));
        let wanted = if is_pressed { 1 } else { pending.len() };
        let incident_id = incident.id.clone();
        // Samples of an incident that a newer generation superseded have a higher ordinal than a later one.
        let mut newest: Vec<_> = pending.into_iter().rev().take(wanted).collect();
        if let Some(end) =
            newest.windows(2).position(|pair| matches!(pair, [later, earlier] if earlier.ordinal >= later.ordinal))
        {
            newest.truncate(end + 1);
        }
        newest.iter().filter_map(|kept| kept.decode(&incident_id)).collect()
    }
}

fn opening(payload: &[u8], place: &LogPlace, occurrence: Occurrence) -> Opening {
    let id = incident_id(occurrence.occurred_at, &place.topic, place.partition, occurrence.offset);
    let Ok(event) = decode_event(payload) else {
        // The router decoded these very bytes, so this does not happen; a count must not depend on it.
        return Opening { id, ..Opening::default() };
    };
    let shown = Shown::of(event.attributes.get());
    Opening {
        id,
        org_id: without_nul(&event.org_id),
        project_id: without_nul(&event.project_id),
        environment: without_nul(&event.environment),
        fingerprint: without_nul(&event.fingerprint),
        title: title(&event),
        error_code: text_of(&shown.error_code),
        route: text_of(&shown.route),
        event_id: without_nul(&event.event_id),
        partition: place.partition,
    }
}

/// The incident of those fingerprints that a project's limit turned away.
fn overflowing(environment: &str, first: Opening) -> Opening {
    Opening {
        environment: environment.to_owned(),
        fingerprint: overflow_fingerprint(environment),
        title: OVERFLOW_TITLE.to_owned(),
        error_code: None,
        route: None,
        ..first
    }
}

fn title(event: &Envelope<'_>) -> String {
    let line = event.message.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("(no message)");
    without_nul(&line.chars().take(TITLE_CHARS).collect::<String>())
}

impl KeptSample {
    fn decode(&self, incident_id: &str) -> Option<Sample> {
        let event = decode_event(self.batch.payload(self.index)).ok()?;
        Some(Sample {
            incident_id: incident_id.to_owned(),
            ordinal: self.ordinal,
            event_id: without_nul(&event.event_id),
            occurred_at: event.occurred_at,
            received_at: event.received_at,
            event_type: event.event_type,
            severity: event.severity,
            message: without_nul(&event.message),
            attributes: event.attributes.get().to_owned(),
            log_offset: self.offset,
        })
    }
}

impl Actor for IncidentActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        self.birth.report_panic(self.at_work_on);
    }
}

impl Handler<Apply<Record>> for IncidentActor {
    type Result = ();

    fn handle(&mut self, Apply(letter): Apply<Record>, _: &mut Self::Context) {
        for record in &letter.records {
            self.at_work_on = Some(record.offset());
            match record {
                Record::Event { occurrence, .. } => self.count(&letter.batch, record.index(), *occurrence, None),
                Record::Overflow { occurrence, environment, .. } => {
                    self.count(&letter.batch, record.index(), *occurrence, Some(environment));
                }
                Record::Command { offset, command, .. } => self.state.command(*offset, command),
            }
        }
        self.at_work_on = None;
    }
}

impl Handler<TakeSnapshot<Snapshot>> for IncidentActor {
    type Result = ();

    fn handle(&mut self, question: TakeSnapshot<Snapshot>, _: &mut Self::Context) {
        failpoint::hit(Point::Snapshot);
        let samples = self.take_samples(question.is_pressed);
        // A router that is gone has no use for the answer.
        let _ = question.reply.send(Snapshot { changes: self.state.take_changes(), samples });
    }
}

impl Handler<Leave> for IncidentActor {
    type Result = ();

    fn handle(&mut self, question: Leave, context: &mut Self::Context) {
        let goes = !self.state.is_dirty();
        if question.reply.send(goes).is_err() || goes {
            context.stop();
        }
    }
}

impl Handler<Describe<Portrait>> for IncidentActor {
    type Result = ();

    fn handle(&mut self, question: Describe<Portrait>, _: &mut Self::Context) {
        let newest = self.state.newest();
        let portrait = Portrait {
            incident_id: newest.map(|incident| incident.id.clone()),
            status: newest.map(|incident| incident.status.to_string()),
            event_count: newest.map_or(0, |incident| incident.event_count),
            incident_generation: newest.map_or(0, |incident| incident.generation),
            is_dirty: self.state.is_dirty(),
            samples: self.samples.len(),
            last_offset: newest.map(|incident| incident.applied_through),
        };
        // Whoever asked has lost patience.
        let _ = question.reply.send(portrait);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::batch::Labels;
    use crate::log_lines::logged;
    use crate::supervision::chronicle::Chronicle;
    use crate::supervision::kind::Kind;
    use crate::supervision::mail::Life;
    use chrono::DateTime;
    use schema::event::Severity;
    use schema::trace::TraceParent;

    #[test]
    fn an_incident_that_opens_tells_the_log_whose_trace_it_was() {
        let event = r#"{"schema_version":"1.0","event_id":"e","occurred_at":"2026-11-24T05:00:00Z",
            "received_at":"2026-11-24T05:00:00Z","org_id":"o","project_id":"p","environment":"prod","event_type":"error",
            "severity":"error","message":"m","fingerprint":"f","attributes":{},"payload":{}}"#;
        let trace = TraceParent { trace_id: 0xabc, span_id: 9, is_sampled: false };
        let mut batch = RecordBatch::default();
        for offset in [0, 1] {
            batch.push(offset, Labels { trace: Some(trace), ..Labels::default() }, b"p", event.as_bytes());
        }
        let batch = Arc::new(batch);
        let place = Arc::new(LogPlace { topic: "t".to_owned(), partition: 0 });
        let (deaths, _told) = tokio::sync::mpsc::unbounded_channel();
        let alive = Arc::new(Chronicle::default()).birth(Kind::IncidentActor);
        let birth = Birth::new(Life { slot: 0, generation: 1 }, deaths, alive);
        let mut actor = IncidentActor::new(None, place, birth);
        let ((), text) = logged(|| {
            for (index, offset) in [(0, 0), (1, 1)] {
                let occurred_at = DateTime::UNIX_EPOCH;
                actor.count(&batch, index, Occurrence { offset, occurred_at, severity: Severity::Error }, None);
            }
        });
        let id = &actor.state.newest().unwrap().id;
        assert_eq!(text.matches("an incident opened").count(), 1, "{text}");
        assert!(text.contains(id) && text.contains(&trace.trace()), "{text}");
    }
}
