//! Where a record goes: decoded, checked against the window, reduced to what each child counts. Pure.

use super::cut::{Gathered, Outcome};
use super::dedupe::{DedupeWindow, dedupe_key};
use crate::consumer::batch::{RawRecord, RecordBatch};
use crate::consumer::decode::{Identity, decode_command, decode_event};
use crate::dead_letter::DeadLetter;
use crate::incident::messages::Record;
use crate::incident::state::Occurrence;
use crate::project::messages::Observation;
use hashbrown::HashMap;
use schema::event::EventType;
use std::borrow::Cow;
use std::sync::Arc;

/// Environments whose names are kept once for all; a client that invents more pays for its own copies.
const ENVIRONMENTS: usize = 1_000;

/// What one record asks for.
#[derive(Debug)]
pub struct Sorted<'a> {
    /// Project.
    pub project: Cow<'a, str>,
    /// For the project, if it is an event.
    pub observation: Option<Observation>,
    /// For the incident of this fingerprint, if it is an error or a command.
    pub incident: Option<(Cow<'a, str>, Record)>,
}

/// The memory that sorting needs: the dedupe window and names.
#[derive(Debug)]
pub struct Sorter {
    partition: i32,
    window: DedupeWindow,
    environments: HashMap<Box<str>, Arc<str>>,
}

impl Sorter {
    /// An empty window.
    pub fn new(partition: i32, window: DedupeWindow) -> Self {
        Self { partition, window, environments: HashMap::new() }
    }

    /// A record that an earlier transaction contains only feeds the window.
    pub fn remember(&mut self, raw: &RawRecord, payload: &[u8]) {
        if let (false, Ok(seen)) = (raw.is_command, serde_json::from_slice::<Identity<'_>>(payload)) {
            let key = dedupe_key(&seen.project_id, &seen.event_id, raw.retries);
            let _ = self.window.observe(key, raw.offset, seen.received_at.timestamp_millis());
        }
    }

    /// Decides about a new record; none if it is a duplicate or a dead letter, which is then in `gathered`.
    pub fn sort<'a>(&mut self, batch: &'a RecordBatch, index: usize, gathered: &mut Gathered) -> Option<Sorted<'a>> {
        let raw = batch.record(index)?;
        let sorted = if raw.is_command { command(batch, index, raw) } else { self.event(batch, index, raw, gathered) };
        match sorted {
            Ok(sorted) => sorted,
            Err(reason) => {
                let project = std::str::from_utf8(batch.key(index)).ok().filter(|key| key.len() <= 128).unwrap_or("");
                tracing::warn!(partition = self.partition, offset = raw.offset, reason, "a record is a dead letter");
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
        enter(gathered, &event.project_id, Outcome::Counted, raw);
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        let observation = Observation {
            index,
            offset: raw.offset,
            minute: event.occurred_at.timestamp().div_euclid(60),
            event_type: event.event_type,
            environment: self.environment(&event.environment),
        };
        let occurrence = Occurrence { offset: raw.offset, occurred_at: event.occurred_at, severity: event.severity };
        let incident =
            (event.event_type == EventType::Error).then_some((event.fingerprint, Record::Event { index, occurrence }));
        Ok(Some(Sorted { project: event.project_id, observation: Some(observation), incident }))
    }

    fn environment(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.environments.get(name) {
            return Arc::clone(known);
        }
        let fresh: Arc<str> = Arc::from(name);
        if self.environments.len() < ENVIRONMENTS {
            self.environments.insert(name.into(), Arc::clone(&fresh));
        }
        fresh
    }
}

/// Enters an event's outcome; one that was put back leaves the dead letters by it.
fn enter(gathered: &mut Gathered, project: &str, outcome: Outcome, raw: &RawRecord) {
    gathered.enter(project, outcome);
    if raw.retries > 0 {
        gathered.take_back(project);
    }
}

fn command<'a>(batch: &'a RecordBatch, index: usize, raw: &RawRecord) -> Result<Option<Sorted<'a>>, String> {
    let command = decode_command(batch.payload(index)).map_err(|error| error.to_string())?;
    let index = u32::try_from(index).unwrap_or(u32::MAX);
    let (project, fingerprint) = (command.project_id.clone(), command.fingerprint.clone());
    let record = Record::Command { index, offset: raw.offset, command: Box::new(command) };
    Ok(Some(Sorted {
        project: Cow::Owned(project),
        observation: None,
        incident: Some((Cow::Owned(fingerprint), record)),
    }))
}

/// The record at `index` as a dead letter.
pub fn dead_letter(
    partition: i32,
    batch: &RecordBatch,
    index: usize,
    stage: &'static str,
    reason: String,
) -> DeadLetter {
    let raw = batch.record(index);
    DeadLetter {
        partition,
        offset: raw.map_or(-1, |raw| raw.offset),
        key: batch.key(index).to_vec(),
        payload: batch.payload(index).to_vec(),
        is_command: raw.is_some_and(|raw| raw.is_command),
        retries: raw.map_or(0, |raw| raw.retries),
        stage,
        reason,
    }
}
