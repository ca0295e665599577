//! Which part of a flush the database refuses for what is in it. Pure, but for the questions to the database.
//!
//! An outage must never be taken for guilt, and the database's words do not tell them apart. So only an experiment counts:
//! a part is guilty if it is refused alone, twice, while everything else passes; and, unless a constraint was broken
//! (SQLSTATE class 23), while the same rows with harmless words pass as well. A missing column, a full disk or a lock
//! refuses those too, and then nobody is guilty: the flush waits for better times.
//!
//! Samples are tried first, for without them all events are counted all the same: a guilty one is kept without its words.

use super::messages::Conviction;
use schema::flush::FlushBatch;
use schema::snapshot::{IncidentIdentity, IncidentSnapshot, Sample};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// What the database says of a part, in a transaction that is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Rehearsal {
    /// It would take it.
    Passes,
    /// It would not.
    Fails(Refused),
    /// It is not there, or the fence has closed: no part says anything any more.
    Away,
}

/// In the database's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refused {
    /// Why.
    pub words: String,
    /// Whether a constraint was broken: of that the database is sure.
    pub is_constraint: bool,
}

/// What came out.
#[derive(Debug)]
pub(super) enum Verdict {
    /// Nothing that could be told apart.
    NobodyIsGuilty,
    /// The same flush, but these samples without their words: the database takes it.
    Cleaned(Box<FlushBatch>, Vec<Conviction>),
    /// The records of these must not be in a flush.
    Guilty(Vec<Conviction>),
}

/// Project and fingerprint; the fingerprint is empty for what a project itself counts.
type Key<'a> = (&'a str, &'a str);

/// Finds out, by asking the database about part after part.
pub(super) async fn hold(batch: &FlushBatch, ask: impl AsyncFnMut(&FlushBatch) -> Rehearsal) -> Verdict {
    let incidents = batch.opened.iter().chain(&batch.changed);
    let keys = incidents.map(|incident| (incident.id.as_str(), key(incident))).collect();
    Trial { batch, keys, ask }.hold().await.unwrap_or(Verdict::NobodyIsGuilty)
}

fn key(incident: &IncidentSnapshot) -> Key<'_> {
    (&incident.project_id, &incident.fingerprint)
}

struct Trial<'a, A> {
    batch: &'a FlushBatch,
    /// Whose incident it is, by its id.
    keys: HashMap<&'a str, Key<'a>>,
    ask: A,
}

/// None at any step: nobody can be found guilty.
impl<'a, A: AsyncFnMut(&FlushBatch) -> Rehearsal> Trial<'a, A> {
    async fn hold(mut self) -> Option<Verdict> {
        let projects = self.batch.buckets.iter().map(|bucket| (bucket.project_id.as_str(), ""));
        let keys: BTreeSet<Key<'a>> = self.keys.values().copied().chain(projects).collect();
        let keys: Vec<Key<'a>> = keys.into_iter().collect();
        match self.rehearse(&keys, &[], false).await {
            Rehearsal::Away => None,
            Rehearsal::Passes => self.clean().await,
            Rehearsal::Fails(_) => self.convict(&keys).await,
        }
    }

    /// Without samples it passes: which of them is it?
    async fn clean(&mut self) -> Option<Verdict> {
        let samples = &self.batch.samples;
        let guilty = bisect(samples, async |part: &[Sample]| self.rehearse(&[], part, false).await).await?;
        let mut cleaned = self.batch.clone();
        let mut convictions = Vec::new();
        for (index, refused) in guilty {
            let sample = samples.get(index)?;
            *cleaned.samples.get_mut(index)? = self.without_words(sample, &refused.words).await?;
            let (project, fingerprint) = self.keys.get(sample.incident_id.as_str()).copied().unwrap_or_default();
            convictions.push(self.conviction((project, fingerprint), &refused.words));
        }
        let is_taken = !convictions.is_empty() && (self.ask)(&cleaned).await == Rehearsal::Passes;
        is_taken.then(|| Verdict::Cleaned(Box::new(cleaned), convictions))
    }

    /// As much of a refused sample as the database takes.
    async fn without_words(&mut self, sample: &Sample, why: &str) -> Option<Sample> {
        let Rehearsal::Fails(_) = self.rehearse(&[], std::slice::from_ref(sample), false).await else { return None };
        let attributes = Sample { attributes: "{}".to_owned(), ..sample.clone() };
        let both =
            Sample { message: format!("(the database refuses what this event says: {why})"), ..attributes.clone() };
        for less in [attributes, both] {
            if self.rehearse(&[], std::slice::from_ref(&less), false).await == Rehearsal::Passes {
                return Some(less);
            }
        }
        None
    }

