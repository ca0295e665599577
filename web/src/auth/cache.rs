//! What is known of keys: those that are good, and for a moment those that are not.

use super::Principal;
use crate::metrics::key_lookups;
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use moka::sync::Cache as Memory;
use schema::database::Database;
use schema::instrument::Counter;
use schema::keys::{ApiKey, KeyDigest, find_by_hashes, hex_digest, touch};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// So often all known keys are read again.
pub(super) const REFRESH: Duration = Duration::from_millis(1_500);
/// The database gets so long for an answer. With [`REFRESH`] it stays below the promised 5 s.
pub(super) const PATIENCE: Duration = Duration::from_millis(1_500);
/// So old may what is known of a key be while the database answers.
const TRUSTED: Duration = Duration::from_millis(4_000);
/// So old may it be while the database does not answer. A key that nobody used so long is forgotten.
pub(super) const OUTAGE_GRACE: Duration = Duration::from_secs(15 * 60);
/// An outage is over if nothing failed for so long.
const OUTAGE: Duration = Duration::from_secs(5);
/// A refused key is not looked up again for so long; a new key is good after this at the latest.
const REFUSED_FOR: Duration = Duration::from_secs(2);
/// Good keys in memory.
const MOST_KNOWN: u64 = 10_000;
/// Refused keys in memory: whoever tries keys at random must not fill it.
const MOST_REFUSED: u64 = 10_000;
/// Keys that are looked up at once: whoever tries keys at random must not take all connections.
const LOOKUPS: usize = 4;

/// What can be said of a key.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    Known(Arc<Principal>),
    Refused(Refusal),
}

/// Why a key is worth nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Unknown,
    Revoked,
}

/// A good key.
#[derive(Debug)]
struct Known {
    principal: Arc<Principal>,
    /// Milliseconds after [`Cache::started`].
    verified_at: AtomicU64,
    used: AtomicBool,
}

/// See the module's text.
pub(super) struct Cache {
    database: Database,
    started: Instant,
    known: Memory<KeyDigest, Arc<Known>>,
    refused: Memory<KeyDigest, Refusal>,
    lookups: Semaphore,
    /// Milliseconds after [`Cache::started`]; 0 is never.
    failed_at: AtomicU64,
    meters: Lookups,
}

/// Keys checked, by where the answer came from.
struct Lookups {
    memory: Counter,
    database: Counter,
    nowhere: Counter,
}

/// The database did not answer, and why.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    #[error("no connection: {0}")]
    Connection(String),
    #[error("{0}")]
    Query(#[from] diesel::result::Error),
    #[error("it took longer than {PATIENCE:?}")]
    Late,
}

impl Cache {
    pub(super) fn new(database: Database) -> Self {
        Self {
            database,
            started: Instant::now(),
            known: Memory::builder().max_capacity(MOST_KNOWN).time_to_idle(OUTAGE_GRACE).build(),
            refused: Memory::builder().max_capacity(MOST_REFUSED).time_to_live(REFUSED_FOR).build(),
            lookups: Semaphore::new(LOOKUPS),
            failed_at: AtomicU64::new(0),
            meters: Lookups {
                memory: key_lookups("memory"),
                database: key_lookups("database"),
                nowhere: key_lookups("nowhere"),
            },
        }
    }

    /// What can be said of the key; nothing if it is not known here and the database does not answer.
    pub(super) async fn find(&self, digest: KeyDigest) -> Option<Verdict> {
        if let Some(verdict) = self.remembered(&digest) {
            self.meters.memory.increment(1);
            return Some(verdict);
        }
        // Rare, and large: it must not make every request's future as large.
        let verdict = Box::pin(self.look_up(digest)).await;
        let source = if verdict.is_some() { &self.meters.database } else { &self.meters.nowhere };
        source.increment(1);
        verdict
    }

    fn remembered(&self, digest: &KeyDigest) -> Option<Verdict> {
        if let Some(known) = self.known.get(digest) {
            let age = self.now().saturating_sub(known.verified_at.load(Ordering::Acquire));
            let allowed = if self.outage() { OUTAGE_GRACE } else { TRUSTED };
            if age > millis(allowed) {
                return None;
            }
            if !known.used.load(Ordering::Relaxed) {
                known.used.store(true, Ordering::Relaxed);
            }
            return Some(Verdict::Known(Arc::clone(&known.principal)));
        }
        self.refused.get(digest).map(Verdict::Refused)
    }

    async fn look_up(&self, digest: KeyDigest) -> Option<Verdict> {
        let answer = timeout(2 * PATIENCE, async {
            let _permit = self.lookups.acquire().await.ok()?;
            // Whoever held the permit before may have asked for the same key.
            match self.remembered(&digest) {
                Some(verdict) => Some(verdict),
                None => self.ask(digest).await,
            }
        });
        match answer.await {
            Ok(Some(verdict)) => Some(verdict),
            Ok(None) | Err(_) => self.remembered(&digest),
        }
    }

