//! The actor: takes a flush, tries it until it is durable or refused for good.

use super::desk::{Desk, Entry};
use super::lateness;
use super::messages::Flush;
use super::retry::Patience;
use crate::config::Database;
use crate::dead_letter::DeadLetterProducer;
use crate::metrics::{FlushMeters, buried};
use crate::supervision::chronicle::Alive;
use actix::{Actor, Context, Handler};
use schema::flush::{Committed, FlushBatch, FlushError};
use std::sync::Arc;
use std::time::Instant;

/// Flushes that may wait; each partition has at most one.
pub(crate) const MAILBOX: usize = 1_024;

/// Writes the cuts of all routers of this process, those of different partitions side by side.
#[expect(missing_debug_implementations, reason = "a database connection has no Debug")]
pub struct Flusher {
    database: Database,
    dead_letters: DeadLetterProducer,
    meters: FlushMeters,
    desk: Arc<Desk>,
    _alive: Alive,
}

impl Flusher {
    /// Owns nothing but ways to the servers. What it is at shows on `desk`.
    pub fn new(database: Database, dead_letters: DeadLetterProducer, desk: Arc<Desk>, alive: Alive) -> Self {
        Self { database, dead_letters, meters: FlushMeters::new(), desk, _alive: alive }
    }
}

impl Actor for Flusher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.set_mailbox_capacity(MAILBOX);
    }
}

impl Handler<Flush> for Flusher {
    type Result = ();

    fn handle(&mut self, flush: Flush, _: &mut Self::Context) {
        let (database, dead_letters, meters) = (self.database.clone(), self.dead_letters.clone(), self.meters.clone());
        let entry = self.desk.take();
        // A task of its own: it outlives nothing, since a flush that nobody waits for stops at its next failure.
        actix::spawn(async move {
            let Flush { batch, measures, dead_letters: dead, mut reply } = flush;
            let began = Instant::now();
            let done = tokio::select! {
                done = async {
                    // First the letters, then the transaction that counts them: a crash in between repeats a letter,
                    // which its origin tells, and never loses one.
                    dead_letters.send(&dead).await;
                    buried(&dead);
                    commit(&database, &batch, &Watchers { meters: &meters, entry: &entry }).await
                } => done,
                () = reply.closed() => return,
            };
            entry.done(done.is_ok());
            meters.note(&batch, measures.records, began.elapsed(), &done);
            if done.is_ok() {
                for (received_at, records) in &measures.arrivals {
                    meters.note_durable(lateness::since(*received_at), *records);
                }
            }
            // The router may have been revoked while this was written.
            let _ = reply.send(done);
        });
    }
}

/// Who is told of each failure.
struct Watchers<'a> {
    meters: &'a FlushMeters,
    entry: &'a Entry,
}

/// Tries the same batch again until the database has it or the fence refuses it: a later flush can never overtake a
/// failed one.
async fn commit(database: &Database, batch: &FlushBatch, watchers: &Watchers<'_>) -> Result<Committed, FlushError> {
    let mut wait = Patience::default();
    loop {
        let failed = match database.get().await {
            Ok(mut connection) => match schema::flush::commit(&mut connection, batch).await {
                Err(FlushError::Database(error)) => error.to_string(),
                done => return done,
            },
            Err(error) => error.to_string(),
        };
        watchers.entry.failed(&failed);
        watchers.meters.retries.increment(1);
        wait.after(&failed, "a flush failed, will try again").await;
    }
}
