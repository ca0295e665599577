//! The actor: takes a flush, tries it until it is durable or refused for good.

use super::desk::{Desk, Entry};
use super::failure::Failure;
use super::lateness;
use super::messages::{Answer, Conviction, Cut, Flush, Refusal};
use super::retry::Patience;
use super::trial::{self, Refused, Rehearsal, Verdict};
use crate::config::Database;
use crate::dead_letter::DeadLetterWriter;
use crate::failpoint::{self, Point};
use crate::metrics::{FlushMeters, buried, samples_refused};
use crate::supervision::child::Ended;
use crate::supervision::chronicle::Alive;
use crate::supervision::panics;
use actix::{Actor, Context, Handler};
use futures_util::FutureExt;
use schema::flush::{FlushBatch, FlushError};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedSender;

/// Flushes that may wait; each partition has at most one.
pub(crate) const MAILBOX: usize = 1_024;

/// A refusal that may be for the content is believed the second time, and looked into again after so many more.
const TRIAL_EVERY: u32 = 16;
const FIRST_TRIAL: u32 = 2;

/// What a Flusher works with. All of it outlives the Flusher.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a database connection has no Debug")]
pub struct Tools {
    /// Where cuts go.
    pub database: Database,
    /// Where it shows what it is at.
    pub desk: Arc<Desk>,
    /// Told of commits that queued jobs.
    pub jobs_queued: Arc<Notify>,
}

/// Writes the cuts of all routers of this process, those of different partitions side by side.
#[expect(missing_debug_implementations, reason = "a database connection has no Debug")]
pub struct Flusher {
    work: Arc<Work>,
    desk: Arc<Desk>,
    deaths: UnboundedSender<Ended>,
    _alive: Alive,
}

/// What its tasks share.
struct Work {
    database: Database,
    dead_letters: DeadLetterWriter,
    meters: FlushMeters,
    jobs_queued: Arc<Notify>,
}

impl Flusher {
    /// Owns nothing but ways to the servers. Its death, and that of a flush in it, is told to `deaths`.
    pub fn new(tools: Tools, dead_letters: DeadLetterWriter, deaths: UnboundedSender<Ended>, alive: Alive) -> Self {
        let Tools { database, desk, jobs_queued } = tools;
        let work = Work { database, dead_letters, meters: FlushMeters::new(), jobs_queued };
        Self { work: Arc::new(work), desk, deaths, _alive: alive }
    }
}

impl Actor for Flusher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }

    fn stopped(&mut self, _: &mut Self::Context) {
        if std::thread::panicking() {
            // Without whoever keeps it alive there is nobody left to tell.
            let _ = self.deaths.send(Ended::panicked(panics::last_message()));
        }
    }
}

impl Handler<Flush> for Flusher {
    type Result = ();

    fn handle(&mut self, Flush { cut, mut reply }: Flush, _: &mut Self::Context) {
        let (work, deaths) = (Arc::clone(&self.work), self.deaths.clone());
        let entry = self.desk.take();
        // A task of its own: it outlives nothing, since a flush that nobody waits for stops at its next failure. If it
        // panics, the Flusher counts as dead and a new one takes the next flushes; those of other partitions go on.
        actix::spawn(async move {
            let done = tokio::select! {
                done = AssertUnwindSafe(work.flush(&cut, &entry)).catch_unwind() => done,
                () = reply.closed() => return,
            };
            let ended = match done {
                Ok(Ok(answer)) => {
                    entry.done(answer.is_ok());
                    // The router may have been revoked while this was written.
                    let _ = reply.send(answer);
                    return;
                }
                Ok(Err(ended)) => ended,
                Err(_) => Ended::panicked(panics::last_message()),
            };
            let _ = deaths.send(ended);
        });
    }
}

impl Work {
    /// First the letters, then the transaction that counts them: a crash in between repeats a letter, which its origin
    /// tells, and never loses one.
    async fn flush(&self, cut: &Cut, entry: &Entry) -> Result<Answer, Ended> {
        let began = Instant::now();
        let letters = cut.letters_to_send();
        self.dead_letters.send(letters).await?;
        buried(letters);
        cut.note_letters_sent();
        let done = self.commit(cut, entry).await;
        if let Err(Refusal::Fence(_)) = &done {
            self.meters.refused.increment(1);
        }
        if done.is_ok() {
            self.meters.note(&cut.batch, cut.measures.records, began.elapsed());
            if !cut.batch.opened.is_empty() {
                self.jobs_queued.notify_one();
            }
            for (received_at, records) in &cut.measures.arrivals {
                self.meters.note_durable(lateness::since(*received_at), *records);
            }
        }
        Ok(done)
    }

    /// Tries the same batch again until the database has it or the fence refuses it: a later flush can never overtake a
    /// failed one. If the database refuses it again and again for what seems to be its content, it is put on trial.
    async fn commit(&self, cut: &Cut, entry: &Entry) -> Answer {
        let mut wait = Patience::default();
        let mut cleaned = None;
        let mut suspicions: u32 = 0;
        loop {
            let failure = match self.try_commit(cleaned.as_deref().unwrap_or(&cut.batch)).await {
                Ok(answer) => return answer,
                Err(failure) => failure,
            };
            let words = failure.to_string();
            entry.failed(&words);
            self.meters.retries.increment(1);
            if failure.is_suspicious() {
                suspicions = suspicions.saturating_add(1);
                if suspicions % TRIAL_EVERY == FIRST_TRIAL {
                    match self.hold_trial(&cut.batch).await {
                        Verdict::Cleaned(batch, convictions) => {
                            self.tell(&convictions, "a sample is kept without its words");
                            samples_refused().increment(u64::try_from(convictions.len()).unwrap_or(u64::MAX));
                            cleaned = Some(batch);
                            continue;
                        }
                        Verdict::Guilty(convictions) => {
                            self.tell(&convictions, "records are dead letters");
                            return Err(Refusal::Content(convictions));
                        }
                        Verdict::NobodyIsGuilty => {}
                    }
                }
            }
            wait.after(&words, "a flush failed, will try again").await;
        }
    }

    fn tell(&self, convictions: &[Conviction], what: &'static str) {
        for Conviction { project, fingerprint, from_offset, to_offset, reason } in convictions {
            tracing::error!(project, fingerprint, from_offset, to_offset, reason, "{what}");
        }
    }

    /// An error is one after which the same batch may be tried again.
    async fn try_commit(&self, batch: &FlushBatch) -> Result<Answer, Failure> {
        failpoint::pass(Point::FlushBeforeCommit).await?;
        let mut connection = self.database.get().await.map_err(|error| Failure::Away(error.to_string()))?;
        let answer = match schema::flush::commit(&mut connection, batch).await {
            Err(FlushError::Database(error)) => return Err(Failure::Refused(error)),
            answer => answer.map_err(Refusal::from),
        };
        failpoint::pass(Point::FlushAfterCommit).await?;
        Ok(answer)
    }

    async fn hold_trial(&self, batch: &FlushBatch) -> Verdict {
        let Ok(mut connection) = self.database.get().await else { return Verdict::NobodyIsGuilty };
        trial::hold(batch, async |part| {
            let refused = match schema::flush::rehearse(&mut connection, part).await {
                Ok(()) => return Rehearsal::Passes,
                Err(FlushError::Database(error)) => Failure::Refused(error),
                Err(FlushError::StaleTenure { .. }) => return Rehearsal::Away,
            };
            if !refused.is_suspicious() {
                return Rehearsal::Away;
            }
            Rehearsal::Fails(Refused { words: refused.to_string(), is_constraint: refused.is_constraint() })
        })
        .await
    }
}