    async fn ask(&self, digest: KeyDigest) -> Option<Verdict> {
        let asked_at = self.now();
        match self.read(&[digest]).await {
            Ok(mut found) => {
                let verdict = judge(found.pop());
                self.remember(digest, &verdict, asked_at, None);
                Some(verdict)
            }
            Err(error) => {
                tracing::warn!(%error, "the database does not answer for an API key");
                None
            }
        }
    }

    /// Reads all good keys again. Those that are good no longer are refused from now on.
    ///
    /// # Errors
    /// [`Unanswered`]; then what was known stays as it was, for a bounded time.
    pub(super) async fn refresh(&self) -> Result<(), Unanswered> {
        let known: Vec<(KeyDigest, Arc<Known>)> = self.known.iter().map(|(digest, known)| (*digest, known)).collect();
        if known.is_empty() {
            return Ok(());
        }
        let digests: Vec<KeyDigest> = known.iter().map(|(digest, _)| *digest).collect();
        let asked_at = self.now();
        let mut found: HashMap<String, ApiKey> =
            self.read(&digests).await?.into_iter().map(|key| (key.key_hash.clone(), key)).collect();
        let mut last_words = Vec::new();
        for (digest, before) in known {
            let verdict = judge(found.remove(&hex_digest(&digest)));
            self.remember(digest, &verdict, asked_at, Some(&before));
            // It is forgotten here: that it was used just before it was revoked is worth knowing.
            if matches!(verdict, Verdict::Refused(_)) && before.used.swap(false, Ordering::Relaxed) {
                last_words.push(before.principal.key_id.clone());
            }
        }
        if last_words.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = last_words.iter().map(String::as_str).collect();
        self.bounded(async |connection| touch(connection, &ids).await).await
    }

    /// Notes in the database which keys were used since the last time.
    ///
    /// # Errors
    /// [`Unanswered`]; then the same keys are noted the next time.
    pub(super) async fn note_used(&self) -> Result<(), Unanswered> {
        let used: Vec<Arc<Known>> = self
            .known
            .iter()
            .map(|(_, known)| known)
            .filter(|known| known.used.swap(false, Ordering::Relaxed))
            .collect();
        if used.is_empty() {
            return Ok(());
        }
        let ids: Vec<&str> = used.iter().map(|known| known.principal.key_id.as_str()).collect();
        let noted = self.bounded(async |connection| touch(connection, &ids).await).await;
        if noted.is_err() {
            used.iter().for_each(|known| known.used.store(true, Ordering::Relaxed));
        }
        noted
    }

    async fn read(&self, digests: &[KeyDigest]) -> Result<Vec<ApiKey>, Unanswered> {
        let hashes: Vec<String> = digests.iter().map(hex_digest).collect();
        let hashes: Vec<&str> = hashes.iter().map(String::as_str).collect();
        self.bounded(async |connection| find_by_hashes(connection, &hashes).await).await
    }

    async fn bounded<T>(
        &self,
        query: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<T>,
    ) -> Result<T, Unanswered> {
        let answer = timeout(PATIENCE, async {
            let mut connection =
                self.database.get().await.map_err(|error| Unanswered::Connection(error.to_string()))?;
            query(&mut connection).await.map_err(Unanswered::from)
        });
        let answer = answer.await.unwrap_or(Err(Unanswered::Late));
        if answer.is_err() {
            self.failed_at.store(self.now().max(1), Ordering::Release);
        }
        answer
    }

    /// `before` is what is remembered now. (The memory itself is not asked: that would count as a use of the key.)
    fn remember(&self, digest: KeyDigest, verdict: &Verdict, asked_at: u64, before: Option<&Known>) {
        match (verdict, before) {
            (Verdict::Refused(refusal), _) => {
                self.refused.insert(digest, *refusal);
                self.known.invalidate(&digest);
            }
            (Verdict::Known(principal), Some(before)) if *principal == before.principal => {
                before.verified_at.store(asked_at, Ordering::Release);
            }
            (Verdict::Known(principal), before) => {
                let known = Known {
                    principal: Arc::clone(principal),
                    verified_at: AtomicU64::new(asked_at),
                    used: AtomicBool::new(before.is_none_or(|before| before.used.load(Ordering::Relaxed))),
                };
                self.known.insert(digest, Arc::new(known));
            }
        }
    }

    fn outage(&self) -> bool {
        let failed_at = self.failed_at.load(Ordering::Acquire);
        failed_at > 0 && self.now().saturating_sub(failed_at) < millis(OUTAGE)
    }

    fn now(&self) -> u64 {
        millis(self.started.elapsed())
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").field("known", &self.known.entry_count()).finish_non_exhaustive()
    }
}

/// What the database's row says of a key.
fn judge(row: Option<ApiKey>) -> Verdict {
    match row {
        None => Verdict::Refused(Refusal::Unknown),
        Some(key) if key.revoked_at.is_some() => Verdict::Refused(Refusal::Revoked),
        Some(key) => Verdict::Known(Arc::new(Principal {
            key_id: key.id,
            org_id: key.org_id,
            project_id: key.project_id,
            scopes: key.scopes,
        })),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
