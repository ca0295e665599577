//! The index of all events inside the process, on tantivy: a folder a day, so that retention is a folder's deletion.
//!
//! A batch is one commit: what is stored is on disk and visible. A process that is killed leaves the last commit of each
//! day. Memory is bounded: a few writers with a bounded heap each, the rest is mapped files. Nothing here blocks the
//! caller's thread, and a search ends at its deadline.

mod day;
mod layout;
mod question;
mod scan;
mod shelf;
mod tally;
mod trouble;
mod writers;

use async_trait::async_trait;
use chrono::NaiveDate;
use layout::DocumentId;
use question::Question;
use schema::search::{IndexedEvent, ItemOutcome, SearchAnswer, SearchError, SearchIndex, SearchRequest, SortKey};
use shelf::Shelf;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tally::{Found, Tally};
use tantivy::Searcher;
use tokio::sync::Semaphore;
use trouble::{Trouble, guarded};
use writers::Writers;

/// Searches at the same time; more wait.
const MOST_SEARCHES: usize = 4;
/// How long a search may take, its waiting included.
const WITHIN: Duration = Duration::from_secs(10);

/// The index in a folder. Clones are the same index.
#[derive(Clone)]
pub struct Tantivy {
    inner: Arc<Inner>,
    within: Duration,
}

struct Inner {
    shelf: Shelf,
    writers: Mutex<Writers>,
    searches: Arc<Semaphore>,
    /// Held as long as this value lives; the lock of a process that was killed ends with it.
    _lock: File,
}

/// Events are their tenants' own: the folder lets in nobody but its owner.
fn closed_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o700))
}

impl std::fmt::Debug for Tantivy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tantivy").field("within", &self.within).finish_non_exhaustive()
    }
}

impl Tantivy {
    /// Opens the index in `folder`, or makes it. A day that is damaged is told in the log and left out.
    ///
    /// # Errors
    /// `Unavailable` if the folder cannot be read or written, or another process has it open.
    pub fn open(folder: &Path) -> Result<Self, SearchError> {
        let unavailable = |error: String| SearchError::Unavailable(format!("{}: {error}", folder.display()));
        closed_folder(folder).map_err(|error| unavailable(error.to_string()))?;
        let lock = File::create(folder.join(".lock")).map_err(|error| unavailable(error.to_string()))?;
        lock.try_lock().map_err(|error| unavailable(format!("it is in use by another process ({error})")))?;
        let shelf = Shelf::open(folder).map_err(|error| unavailable(error.to_string()))?;
        let searches = Arc::new(Semaphore::new(MOST_SEARCHES));
        let inner = Inner { shelf, writers: Mutex::default(), searches, _lock: lock };
        Ok(Self { inner: Arc::new(inner), within: WITHIN })
    }

    /// The same index, whose searches may take so long (10 s if nothing is said).
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// Does `work` on a thread that may block.
    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, SearchError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || guarded(|| work(&inner))).await;
        Ok(done.map_err(|error| SearchError::Unavailable(error.to_string()))??)
    }

    /// The same for a question: few at a time, until its deadline.
    async fn asking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner, Instant) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, SearchError> {
        let deadline = Instant::now() + self.within;
        let permit = tokio::time::timeout(self.within, Arc::clone(&self.inner.searches).acquire_owned()).await;
        let permit = permit.map_err(|_| SearchError::from(Trouble::Late))?;
        self.blocking(move |inner| {
            // Held until the work is done, even if nobody waits for it any more.
            let _permit = permit;
            work(inner, deadline)
        })
        .await
    }
}

