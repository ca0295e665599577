//! What happens when a child dies (G5): it is built anew from its durable row and the letters since the last cut; the
//! record that kills twice goes to the dead letters; nobody else notices.

use super::actor::{PartitionRouter, TenureError};
use super::quarantine::Kill;
use super::sort::dead_letter;
use super::strikes::Sentence;
use crate::consumer::batch::RecordBatch;
use crate::consumer::decode::decode_event;
use crate::incident::messages::{Record, Snapshot};
use crate::metrics;
use crate::project::messages::Minutes;
use crate::supervision::child::ExitReason;
use crate::supervision::kind::Kind;
use crate::supervision::mail::{Death, Placed};
use hashbrown::HashMap;
use schema::envelope::Envelope;
use schema::fingerprint::overflow_fingerprint;
use schema::snapshot::IncidentSnapshot;
use std::sync::Arc;

/// Rows as of the last cut, of incidents that died lately: one that dies of record after record is built anew without
/// asking the database, and without waiting for a flush.
#[derive(Debug, Default)]
pub(super) struct Bases(HashMap<usize, Option<IncidentSnapshot>>);

/// Incidents whose base is held.
const BASES: usize = 1_000;

impl Bases {
    /// To be called when slots may be given to others.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    fn get(&self, slot: usize) -> Option<Option<IncidentSnapshot>> {
        self.0.get(&slot).cloned()
    }

    fn keep(&mut self, slot: usize, row: Option<IncidentSnapshot>) {
        if self.0.len() >= BASES {
            self.0.clear();
        }
        self.0.insert(slot, row);
    }

    /// A cut contains this.
    fn advance(&mut self, slot: usize, answer: &Snapshot) {
        if let (Some(base), Some(newest)) = (self.0.get_mut(&slot), answer.changes.incidents.last()) {
            *base = Some(newest.clone());
        }
    }
}

impl PartitionRouter {
    /// Enters a child's death and does what its policy says. The offset, if a record has now killed too often.
    async fn judge(&mut self, kind: Kind, death: &Death) -> Result<Option<i64>, TenureError> {
        tracing::error!(partition = self.title.partition, ?kind, ?death, "a child died");
        let sentence = self.strikes.note(kind, death.offset);
        self.enter_death(kind, death, sentence.wait());
        metrics::restarted(kind, ExitReason::Panicked);
        match sentence {
            Sentence::Pardon => Ok(None),
            Sentence::Bury(offset) => Ok(Some(offset)),
            Sentence::Wait(wait) => {
                tokio::time::sleep(wait).await;
                Ok(None)
            }
            Sentence::Escalate => Err(TenureError::ChildDies(death.message.clone())),
        }
    }

    /// Gives the incident in `slot` a new life, without the records that have killed it twice.
    pub(super) async fn revive_incident(&mut self, slot: usize) -> Result<(), TenureError> {
        loop {
            for death in self.incidents.take_deaths() {
                if let Some(offset) = self.judge(Kind::IncidentActor, &death).await? {
                    self.bury_for_incident(&death, offset);
                }
            }
            let base = self.base(slot).await?;
            self.bear_incident(slot, base);
            if self.incidents.repeat(slot).await {
                return Ok(());
            }
        }
    }

    /// The row of the last cut: the letters continue exactly there.
    async fn base(&mut self, slot: usize) -> Result<Option<IncidentSnapshot>, TenureError> {
        if let Some(row) = self.bases.get(slot) {
            return Ok(row);
        }
        self.settle().await?;
        let Some((project, fingerprint)) = self.incidents.key(slot) else { return Ok(None) };
        let row = self.load(&[(&project, &fingerprint)]).await.into_values().next().flatten();
        self.bases.keep(slot, row.clone());
        Ok(row)
    }

    fn bury_for_incident(&mut self, death: &Death, offset: i64) {
        let Some((batch, index)) = self.incidents.remove_record(death.life.slot, offset) else { return };
        let letter = dead_letter(self.title.partition, &batch, index, "incident", death.message.clone());
        let Ok(event) = decode_event(batch.payload(index)) else {
            // A command: it is in no sum of events.
            self.gathered.dead_letters.push(letter);
            return;
        };
        if !self.gathered.bury(&event.project_id, letter) {
            return;
        }
        self.undo(offset, &event);
        let kill = Kill {
            offset,
            project: &event.project_id,
            fingerprint: &event.fingerprint,
            received_at: event.received_at,
            message: &death.message,
        };
        if self.sorter.quarantine.note(kill) {
            metrics::quarantines().increment(1);
            tracing::error!(
                partition = self.title.partition, offset, project = %event.project_id, fingerprint = %event.fingerprint,
                "the fingerprint is quarantined"
            );
            self.bury_what_follows(death.life.slot, offset, &event);
        }
    }

