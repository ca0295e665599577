//! Where a record goes: decoded, checked against the window and the quarantines, reduced to what each child counts.
//! Pure.

use super::book::{Book, PageNumber};
use super::convicts::Convicts;
use super::cut::{Gathered, Outcome};
use super::dedupe::{DedupeWindow, dedupe_key};
use super::quarantine::Quarantine;
use crate::consumer::batch::{RawRecord, RecordBatch};
use crate::consumer::decode::{Command, decode_command, decode_event};
use crate::dead_letter::DeadLetter;
use crate::incident::messages::Record;
use crate::incident::state::Occurrence;
use crate::project::messages::Observation;
use chrono::{DateTime, Utc};
use schema::envelope::Envelope;
use schema::event::EventType;
use std::borrow::Cow;
use std::sync::Arc;

/// A fingerprint that no incident has.
const NOBODYS: &str = "-";

/// The stage of records that were not tried.
pub(super) const QUARANTINE: &str = "quarantine";

/// What one record asks for.
#[derive(Debug)]
pub struct Sorted<'a> {
    /// Project.
    pub project: Cow<'a, str>,
    /// The project's page, if it was open; always none for a command.
    pub page: Option<PageNumber>,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// For the project, if it is an event. The environment is that under which it is counted; the event's own while the
    /// project's page is not open.
    pub observation: Option<Observation>,
    /// For the incident of this fingerprint, if it is an error or a command.
    pub incident: Option<(Cow<'a, str>, Record)>,
}

/// The memory that sorting needs.
#[derive(Debug)]
pub struct Sorter {
    partition: i32,
    window: DedupeWindow,
    /// Fingerprints whose records are not tried.
    pub quarantine: Quarantine,
    /// What bounds the projects.
    pub book: Book,
    /// Records that the database has refused.
    pub convicts: Convicts,
}

impl Sorter {
    /// An empty window and empty books.
    pub fn new(partition: i32, window: DedupeWindow, quarantine: Quarantine, book: Book) -> Self {
        Self { partition, window, quarantine, book, convicts: Convicts::default() }
    }

    /// A record that an earlier transaction contains only feeds the window, if it fed it then: what was no event does not.
    pub fn remember(&mut self, raw: &RawRecord, payload: &[u8]) {
        if let (false, Ok(seen)) = (raw.is_command, decode_event(payload)) {
            let key = dedupe_key(&seen.project_id, &seen.event_id, raw.retries);
            let _ = self.window.observe(key, raw.offset, seen.received_at.timestamp_millis());
        }
    }

