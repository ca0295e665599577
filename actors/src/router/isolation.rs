//! What happens when a child dies (G5): it is built anew from its durable row and the letters since the last cut; the
//! record that kills twice goes to the dead letters; nobody else notices.

use super::actor::{PartitionRouter, TenureError};
use super::sort::dead_letter;
use crate::consumer::batch::RecordBatch;
use crate::consumer::decode::decode_event;
use crate::incident::messages::Snapshot;
use crate::metrics;
use crate::project::messages::Minutes;
use crate::supervision::kind::Kind;
use crate::supervision::mail::Death;
use hashbrown::HashMap;
use std::sync::Arc;

/// A record may kill a child once; an accident is not its fault.
const LIVES: u32 = 2;
/// Deaths that cannot be blamed on a record, before the tenure gives up on its memory.
const UNEXPLAINED: u32 = 5;

/// Who has killed how often.
#[derive(Debug, Default)]
pub(super) struct Strikes {
    by_offset: HashMap<i64, u32>,
    unexplained: u32,
}

impl Strikes {
    /// Notes a death. The offset, if that record has now killed too often.
    fn note(&mut self, death: &Death) -> Option<i64> {
        let Some(offset) = death.offset else {
            self.unexplained = self.unexplained.saturating_add(1);
            return None;
        };
        let strikes = self.by_offset.entry(offset).or_insert(0);
        *strikes = strikes.saturating_add(1);
        (*strikes >= LIVES).then_some(offset)
    }

    fn check(&self, death: Option<&Death>) -> Result<(), TenureError> {
        if self.unexplained < UNEXPLAINED {
            return Ok(());
        }
        Err(TenureError::ChildDies(death.map_or_else(String::new, |death| death.message.clone())))
    }

    /// A cut contains everything before it: those records cannot come again.
    fn forget(&mut self) {
        self.by_offset.clear();
        self.unexplained = 0;
    }
}

impl PartitionRouter {
    /// Gives the incident in `slot` a new life, without the records that have killed it twice.
    pub(super) async fn revive_incident(&mut self, slot: usize) -> Result<(), TenureError> {
        loop {
            for death in self.incidents.take_deaths() {
                tracing::error!(partition = self.title.partition, ?death, "an incident actor died");
                self.enter_death(Kind::IncidentActor, &death);
                metrics::restarts("incident", "panicked").increment(1);
                if let Some(offset) = self.strikes.note(&death) {
                    self.bury_for_incident(&death, offset);
                }
                self.strikes.check(Some(&death))?;
            }
            // The durable row must be that of the last cut: the letters continue exactly there.
            self.settle().await?;
            self.bear_incidents(&[slot]).await;
            if self.incidents.repeat(slot).await {
                return Ok(());
            }
        }
    }

    fn bury_for_incident(&mut self, death: &Death, offset: i64) {
        let Some((batch, index)) = self.incidents.remove_record(death.life.slot, offset) else { return };
        let letter = dead_letter(self.title.partition, &batch, index, "incident", death.message.clone());
        let Ok(event) = decode_event(batch.payload(index)) else {
            // A command: it is in no sum of events.
            self.gathered.dead_letters.push(letter);
            return;
        };
        self.gathered.bury(&event.project_id, letter);
        // Its project has counted it already, in this very cut.
        let minute = event.occurred_at.timestamp().div_euclid(60);
        self.gathered.undo(&event.project_id, (minute, event.event_type, Arc::from(&*event.environment)));
    }

    /// Gives the project in `slot` a new life, without the records that have killed it twice.
    pub(super) async fn revive_project(&mut self, slot: usize) -> Result<(), TenureError> {
        loop {
            for death in self.projects.take_deaths() {
                tracing::error!(partition = self.title.partition, ?death, "a project actor died");
                self.enter_death(Kind::ProjectActor, &death);
                metrics::restarts("project", "panicked").increment(1);
                if let Some(offset) = self.strikes.note(&death)
                    && let Some((batch, index)) = self.projects.remove_record(death.life.slot, offset)
                {
                    self.bury_for_project(&death, offset, &batch, index).await?;
                }
                self.strikes.check(Some(&death))?;
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
        self.gathered.bury(&event.project_id, letter);
        // Its own incident has counted it: that one is built anew without it. No other is touched.
        if let Some(incident) = self.incidents.find(&event.project_id, &event.fingerprint)
            && self.incidents.remove_record(incident, offset).is_some()
        {
            self.revive_incident(incident).await?;
        }
        Ok(())
    }

    /// The incidents' part of a cut; those that died are revived and asked again.
    pub(super) async fn incident_answers(&mut self) -> Result<Vec<Snapshot>, TenureError> {
        let samples = self.samples_wanted();
        let mut asked = self.incidents.dirty().to_vec();
        let mut answers = Vec::with_capacity(asked.len());
        while !asked.is_empty() {
            let mut dead = Vec::new();
            for (slot, answer) in self.incidents.ask(&asked, samples).await {
                match answer {
                    Some(answer) => answers.push(answer),
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
            for (slot, answer) in self.projects.ask(&asked, 0).await {
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