#[async_trait]
impl SearchIndex for Tantivy {
    fn name(&self) -> &'static str {
        "tantivy"
    }

    async fn prepare(&self) -> Result<(), SearchError> {
        self.ping().await
    }

    async fn store(&self, events: &[IndexedEvent]) -> Result<Vec<ItemOutcome>, SearchError> {
        let events = events.to_vec();
        self.blocking(move |inner| Ok(inner.writers().store(&inner.shelf, &events))).await
    }

    async fn refresh(&self) -> Result<(), SearchError> {
        // What is stored is visible.
        Ok(())
    }

    async fn search(&self, request: &SearchRequest) -> Result<SearchAnswer, SearchError> {
        let request = request.clone();
        self.asking(move |inner, deadline| inner.search(&request, deadline)).await
    }

    async fn event(&self, projects: &[String], id: &str) -> Result<Option<IndexedEvent>, SearchError> {
        let Some(id) = DocumentId::parse(id) else { return Ok(None) };
        let projects = projects.to_vec();
        let found = self.asking(move |inner, _| inner.find(id)).await?;
        Ok(found.filter(|event| projects.contains(&event.project_id)))
    }

    async fn drop_days_before(&self, oldest: NaiveDate) -> Result<Vec<NaiveDate>, SearchError> {
        self.blocking(move |inner| {
            let mut writers = inner.writers();
            writers.close_before(oldest);
            inner.shelf.drop_before(oldest)
        })
        .await
    }

    async fn ping(&self) -> Result<(), SearchError> {
        self.blocking(|inner| inner.shelf.ping()).await
    }
}

impl Inner {
    fn writers(&self) -> std::sync::MutexGuard<'_, Writers> {
        // A batch that panicked has closed its writer.
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest day that holds it wins. One that no day holds may lie in a day that cannot be read: then nobody knows.
    fn find(&self, id: DocumentId) -> Result<Option<IndexedEvent>, Trouble> {
        let (days, damaged) = self.shelf.days();
        let mut unread = damaged.first().map(|date| Trouble::Unusable(format!("the day {date} is damaged")));
        for day in days {
            match guarded(|| day.find(&self.shelf.layout, id)) {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                Err(error) => {
                    tell(day.date, &error);
                    unread = Some(error);
                }
            }
        }
        unread.map_or(Ok(None), Err)
    }

    /// A day that cannot be read is left out as a whole, so that counts, hits and pages are of the same days.
    fn search(&self, request: &SearchRequest, deadline: Instant) -> Result<SearchAnswer, Trouble> {
        let question = Question::new(&self.shelf.layout, request, deadline)?;
        let (mut days, mut missing_days) = self.shelf.days();
        loop {
            match self.look(&question, &days) {
                Ok(answer) => return Ok(SearchAnswer { missing_days, ..answer }),
                Err((place, error)) if place < days.len() && !matches!(error, Trouble::Late) => {
                    let day = days.remove(place);
                    tell(day.date, &error);
                    missing_days.push(day.date);
                }
                Err((_, error)) => return Err(error),
            }
        }
    }

    /// # Errors
    /// The place of the day that cannot be read, and why.
    fn look(&self, question: &Question, days: &[Arc<day::Day>]) -> Result<SearchAnswer, (usize, Trouble)> {
        let mut tally = Tally::new(question.take);
        let mut searchers = Vec::with_capacity(days.len());
        for (place, day) in days.iter().enumerate() {
            let searcher = day.searcher();
            tally.add(guarded(|| scan::day(question, place, &searcher)).map_err(|error| (place, error))?);
            searchers.push(searcher);
        }
        let mut hits = Vec::new();
        for found in tally.page(question.skip) {
            hits.push(guarded(|| self.hit(&searchers, found)).map_err(|error| (found.day, error))?);
        }
        Ok(SearchAnswer {
            hits,
            total: tally.total,
            facets: tally.facets(question.facet_size),
            histogram: tally.histogram(question.interval),
            span: tally.span(),
            missing_days: Vec::new(),
        })
    }

    fn hit(&self, searchers: &[Searcher], found: Found) -> Result<(SortKey, IndexedEvent), Trouble> {
        let searcher = searchers.get(found.day).ok_or_else(|| Trouble::Unusable("a hit of no day".to_owned()))?;
        let event = day::read(&self.shelf.layout, searcher, found.address)?;
        Ok((SortKey { occurred_at: event.occurred_at, id: found.rank.id.to_string() }, event))
    }
}

/// The rest goes on without that day.
fn tell(date: NaiveDate, error: &Trouble) {
    tracing::error!(%date, %error, "a day of the search index cannot be read; move its folder away");
}