    /// Its project has counted the event already, in this very cut.
    fn undo(&mut self, offset: i64, event: &Envelope<'_>) {
        let minute = event.occurred_at.timestamp().div_euclid(60);
        let environment = self.sorter.book.environment(&event.project_id, &event.environment);
        self.gathered.undo(offset, &event.project_id, (minute, event.event_type, environment));
    }

    /// The records of a fingerprint that is quarantined from `offset` on were sent before that was known. All of them
    /// are still with the letters: no cut can have passed the record that killed. So the quarantine begins at the
    /// same record, however the log was cut into batches.
    fn bury_what_follows(&mut self, slot: usize, offset: i64, killer: &Envelope<'_>) {
        let quarantine = &mut self.sorter.quarantine;
        let mut held = |batch: &RecordBatch, record: &Record| {
            if record.offset() <= offset || matches!(record, Record::Command { .. }) {
                return None;
            }
            let event = decode_event(batch.payload(record.index())).ok()?;
            // The overflow incident counts other fingerprints too.
            let is_its = event.fingerprint == killer.fingerprint;
            is_its.then(|| quarantine.holds(&event.project_id, &event.fingerprint, event.received_at)).flatten()
        };
        let mut reason = String::new();
        let follows = self.incidents.remove_records(slot, |batch, record| match held(batch, record) {
            Some(why) => {
                reason = why;
                true
            }
            None => false,
        });
        for (batch, index) in follows {
            let letter = dead_letter(self.title.partition, &batch, index, "quarantine", reason.clone());
            let offset = letter.offset;
            if self.gathered.bury(&killer.project_id, letter)
                && let Ok(event) = decode_event(batch.payload(index))
            {
                self.undo(offset, &event);
            }
        }
    }

    /// Gives the project in `slot` a new life, without the records that have killed it twice.
    pub(super) async fn revive_project(&mut self, slot: usize) -> Result<(), TenureError> {
        loop {
            for death in self.projects.take_deaths() {
                if let Some(offset) = self.judge(Kind::ProjectActor, &death).await?
                    && let Some((batch, index)) = self.projects.remove_record(death.life.slot, offset)
                {
                    self.bury_for_project(&death, offset, &batch, index).await?;
                }
            }
            self.bear_project(slot);
            if self.projects.repeat(slot).await {
                return Ok(());
            }
        }
    }

    async fn bury_for_project(
        &mut self,
        death: &Death,
        offset: i64,
        batch: &Arc<RecordBatch>,
        index: usize,
    ) -> Result<(), TenureError> {
        let Ok(event) = decode_event(batch.payload(index)) else { return Ok(()) };
        let letter = dead_letter(self.title.partition, batch, index, "project", death.message.clone());
        if !self.gathered.bury(&event.project_id, letter) {
            // It had killed its incident before.
            self.gathered.redo(offset);
            return Ok(());
        }
        // Its own incident has counted it: that one is built anew without it. No other is touched.
        let environment = self.sorter.book.environment(&event.project_id, &event.environment);
        for fingerprint in [&*event.fingerprint, &overflow_fingerprint(&environment)] {
            if let Some(incident) = self.incidents.find(&event.project_id, fingerprint)
                && self.incidents.remove_record(incident, offset).is_some()
            {
                return self.revive_incident(incident).await;
            }
        }
        Ok(())
    }

    /// The incidents' part of a cut; those that died are revived and asked again.
    pub(super) async fn incident_answers(&mut self) -> Result<Vec<Snapshot>, TenureError> {
        let is_pressed = self.is_pressed();
        let mut asked = self.incidents.dirty().to_vec();
        let mut answers = Vec::with_capacity(asked.len());
        while !asked.is_empty() {
            let mut dead = Vec::new();
            for (slot, answer) in self.incidents.ask(&asked, is_pressed).await {
                match answer {
                    Some(answer) => {
                        self.bases.advance(slot, &answer);
                        answers.push(answer);
                    }
                    None => dead.push(slot),
                }
            }
            for &slot in &dead {
                self.revive_incident(slot).await?;
            }
            asked = dead;
        }
        self.strikes.forget();
        Ok(answers)
    }

    /// The projects' part of a cut. Asked before the incidents: the death of a project can take a record away from an
    /// incident, while what an incident takes away from a project is put right in the answers.
    pub(super) async fn project_answers(&mut self) -> Result<Vec<Minutes>, TenureError> {
        let mut asked = self.projects.dirty().to_vec();
        let mut answers = Vec::with_capacity(asked.len());
        while !asked.is_empty() {
            let mut dead = Vec::new();
            for (slot, answer) in self.projects.ask(&asked, false).await {
                match answer {
                    Some(answer) => answers.push(answer),
                    None => dead.push(slot),
                }
            }
            for &slot in &dead {
                self.revive_project(slot).await?;
            }
            asked = dead;
        }
        Ok(answers)
    }
}