    /// Decides about a new record; none if it is a duplicate or a dead letter, which is then in `gathered`.
    pub fn sort<'a>(&mut self, batch: &'a RecordBatch, index: usize, gathered: &mut Gathered) -> Option<Sorted<'a>> {
        let raw = batch.record(index)?;
        let sorted = if raw.is_command {
            self.command(batch, index, raw, gathered)
        } else {
            self.event(batch, index, raw, gathered)
        };
        match sorted {
            Ok(sorted) => sorted,
            Err(reason) => {
                let key = std::str::from_utf8(batch.key(index)).ok();
                // A key that the ledger could hold, that is.
                let project = key.filter(|key| key.len() <= 128 && !key.contains('\0')).unwrap_or("");
                if !raw.is_command {
                    enter(gathered, project, Outcome::DeadLettered, raw);
                }
                gathered.dead_letters.push(dead_letter(self.partition, batch, index, "decode", reason));
                None
            }
        }
    }

    fn event<'a>(
        &mut self,
        batch: &'a RecordBatch,
        index: usize,
        raw: &RawRecord,
        gathered: &mut Gathered,
    ) -> Result<Option<Sorted<'a>>, String> {
        let event = decode_event(batch.payload(index)).map_err(|error| error.to_string())?;
        gathered.complete_until = gathered.complete_until.max(Some(event.received_at));
        let seen = dedupe_key(&event.project_id, &event.event_id, raw.retries);
        if self.window.observe(seen, raw.offset, event.received_at.timestamp_millis()) {
            if raw.retries == 0 {
                gathered.enter(&event.project_id, Outcome::Duplicate);
            }
            return Ok(None);
        }
        if let Some(reason) = self.quarantined(&event) {
            enter(gathered, &event.project_id, Outcome::DeadLettered, raw);
            gathered.dead_letters.push(dead_letter(self.partition, batch, index, QUARANTINE, reason));
            return Ok(None);
        }
        // Its own incident is an error's only.
        let fingerprint = if event.event_type == EventType::Error { &*event.fingerprint } else { NOBODYS };
        if let Some(reason) = self.convicts.holds(&event.project_id, fingerprint, raw.offset) {
            enter(gathered, &event.project_id, Outcome::DeadLettered, raw);
            gathered.dead_letters.push(dead_letter(self.partition, batch, index, "flush", reason.to_owned()));
            return Ok(None);
        }
        enter(gathered, &event.project_id, Outcome::Counted, raw);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let (page, environment) = match self.book.admit_environment(&event.project_id, &event.environment) {
            Some((page, environment)) => (Some(page), environment),
            None => (None, Arc::from(&*event.environment)),
        };
        let observation = Observation {
            index,
            offset: raw.offset,
            minute: event.occurred_at.timestamp().div_euclid(60),
            event_type: event.event_type,
            environment,
        };
        let occurrence = Occurrence { offset: raw.offset, occurred_at: event.occurred_at, severity: event.severity };
        let incident =
            (event.event_type == EventType::Error).then_some((event.fingerprint, Record::Event { index, occurrence }));
        Ok(Some(Sorted {
            project: event.project_id,
            page,
            received_at: event.received_at,
            observation: Some(observation),
            incident,
        }))
    }

    /// Only errors go to incidents, so only they can be quarantined.
    fn quarantined(&mut self, event: &Envelope<'_>) -> Option<String> {
        let is_error = event.event_type == EventType::Error;
        is_error.then(|| self.quarantine.holds(&event.project_id, &event.fingerprint, event.received_at)).flatten()
    }

    fn command<'a>(
        &mut self,
        batch: &'a RecordBatch,
        index: usize,
        raw: &RawRecord,
        gathered: &mut Gathered,
    ) -> Result<Option<Sorted<'a>>, String> {
        let command = match decode_command(batch.payload(index)).map_err(|error| error.to_string())? {
            Command::Incident(command) => command,
            Command::Lift(lift) => {
                gathered.outcomes.push(self.quarantine.lift(&lift));
                return Ok(None);
            }
        };
        if let Some(reason) = self.convicts.holds(&command.project_id, &command.fingerprint, raw.offset) {
            gathered.dead_letters.push(dead_letter(self.partition, batch, index, "flush", reason.to_owned()));
            return Ok(None);
        }
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let (project, fingerprint) = (command.project_id.clone(), command.fingerprint.clone());
        let received_at = command.received_at;
        let record = Record::Command { index, offset: raw.offset, command: Box::new(command) };
        Ok(Some(Sorted {
            project: Cow::Owned(project),
            page: None,
            received_at,
            observation: None,
            incident: Some((Cow::Owned(fingerprint), record)),
        }))
    }
}

/// Enters an event's outcome; one that was put back leaves the dead letters by it.
fn enter(gathered: &mut Gathered, project: &str, outcome: Outcome, raw: &RawRecord) {
    gathered.enter(project, outcome);
    if raw.retries > 0 {
        gathered.take_back(project);
    }
}

/// The record at `index` as a dead letter.
pub fn dead_letter(
    partition: i32,
    batch: &RecordBatch,
    index: usize,
    stage: &'static str,
    reason: String,
) -> DeadLetter {
    let (raw, trace) = (batch.record(index), batch.trace(index));
    let trace_id = trace.map(|trace| trace.trace());
    let offset = raw.map(|raw| raw.offset);
    if stage == QUARANTINE {
        // The quarantine itself was told; a line for each of its records would cost more than the records do.
        tracing::debug!(partition, offset, stage, reason, trace_id, "a record is a dead letter");
    } else {
        tracing::warn!(partition, offset, stage, reason, trace_id, "a record is a dead letter");
    }
    DeadLetter {
        partition,
        offset: raw.map_or(-1, |raw| raw.offset),
        key: batch.key(index).to_vec(),
        payload: batch.payload(index).to_vec(),
        is_command: raw.is_some_and(|raw| raw.is_command),
        retries: raw.map_or(0, |raw| raw.retries),
        stage,
        reason,
        trace,
    }
}
