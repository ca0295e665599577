//! What must have become of each record of the log: computed from the log alone, in one thread, by the documented rules,
//! without a line of the engine.

use super::events::GARBAGE;
use actors::failpoint::{POISON, PROJECT_POISON};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// So many records that kill put a fingerprint into quarantine.
const KILLS: u32 = 5;

/// A record as the log has it.
pub struct Entry {
    pub partition: i32,
    pub offset: i64,
    pub key: Vec<u8>,
    pub payload: Vec<u8>,
    pub is_command: bool,
    pub retries: u32,
}

/// A project and something of it.
pub type Of = (String, String);

#[derive(Default)]
struct Watched {
    kills: u32,
    /// Records held since it was quarantined, if it is.
    held: Option<i64>,
}

/// What must be found in the database and in the dead letters.
#[derive(Default)]
pub struct Oracle {
    /// Events by project and outcome.
    pub ledger: BTreeMap<Of, i64>,
    /// Errors by project and title.
    pub counts: BTreeMap<Of, i64>,
    /// Records by key that came by no ingest and are no events.
    pub garbage: BTreeMap<String, i64>,
    /// Stage of each dead letter, by partition and offset.
    pub dead: BTreeMap<(i32, i64), String>,
    /// Event ids by project.
    pub seen: BTreeSet<Of>,
    attempts: BTreeSet<(String, String, u32)>,
    watched: BTreeMap<Of, Watched>,
}

impl Oracle {
    /// The entries of each partition must come in order.
    pub fn new(log: &[Entry]) -> Self {
        let mut oracle = Self::default();
        for entry in log {
            oracle.read(entry);
        }
        oracle.ledger.retain(|_, events| *events != 0);
        oracle
    }

    /// Quarantined fingerprints and how many of their records were held.
    pub fn quarantined(&self) -> BTreeMap<Of, i64> {
        self.watched.iter().filter_map(|(of, watched)| Some((of.clone(), watched.held?))).collect()
    }

    fn read(&mut self, entry: &Entry) {
        let is_garbage = entry.payload.windows(GARBAGE.len()).any(|window| window == GARBAGE.as_bytes());
        let key = String::from_utf8(entry.key.clone()).unwrap_or_default();
        if is_garbage {
            if !entry.is_command {
                self.enter(&key, "dead_lettered", 1);
                *self.garbage.entry(key).or_default() += 1;
            }
            self.bury(entry, "decode");
            return;
        }
        let record: Value = serde_json::from_slice(&entry.payload).unwrap();
        let text = |member: &str| record[member].as_str().unwrap().to_owned();
        assert_eq!(key, text("project_id"), "the key is the project");
        if entry.is_command {
            assert_eq!(record["kind"], "lift_quarantine", "no other command was given");
            self.watched.entry((key, text("fingerprint"))).or_default().held = None;
            return;
        }
        self.seen.insert((key.clone(), text("event_id")));
        if !self.attempts.insert((key.clone(), text("event_id"), entry.retries)) {
            if entry.retries == 0 {
                self.enter(&key, "duplicate", 1);
            }
            return;
        }
        if entry.retries > 0 {
            self.enter(&key, "dead_lettered", -1);
        }
        let is_error = record["event_type"] == "error";
        match self.stage(&key, &text("fingerprint"), &text("message"), is_error) {
            Some(stage) => {
                self.enter(&key, "dead_lettered", 1);
                self.bury(entry, stage);
            }
            None => {
                self.enter(&key, "counted", 1);
                if is_error {
                    let title = text("message").lines().next().unwrap().to_owned();
                    *self.counts.entry((key, title)).or_default() += 1;
                }
            }
        }
    }

    /// Where an event dies; none if it is counted.
    fn stage(&mut self, project: &str, fingerprint: &str, message: &str, is_error: bool) -> Option<&'static str> {
        if message.contains(PROJECT_POISON) && !is_error {
            return Some("project");
        }
        let watched = self.watched.entry((project.to_owned(), fingerprint.to_owned())).or_default();
        match &mut watched.held {
            Some(held) if is_error => {
                *held += 1;
                return Some("quarantine");
            }
            _ => {}
        }
        if message.contains(PROJECT_POISON) {
            return Some("project");
        }
        if !(is_error && message.contains(POISON)) {
            return None;
        }
        watched.kills += 1;
        if watched.kills == KILLS {
            *watched = Watched { kills: 0, held: Some(0) };
        }
        Some("incident")
    }

    fn enter(&mut self, project: &str, outcome: &str, events: i64) {
        *self.ledger.entry((project.to_owned(), outcome.to_owned())).or_default() += events;
    }

    fn bury(&mut self, entry: &Entry, stage: &str) {
        let before = self.dead.insert((entry.partition, entry.offset), stage.to_owned());
        assert!(before.is_none(), "the log has each offset once");
    }
}