    /// Without samples it fails as well: whose rows are it?
    async fn convict(&mut self, keys: &[Key<'a>]) -> Option<Verdict> {
        if self.rehearse(&[], &[], false).await != Rehearsal::Passes {
            return None;
        }
        let guilty = bisect(keys, async |part: &[Key<'a>]| self.rehearse(part, &[], false).await).await?;
        let mut convictions = Vec::new();
        let mut innocent = keys.to_vec();
        for (index, refused) in guilty {
            let alone = std::slice::from_ref(keys.get(index)?);
            let Rehearsal::Fails(_) = self.rehearse(alone, &[], false).await else { return None };
            if !refused.is_constraint && self.rehearse(alone, &[], true).await != Rehearsal::Passes {
                return None;
            }
            innocent.retain(|key| !alone.contains(key));
            convictions.extend(alone.iter().map(|key| self.conviction(*key, &refused.words)));
        }
        let is_rest_taken = !convictions.is_empty() && self.rehearse(&innocent, &[], false).await == Rehearsal::Passes;
        is_rest_taken.then_some(Verdict::Guilty(convictions))
    }

    fn conviction(&self, (project, fingerprint): Key<'_>, words: &str) -> Conviction {
        Conviction {
            project: project.to_owned(),
            fingerprint: fingerprint.to_owned(),
            from_offset: self.batch.checkpoint.from_offset,
            to_offset: self.batch.checkpoint.next_offset,
            reason: format!("the database refuses what it says: {words}"),
        }
    }

    async fn rehearse(&mut self, keys: &[Key<'a>], samples: &[Sample], is_harmless: bool) -> Rehearsal {
        let part = self.part(&keys.iter().copied().collect(), samples, is_harmless);
        (self.ask)(&part).await
    }

    /// The rows of these keys with these samples, and what belongs to no key.
    fn part(&self, keys: &BTreeSet<Key<'a>>, samples: &[Sample], is_harmless: bool) -> FlushBatch {
        let batch = self.batch;
        let is_in = |incident: &str| self.keys.get(incident).is_some_and(|key| keys.contains(key));
        let is_nobodys = |incident: &str| !self.keys.contains_key(incident);
        let incidents = |of: &[IncidentSnapshot]| -> Vec<IncidentSnapshot> {
            let of = of.iter().filter(|incident| keys.contains(&key(incident)));
            of.map(|incident| if is_harmless { harmless(incident) } else { incident.clone() }).collect()
        };
        FlushBatch {
            checkpoint: batch.checkpoint.clone(),
            opened: incidents(&batch.opened),
            changed: incidents(&batch.changed),
            samples: samples.to_vec(),
            transitions: batch.transitions.iter().filter(|step| is_in(&step.incident_id)).cloned().collect(),
            outcomes: batch
                .outcomes
                .iter()
                .filter(|outcome| is_in(&outcome.incident_id) || is_nobodys(&outcome.incident_id))
                .cloned()
                .collect(),
            buckets: batch
                .buckets
                .iter()
                .filter(|bucket| keys.contains(&(bucket.project_id.as_str(), "")))
                .cloned()
                .collect(),
            trends: batch
                .trends
                .iter()
                .filter(|hour| keys.contains(&(&*hour.identity.project_id, &*hour.identity.fingerprint)))
                .cloned()
                .collect(),
            ledger: batch.ledger.clone(),
            gaps: batch.gaps.clone(),
            guards: batch.guards.clone(),
        }
    }
}

/// The same row without what clients say in it.
fn harmless(incident: &IncidentSnapshot) -> IncidentSnapshot {
    let identity = IncidentIdentity {
        org_id: "org".to_owned(),
        title: "title".to_owned(),
        error_code: None,
        route: None,
        ..IncidentIdentity::clone(incident)
    };
    IncidentSnapshot { identity: Arc::new(identity), ..incident.clone() }
}

/// Which items are refused alone; none if the database went away meanwhile.
async fn bisect<T>(items: &[T], mut ask: impl AsyncFnMut(&[T]) -> Rehearsal) -> Option<Vec<(usize, Refused)>> {
    let (mut guilty, mut open) = (Vec::new(), Vec::new());
    open.push(0..items.len());
    while let Some(range) = open.pop() {
        let part = items.get(range.clone()).filter(|part| !part.is_empty());
        let Some(part) = part else { continue };
        match ask(part).await {
            Rehearsal::Passes => {}
            Rehearsal::Away => return None,
            Rehearsal::Fails(refused) if part.len() == 1 => guilty.push((range.start, refused)),
            Rehearsal::Fails(_) => {
                let middle = range.start + part.len() / 2;
                open.extend([middle..range.end, range.start..middle]);
            }
        }
    }
    Some(guilty)
}

#[cfg(test)]
#[path = "trial_tests.rs"]
mod tests;
