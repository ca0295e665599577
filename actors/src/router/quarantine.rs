//! Which fingerprints are quarantined: their records go to the dead letters at once. Pure.
//!
//! A fingerprint is quarantined from the record on that is its n-th within a period to kill its incident's actor twice.
//! Times are the received times of its own records, places are offsets, so the same log decides alike (G9); evidence
//! and quarantines are durable, so a new owner goes on where the old one was. It ends with a record of it that was
//! received later than its time allows, or with a person's command, whichever comes first in the log.
//!
//! The death of a ProjectActor is no evidence: its records are buried one by one, and a whole project is never
//! quarantined for a few of its events.

use super::name::{Key, KeyRef};
use crate::consumer::decode::without_nul;
use chrono::{DateTime, TimeDelta, Utc};
use hashbrown::HashMap;
use schema::command::QuarantineLift;
use schema::quarantine::Recalled;
use schema::snapshot::{CommandOutcome, PoisonRecord, QuarantineImage};

/// Fingerprints whose evidence is held before that which is too old is looked for.
const WATCHED: usize = 10_000;

/// When a fingerprint is quarantined and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuarantinePolicy {
    /// So many records that kill...
    pub records: usize,
    /// ...received within so long of each other.
    pub period: TimeDelta,
    /// A record received so long after the last of them ends it.
    pub lasts: TimeDelta,
}

impl Default for QuarantinePolicy {
    fn default() -> Self {
        Self { records: 5, period: TimeDelta::hours(1), lasts: TimeDelta::hours(1) }
    }
}

/// One record that killed.
#[derive(Clone, Copy, Debug)]
pub struct Kill<'a> {
    /// Its offset.
    pub offset: i64,
    /// Project.
    pub project: &'a str,
    /// Fingerprint.
    pub fingerprint: &'a str,
    /// When it was received.
    pub received_at: DateTime<Utc>,
    /// The panic's message.
    pub message: &'a str,
}

/// The quarantines of one partition.
#[derive(Debug)]
pub struct Quarantine {
    policy: QuarantinePolicy,
    evidence: HashMap<Key, Vec<(i64, DateTime<Utc>)>>,
    active: HashMap<Key, QuarantineImage>,
    lifted: Vec<QuarantineImage>,
    changed: Vec<Key>,
    fresh: Vec<PoisonRecord>,
}

impl Quarantine {
    /// Nobody is quarantined.
    pub fn new(policy: QuarantinePolicy) -> Self {
        Self {
            policy,
            evidence: HashMap::new(),
            active: HashMap::new(),
            lifted: Vec::new(),
            changed: Vec::new(),
            fresh: Vec::new(),
        }
    }

    /// Takes over what an earlier owner wrote.
    pub fn recall(&mut self, recalled: Recalled) {
        for image in recalled.active {
            self.active.insert(key(&image.project_id, &image.fingerprint), image);
        }
        for record in recalled.poison {
            let seen = self.evidence.entry(key(&record.project_id, &record.fingerprint)).or_default();
            seen.push((record.log_offset, record.received_at));
        }
    }

    /// Why this record must not be counted; none if it may. Counts it, if it is held.
    pub fn holds(&mut self, project: &str, fingerprint: &str, received_at: DateTime<Utc>) -> Option<String> {
        if self.active.is_empty() {
            return None;
        }
        let image = self.active.get_mut(&KeyRef(project, fingerprint))?;
        if received_at.signed_duration_since(image.since_at) > self.policy.lasts {
            self.end(project, fingerprint, received_at, None);
            return None;
        }
        if !self.changed.iter().any(|(known, print)| **known == *project && **print == *fingerprint) {
            self.changed.push(key(project, fingerprint));
        }
        image.records = image.records.saturating_add(1);
        Some(image.reason.clone())
    }

    /// Notes evidence. True if the fingerprint is quarantined from this record on.
    #[must_use]
    pub fn note(&mut self, kill: Kill<'_>) -> bool {
        if self.active.contains_key(&KeyRef(kill.project, kill.fingerprint)) {
            return false;
        }
        let key = key(kill.project, kill.fingerprint);
        let horizon = kill.received_at - self.policy.period;
        let seen = self.evidence.entry(key.clone()).or_default();
        seen.retain(|(offset, received_at)| *received_at >= horizon && *offset != kill.offset);
        seen.push((kill.offset, kill.received_at));
        if seen.len() >= self.policy.records {
            self.begin(key, kill);
            return true;
        }
        self.fresh.push(PoisonRecord {
            log_offset: kill.offset,
            project_id: kill.project.to_owned(),
            fingerprint: kill.fingerprint.to_owned(),
            received_at: kill.received_at,
        });
        if self.evidence.len() > WATCHED {
            self.evidence.retain(|_, seen| seen.last().is_some_and(|(_, received_at)| *received_at >= horizon));
        }
        false
    }

    fn begin(&mut self, key: Key, kill: Kill<'_>) {
        self.evidence.remove(&key);
        self.fresh.retain(|record| record.project_id != kill.project || record.fingerprint != kill.fingerprint);
        let (records, minutes) = (self.policy.records, self.policy.period.num_minutes());
        let message = without_nul(kill.message);
        let reason = format!("{records} of its records killed their actor within {minutes} minutes: {message}");
        let image = QuarantineImage {
            project_id: kill.project.to_owned(),
            fingerprint: kill.fingerprint.to_owned(),
            reason,
            records: 0,
            since_at: kill.received_at,
            lifted_at: None,
            lifted_by: None,
        };
        self.active.insert(key.clone(), image);
        self.changed.push(key);
    }

    /// Obeys a person, or says that there is nothing to lift.
    pub fn lift(&mut self, lift: &QuarantineLift) -> CommandOutcome {
        let applied = self.end(&lift.project_id, &lift.fingerprint, lift.received_at, Some(&lift.principal));
        let detail = if applied { "lifted" } else { "the fingerprint is not quarantined" };
        CommandOutcome {
            command_id: lift.command_id.clone(),
            incident_id: String::new(),
            applied,
            detail: detail.to_owned(),
            occurred_at: lift.received_at,
        }
    }

    fn end(&mut self, project: &str, fingerprint: &str, at: DateTime<Utc>, by: Option<&str>) -> bool {
        let Some(image) = self.active.remove(&KeyRef(project, fingerprint)) else { return false };
        self.lifted.retain(|before| before.project_id != project || before.fingerprint != fingerprint);
        self.lifted.push(QuarantineImage { lifted_at: Some(at), lifted_by: by.map(str::to_owned), ..image });
        true
    }

    /// Takes what has changed since the last cut, each key once, and the evidence noted since.
    #[must_use]
    pub fn take_changes(&mut self) -> (Vec<QuarantineImage>, Vec<PoisonRecord>) {
        let mut images: HashMap<Key, QuarantineImage> =
            self.lifted.drain(..).map(|image| (key(&image.project_id, &image.fingerprint), image)).collect();
        // A quarantine that began again after it was lifted is what counts.
        for key in self.changed.drain(..) {
            if let Some(image) = self.active.get(&key) {
                images.insert(key, image.clone());
            }
        }
        (images.into_values().collect(), std::mem::take(&mut self.fresh))
    }

    /// Quarantines that are not lifted.
    pub fn len(&self) -> usize {
        self.active.len()
    }

    /// Whether nobody is quarantined.
    pub fn is_empty(&self) -> bool {
        self.active.is_empty()
    }
}

fn key(project: &str, fingerprint: &str) -> Key {
    (project.into(), fingerprint.into())
}

#[cfg(test)]
#[path = "quarantine_tests.rs"]
mod tests;
