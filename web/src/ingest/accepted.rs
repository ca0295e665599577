//! Ingest's own count of what the log acknowledged (G6), durable without a second write per request: counted in memory,
//! reported to the database about once a second and once more at the end.
//!
//! What a kill -9 can take away is the report of the last second, never an event; the ledger then shows that process as not
//! closed.

use schema::database::Database;
use schema::ledger::Report;
use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};

/// Between two reports.
const EVERY: Duration = Duration::from_secs(1);
/// How long the last report may take.
const LAST: Duration = Duration::from_secs(4);

/// The counts of this process. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Accepted {
    projects: Arc<RwLock<HashMap<Box<str>, Arc<AtomicI64>>>>,
}

impl Accepted {
    /// The count of one project, to be raised by what the log acknowledges.
    pub fn of(&self, project_id: &str) -> Arc<AtomicI64> {
        let known = self.projects.read().unwrap_or_else(PoisonError::into_inner).get(project_id).cloned();
        known.unwrap_or_else(|| {
            let mut projects = self.projects.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(projects.entry(project_id.into()).or_default())
        })
    }

    fn reports(&self) -> Vec<Report> {
        let projects = self.projects.read().unwrap_or_else(PoisonError::into_inner);
        let reports = projects.iter().map(|(project, count)| Report {
            project_id: project.to_string(),
            accepted: count.load(Ordering::Relaxed),
        });
        reports.collect()
    }
}

/// The task that reports. Dropping it is like a crash: the last second stays unreported.
#[derive(Debug)]
pub struct Reporter {
    end: Arc<Notify>,
    ended: oneshot::Receiver<()>,
}

impl Reporter {
    /// Reports `accepted` under a new instance id until it is told to end.
    pub fn start(accepted: Accepted, database: Database) -> Self {
        let end = Arc::new(Notify::new());
        let (done, ended) = oneshot::channel();
        let told = Arc::clone(&end);
        actix_web::rt::spawn(async move {
            run(&accepted, &database, &told).await;
            // Whoever started this may be gone already.
            let _ = done.send(());
        });
        Self { end, ended }
    }

    /// The last report. To be called when no request is under way any more.
    pub async fn stop(self) {
        self.end.notify_one();
        if tokio::time::timeout(LAST, self.ended).await.is_err() {
            tracing::warn!("the last report of accepted events could not be written");
        }
    }
}

async fn run(accepted: &Accepted, database: &Database, end: &Notify) {
    let instance = ulid::Ulid::generate().to_string();
    let mut written: Vec<Report> = Vec::new();
    let mut is_failing = false;
    loop {
        let is_last = tokio::select! {
            () = end.notified() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        let reports = accepted.reports();
        if reports.is_empty() || (reports == written && !is_last) {
            if is_last {
                return;
            }
            continue;
        }
        match write(database, &instance, &reports, is_last).await {
            Ok(()) => (written, is_failing) = (reports, false),
            Err(error) => {
                if !is_failing {
                    tracing::warn!(error, "the accepted events could not be reported, will try again");
                }
                is_failing = true;
                if is_last {
                    end.notify_one();
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            }
        }
        if is_last {
            return;
        }
    }
}

async fn write(database: &Database, instance: &str, reports: &[Report], is_last: bool) -> Result<(), String> {
    let mut connection = database.get().await.map_err(|error| error.to_string())?;
    schema::ledger::report(&mut connection, instance, reports, is_last).await.map_err(|error| error.to_string())
}
