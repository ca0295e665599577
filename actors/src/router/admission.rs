//! Whom the router does not know yet: projects whose bounds and fingerprints whose rows must be loaded before their
//! records can go on. One query each for all of a batch, however many there are; a fingerprint that its project's
//! limit turns away leaves nothing behind but its count in the overflow incident.

use super::actor::PartitionRouter;
use super::book::PageNumber;
use super::name::{Key, KeyRef};
use super::sort::Sorted;
use crate::consumer::progress::Step;
use crate::failpoint::{self, Point};
use crate::flusher::retry::Patience;
use crate::incident::messages::Record;
use crate::project::messages::Observation;
use hashbrown::HashMap;
use schema::fingerprint::overflow_fingerprint;
use schema::snapshot::{IncidentSnapshot, ProjectLimits};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Durable rows by key; none for a key that was looked for and has none.
pub(super) type Rows = HashMap<Key, Option<IncidentSnapshot>>;

/// A record that waits for what must be loaded before it can go on.
#[derive(Debug)]
pub(super) struct Later<'a> {
    sorted: Sorted<'a>,
    /// The environment under which the record is counted; its own while the project's page is not open.
    environment: Arc<str>,
}

impl PartitionRouter {
    /// Drafts a record, or keeps it for [`PartitionRouter::admit`] if its project or fingerprint is unknown.
    pub(super) fn draft_or_keep<'a>(&mut self, mut sorted: Sorted<'a>, later: &mut Vec<Later<'a>>) {
        // Commands are rare: theirs is looked for.
        if sorted.page.is_none() && (sorted.observation.is_some() || !self.sorter.book.knows(&sorted.project)) {
            let environment = sorted.observation.as_ref().map(|observation| Arc::clone(&observation.environment));
            later.push(Later { environment: environment.unwrap_or_default(), sorted });
            return;
        }
        if let Some((fingerprint, record)) = sorted.incident.take()
            && let Err(record) = self.incidents.draft_known(&sorted.project, &fingerprint, record)
        {
            let environment = sorted.observation.as_ref().map(|observation| Arc::clone(&observation.environment));
            let (project, received_at) = (sorted.project.clone(), sorted.received_at);
            let incident = Some((fingerprint, record));
            let rest = Sorted { project, page: sorted.page, received_at, observation: None, incident };
            later.push(Later { environment: environment.unwrap_or_default(), sorted: rest });
        }
        if let Some(observation) = sorted.observation {
            self.draft_observation(&sorted.project, sorted.page, observation);
        }
    }

    /// For the project's actor, which is mostly where it was.
    fn draft_observation(&mut self, project: &str, page: Option<PageNumber>, observation: Observation) {
        let home = page.and_then(|page| self.sorter.book.home(page));
        let slot = self.projects.draft_at(home.as_deref().copied().flatten(), project, observation);
        if let Some(home) = home {
            *home = Some(slot);
        }
    }

    /// Drafts what was kept, in log order. Returns the rows of those that have no child yet.
    pub(super) async fn admit(&mut self, later: Vec<Later<'_>>) -> Rows {
        if later.is_empty() {
            return Rows::new();
        }
        self.open_pages(&later).await;
        let unknown: BTreeSet<(&str, &str)> = later
            .iter()
            .filter_map(|Later { sorted, .. }| {
                sorted.incident.as_ref().map(|(fingerprint, _)| (&*sorted.project, &**fingerprint))
            })
            .filter(|(project, fingerprint)| self.incidents.find(project, fingerprint).is_none())
            .collect();
        let rows = self.load(&unknown.into_iter().collect::<Vec<_>>()).await;
        for Later { mut sorted, mut environment } in later {
            if let Some(mut observation) = sorted.observation.take() {
                // The page was closed when it was sorted, or it would have been drafted then.
                if let Some((page, name)) = self.sorter.book.admit_environment(&sorted.project, &environment) {
                    sorted.page = Some(page);
                    environment = Arc::clone(&name);
                    observation.environment = name;
                }
                self.draft_observation(&sorted.project, sorted.page, observation);
            }
            self.admit_incident(sorted, environment, &rows);
        }
        rows
    }

    fn admit_incident(&mut self, sorted: Sorted<'_>, environment: Arc<str>, rows: &Rows) {
        let Some((fingerprint, record)) = sorted.incident else { return };
        let project = &*sorted.project;
        let Err(record) = self.incidents.draft_known(project, &fingerprint, record) else { return };
        let has_row = rows.get(&KeyRef(project, &fingerprint)).is_some_and(Option::is_some);
        let (fingerprint, record) = match record {
            Record::Event { index, occurrence }
                if !has_row && !self.sorter.book.admits_newcomer(project, sorted.received_at) =>
            {
                self.meters.overflowed.increment(1);
                let overflow = overflow_fingerprint(&environment);
                (Cow::Owned(overflow), Record::Overflow { index, occurrence, environment })
            }
            record => (fingerprint, record),
        };
        self.incidents.draft(project, &fingerprint, record);
    }

    async fn open_pages(&mut self, later: &[Later<'_>]) {
        let projects = later.iter().map(|Later { sorted, .. }| &*sorted.project);
        let unknown: BTreeSet<&str> = projects.filter(|project| !self.sorter.book.knows(project)).collect();
        if unknown.is_empty() {
            return;
        }
        let unknown: Vec<&str> = unknown.into_iter().collect();
        let limits = self.load_limits(&unknown).await;
        for project in unknown {
            self.sorter.book.open(project, limits.iter().find(|limits| limits.project_id == project));
        }
    }

    async fn load_limits(&self, projects: &[&str]) -> Vec<ProjectLimits> {
        let (topic, partition) = (&self.title.topic, self.title.partition);
        self.progress.enter(Step::Waking);
        let mut wait = Patience::default();
        loop {
            let loaded = match self.database.get().await {
                Ok(mut connection) => schema::limits::of_projects(&mut connection, topic, partition, projects)
                    .await
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match loaded {
                Ok(limits) => return limits,
                Err(error) => wait.after(&error, "cannot load the limits of projects, will try again").await,
            }
        }
    }

    /// The durable rows of these fingerprints.
    pub(super) async fn load(&self, keys: &[(&str, &str)]) -> Rows {
        if keys.is_empty() {
            return Rows::new();
        }
        let (projects, fingerprints): (Vec<&str>, Vec<&str>) = keys.iter().copied().unzip();
        self.progress.enter(Step::Waking);
        let mut wait = Patience::default();
        loop {
            match self.try_load(&projects, &fingerprints).await {
                Ok(found) => {
                    let key = |project: &str, fingerprint: &str| -> Key { (project.into(), fingerprint.into()) };
                    let mut rows: Rows = keys.iter().map(|(project, print)| (key(project, print), None)).collect();
                    rows.extend(found.into_iter().map(|row| (key(&row.project_id, &row.fingerprint), Some(row))));
                    return rows;
                }
                Err(error) => wait.after(&error, "cannot load incidents, will try again").await,
            }
        }
    }

    async fn try_load(&self, projects: &[&str], fingerprints: &[&str]) -> Result<Vec<IncidentSnapshot>, String> {
        failpoint::pass(Point::Wake).await.map_err(|struck| struck.to_string())?;
        let mut connection = self.database.get().await.map_err(|error| error.to_string())?;
        let loaded = schema::wake::newest_incidents(&mut connection, projects, fingerprints).await;
        loaded.map_err(|error| error.to_string())
    }

    /// What an earlier owner of the partition decided, before the first record is routed.
    pub(super) async fn recall(&mut self) {
        let (topic, partition, period) =
            (Arc::clone(&self.title.topic), self.title.partition, self.config.quarantine.period);
        self.progress.enter(Step::Waking);
        let mut wait = Patience::default();
        loop {
            let recalled = match self.database.get().await {
                Ok(mut connection) => schema::quarantine::recall(&mut connection, &topic, partition, period)
                    .await
                    .map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match recalled {
                Ok(recalled) => return self.sorter.quarantine.recall(recalled),
                Err(error) => wait.after(&error, "cannot load the quarantines, will try again").await,
            }
        }
    }
}
