//! The AiSummarizer: one life after the other, one job after the other.
//!
//! Its life is a future that its pool keeps. It claims one job at a time, renews the lease while it works and gives the job
//! back with what went wrong. A panic ends the life and the attempt, nothing else: the next life begins by giving the job
//! back that the dead one left on its desk.

use super::desk::Desk;
use super::work::{Done, Tools};
use crate::metrics::AiMeters;
use schema::ai::{self, ClaimedJob, Retry};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// Signs of life in one lease.
const RENEWALS: u32 = 4;

/// One summarizer; its lives share it.
pub(super) struct AiSummarizer {
    /// Unique among all processes.
    pub name: String,
    pub tools: Tools,
    pub desk: Arc<Desk>,
    /// Wakes a summarizer when there may be jobs.
    pub wake: Arc<Notify>,
    /// True once the process ends.
    pub stop: watch::Receiver<bool>,
    pub meters: AiMeters,
}

impl AiSummarizer {
    /// Works until the process ends. `died_of`: what the life before died of.
    pub async fn live(&self, died_of: Option<String>) {
        let _seat = self.desk.sit_down();
        if let Some(job) = self.desk.left_behind() {
            let words = died_of.unwrap_or_else(|| "its summarizer died".to_owned());
            let wait = self.tools.config.wait_after(job.attempt_count, rand::random());
            self.give_back(&job, &format!("attempt {}: {words}", job.attempt_count), Retry::After(wait)).await;
        }
        let mut stop = self.stop.clone();
        // An error means that nobody can stop us any more: the pool is gone.
        while !*stop.borrow() {
            match self.claim().await {
                Some(job) => {
                    // Where one job is, others may be.
                    self.wake.notify_one();
                    self.take(job, &mut stop).await;
                }
                None => tokio::select! {
                    () = self.wake.notified() => {}
                    () = tokio::time::sleep(self.tools.config.poll) => {}
                    changed = stop.changed() => if changed.is_err() { return },
                },
            }
        }
    }

    async fn claim(&self) -> Option<ClaimedJob> {
        let mut connection = match self.tools.connection().await {
            Ok(connection) => connection,
            Err(error) => {
                tracing::warn!(%error, "no database connection to look for summaries to write");
                return None;
            }
        };
        match ai::claim(&mut connection, &self.name, self.tools.config.lease, 1).await {
            Ok(jobs) => jobs.into_iter().next(),
            Err(error) => {
                tracing::warn!(%error, "cannot look for summaries to write");
                None
            }
        }
    }

    /// Works on the job while the lease is renewed. If the process ends, another one gets the job at once.
    async fn take(&self, job: ClaimedJob, stop: &mut watch::Receiver<bool>) {
        self.desk.take(&job);
        let began = Instant::now();
        tokio::select! {
            done = self.tools.work(&job, &self.desk) => match done {
                Ok(done) => {
                    self.desk.put_down(None);
                    self.meters.done(done.as_str(), began.elapsed());
                }
                Err(error) => {
                    let retry = error.retry(&self.tools.config, job.attempt_count);
                    tracing::warn!(job = job.id, attempt = job.attempt_count, %error, ?retry, "a summary was not written");
                    self.give_back(&job, &error.to_string(), retry).await;
                }
            },
            () = self.hold(&job) => {
                tracing::warn!(job = job.id, claim = job.claims, "a summary's job is in other hands; its work is given up");
                self.desk.put_down(Some("the job was claimed by another worker"));
                self.meters.ended(Done::Lost.as_str());
            }
            _ = stop.wait_for(|is_stopping| *is_stopping) => {
                self.give_back(&job, "its worker ended in order", Retry::NotCounted(Duration::ZERO)).await;
            }
        }
    }

    /// Renews the lease again and again; returns when it is lost.
    async fn hold(&self, job: &ClaimedJob) {
        let lease = self.tools.config.lease;
        loop {
            tokio::time::sleep(lease / RENEWALS).await;
            let renewed = match self.tools.connection().await {
                Ok(mut connection) => ai::renew(&mut connection, job, lease).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            };
            match renewed {
                Ok(true) => {}
                Ok(false) => return,
                // The fence decides in the end; until then the work goes on.
                Err(error) => tracing::warn!(job = job.id, error, "cannot renew the lease of a summary's job"),
            }
        }
    }

    /// If the database does not take it, the lease ends by itself.
    async fn give_back(&self, job: &ClaimedJob, error: &str, retry: Retry) {
        self.desk.put_down(Some(error));
        let given = match self.tools.connection().await {
            Ok(mut connection) => {
                ai::give_back(&mut connection, job, error, retry).await.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match given {
            Ok(true) => self.meters.ended(outcome(retry, job)),
            Ok(false) => {
                tracing::warn!(job = job.id, claim = job.claims, "a job that is in other hands was not given back")
            }
            Err(error) => tracing::warn!(job = job.id, error, "cannot give a job back; its lease will end"),
        }
    }
}

/// What became of a claim that is given back, as the metrics call it.
fn outcome(retry: Retry, job: &ClaimedJob) -> &'static str {
    match retry {
        Retry::NotCounted(_) => "postponed",
        Retry::After(_) if job.attempt_count < job.max_attempts => "retried",
        Retry::After(_) | Retry::Never => "failed",
    }
}
