//! The way in: at most a few days are open for writing, one batch at a time, and what was stored is on disk.

use super::day::{Day, Ids};
use super::layout::{DocumentId, Layout};
use super::shelf::Shelf;
use super::trouble::{Trouble, guarded};
use chrono::NaiveDate;
use schema::search::{IndexedEvent, ItemOutcome};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::sync::Arc;
use tantivy::IndexWriter;
use tantivy::indexer::{IndexWriterOptions, LogMergePolicy};

/// Days open for writing at the same time: today, yesterday around midnight, and one of a replay.
const MOST_OPEN: usize = 3;
/// Bytes of terms that a writer gathers before it writes a segment out.
const HEAP_BYTES: usize = 32 * 1_024 * 1_024;
/// Segments beyond which a batch waits for the merges under way.
const MOST_SEGMENTS: usize = 64;
/// Documents above which a segment is not merged any more: so no merge takes for ever or doubles a whole day on disk.
const MOST_MERGED_DOCS: usize = 1_000_000;

/// The open writers, the one used last at the end.
#[derive(Default)]
pub(super) struct Writers {
    open: Vec<(Arc<Day>, IndexWriter)>,
}

impl Writers {
    /// Stores each event in its day's index. What a day refused as a whole is to be sent again.
    pub(super) fn store(&mut self, shelf: &Shelf, events: &[IndexedEvent]) -> Vec<ItemOutcome> {
        let mut by_day: BTreeMap<NaiveDate, Vec<(usize, &IndexedEvent)>> = BTreeMap::new();
        for (place, event) in events.iter().enumerate() {
            by_day.entry(event.received_at.date_naive()).or_default().push((place, event));
        }
        let mut outcomes: Vec<_> = events.iter().map(|_| ItemOutcome::Stored).collect();
        for (date, of_day) in by_day {
            let stored = guarded(|| self.store_day(shelf, date, &of_day)).unwrap_or_else(|error| {
                // What it holds unfinished goes with it.
                self.close(date);
                tracing::warn!(%date, %error, "a batch was not stored in the search index");
                vec![ItemOutcome::Retry(error.to_string()); of_day.len()]
            });
            for ((place, _), outcome) in of_day.into_iter().zip(stored) {
                if let Some(slot) = outcomes.get_mut(place) {
                    *slot = outcome;
                }
            }
        }
        outcomes
    }

    /// Ends the day's writer; what it has not committed is forgotten.
    pub(super) fn close(&mut self, date: NaiveDate) {
        self.open.retain(|(open, _)| open.date != date);
    }

    /// Ends the writers of the days before `oldest`.
    pub(super) fn close_before(&mut self, oldest: NaiveDate) {
        self.open.retain(|(open, _)| open.date >= oldest);
    }

    fn store_day(
        &mut self,
        shelf: &Shelf,
        date: NaiveDate,
        events: &[(usize, &IndexedEvent)],
    ) -> Result<Vec<ItemOutcome>, Trouble> {
        let day = shelf.for_writing(date)?;
        // A commit whose reload failed closed its writer: what it holds must be known before anything is added.
        if !self.open.iter().any(|(open, _)| Arc::ptr_eq(open, &day)) {
            day.reload()?;
        }
        // So everything committed is visible to this: each commit below is followed by a reload.
        let searcher = day.searcher();
        let known = Ids::of(&searcher, &shelf.layout)?;
        let writer = self.writer(&day)?;
        let outcomes = add(writer, &shelf.layout, &known, events)?;
        if outcomes.contains(&ItemOutcome::Stored) {
            writer.commit()?;
            // The commit's last step renames a file: only now is that on disk, too.
            File::open(&day.folder)?.sync_all()?;
            day.reload()?;
        }
        if day.searcher().segment_readers().len() > MOST_SEGMENTS {
            self.finish_merges(date)?;
            day.reload()?;
        }
        Ok(outcomes)
    }

    fn writer(&mut self, day: &Arc<Day>) -> Result<&mut IndexWriter, Trouble> {
        // A day whose folder was taken away and made anew is another one.
        let open = self.open.iter().position(|(open, _)| Arc::ptr_eq(open, day)).map(|place| self.open.remove(place));
        let writer = match open {
            Some((_, writer)) => writer,
            None => {
                self.close(day.date);
                let surplus = (self.open.len() + 1).saturating_sub(MOST_OPEN);
                self.open.drain(..surplus);
                start(day)?
            }
        };
        self.open.push((Arc::clone(day), writer));
        let last = self.open.last_mut().map(|(_, writer)| writer);
        last.ok_or_else(|| Trouble::Unusable("no writer is open".to_owned()))
    }

    /// Closes the writer once its merges are done.
    fn finish_merges(&mut self, date: NaiveDate) -> Result<(), Trouble> {
        if let Some(place) = self.open.iter().position(|(open, _)| open.date == date) {
            self.open.remove(place).1.wait_merging_threads()?;
        }
        Ok(())
    }
}

fn start(day: &Day) -> Result<IndexWriter, Trouble> {
    let options = IndexWriterOptions::builder()
        .num_worker_threads(1)
        .memory_budget_per_thread(HEAP_BYTES)
        .num_merge_threads(1)
        .build();
    // The lock of a process that was killed ended with it.
    let writer = day.index.writer_with_options(options)?;
    let mut policy = LogMergePolicy::default();
    policy.set_max_docs_before_merge(MOST_MERGED_DOCS);
    writer.set_merge_policy(Box::new(policy));
    Ok(writer)
}

/// Hands over the events that are not there yet.
fn add(
    writer: &IndexWriter,
    layout: &Layout,
    known: &Ids,
    events: &[(usize, &IndexedEvent)],
) -> Result<Vec<ItemOutcome>, Trouble> {
    let mut of_batch = HashSet::new();
    let mut outcomes = Vec::with_capacity(events.len());
    for (_, event) in events {
        let id = DocumentId::parse(&event.id())
            .ok_or_else(|| Trouble::Unusable("a document's id is not 32 hex digits".to_owned()))?;
        if of_batch.contains(&id) || known.contain(layout, id)? {
            outcomes.push(ItemOutcome::AlreadyThere);
            continue;
        }
        outcomes.push(match layout.document(id, event) {
            Ok(document) => {
                writer.add_document(document)?;
                of_batch.insert(id);
                ItemOutcome::Stored
            }
            Err(error) => ItemOutcome::Refused(error.to_string()),
        });
    }
    Ok(outcomes)
}
