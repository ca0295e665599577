//! What has been counted and found so far; days are added up.

use super::layout::DocumentId;
use chrono::{DateTime, Utc};
use schema::search::{Bar, Facet, FacetCount};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use tantivy::DocAddress;

/// An event's place in the sort order; the smaller, the earlier it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    occurred_at: Reverse<i64>,
    pub(super) id: DocumentId,
}

impl Rank {
    pub(super) fn new(occurred_at: i64, id: DocumentId) -> Self {
        Self { occurred_at: Reverse(occurred_at), id }
    }
}

/// Where a hit lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Found {
    pub(super) rank: Rank,
    /// Which of the days that are asked.
    pub(super) day: usize,
    pub(super) address: DocAddress,
}

/// The first hits in the sort order, at most so many.
#[derive(Debug)]
pub(super) struct First {
    most: usize,
    /// The last of them on top.
    heap: BinaryHeap<Found>,
}

impl First {
    fn new(most: usize) -> Self {
        Self { most, heap: BinaryHeap::new() }
    }

    /// Whether an event of that time could be among them; so that its id need not be read in vain.
    pub(super) fn is_open_for(&self, occurred_at: i64) -> bool {
        let last = self.heap.peek().filter(|_| self.heap.len() >= self.most);
        self.most > 0 && last.is_none_or(|last| occurred_at >= last.rank.occurred_at.0)
    }

    pub(super) fn offer(&mut self, found: Found) {
        if self.heap.len() < self.most {
            self.heap.push(found);
        } else if let Some(mut last) = self.heap.peek_mut()
            && found < *last
        {
            *last = found;
        }
    }
}

/// Counts, and the first hits.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) total: u64,
    /// Microseconds of the oldest and the newest hit.
    span: Option<(i64, i64)>,
    /// In the order of [`Facet::ALL`].
    pub(super) facets: [HashMap<String, u64>; 5],
    /// By the bar's number: its beginning through the interval.
    bars: HashMap<i64, u64>,
    /// The bar that the last hits were in, not yet among `bars`: neighbours in an index are neighbours in time.
    last_bar: (i64, u64),
    pub(super) first: First,
}

impl Tally {
    pub(super) fn new(take: usize) -> Self {
        Self {
            total: 0,
            span: None,
            facets: Default::default(),
            bars: HashMap::new(),
            last_bar: (0, 0),
            first: First::new(take),
        }
    }

    /// Counts a hit of that time.
    pub(super) fn count(&mut self, occurred_at: i64, interval: Option<i64>) {
        self.total += 1;
        let (oldest, newest) = self.span.unwrap_or((occurred_at, occurred_at));
        self.span = Some((oldest.min(occurred_at), newest.max(occurred_at)));
        let Some(bar) = interval.map(|interval| occurred_at.div_euclid(interval)) else { return };
        if self.last_bar.0 != bar {
            self.settle();
            self.last_bar = (bar, 0);
        }
        self.last_bar.1 += 1;
    }

    fn settle(&mut self) {
        let (bar, count) = std::mem::take(&mut self.last_bar);
        if count > 0 {
            *self.bars.entry(bar).or_default() += count;
        }
    }

    /// Takes another day's in.
    pub(super) fn add(&mut self, mut other: Self) {
        other.settle();
        self.total += other.total;
        if let Some((oldest, newest)) = other.span {
            let (old, new) = self.span.unwrap_or((oldest, newest));
            self.span = Some((old.min(oldest), new.max(newest)));
        }
        for (known, more) in self.facets.iter_mut().zip(other.facets) {
            add_values(known, more);
        }
        for (bar, count) in other.bars {
            *self.bars.entry(bar).or_default() += count;
        }
        other.first.heap.into_iter().for_each(|found| self.first.offer(found));
    }

    pub(super) fn span(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        let (oldest, newest) = self.span?;
        DateTime::from_timestamp_micros(oldest).zip(DateTime::from_timestamp_micros(newest))
    }

    /// Bars with hits, oldest first.
    pub(super) fn histogram(&self, interval: Option<i64>) -> Vec<Bar> {
        let Some(interval) = interval else { return Vec::new() };
        let mut bars: Vec<_> = self.bars.iter().map(|(bar, count)| (bar.saturating_mul(interval), *count)).collect();
        bars.sort_unstable();
        let bar = |(start, count)| Some(Bar { start: DateTime::from_timestamp_micros(start)?, count });
        bars.into_iter().filter_map(bar).collect()
    }

    /// The most frequent values of each facet.
    pub(super) fn facets(&mut self, size: usize) -> BTreeMap<Facet, Vec<FacetCount>> {
        if size == 0 {
            return BTreeMap::new();
        }
        let counted = std::mem::take(&mut self.facets).map(|values| most_frequent(values, size));
        Facet::ALL.into_iter().zip(counted).collect()
    }

    /// The page's hits, in order.
    pub(super) fn page(&mut self, skip: usize) -> Vec<Found> {
        std::mem::take(&mut self.first.heap).into_sorted_vec().into_iter().skip(skip).collect()
    }
}

/// Different values of a facet that a search keeps in memory while it adds up. Where there are more, those that are rare so far
/// are given up, as OpenSearch does it: the counts of the frequent ones stay right, or nearly.
pub(super) const MOST_VALUES: usize = 20_000;

/// Adds counts up, and gives the rare ones up if they become too many.
pub(super) fn add_values(known: &mut HashMap<String, u64>, more: impl IntoIterator<Item = (String, u64)>) {
    for (value, count) in more {
        *known.entry(value).or_default() += count;
    }
    if known.len() > 2 * MOST_VALUES {
        *known = most_frequent(std::mem::take(known), MOST_VALUES).into_iter().map(|of| (of.value, of.count)).collect();
    }
}

/// By count, most first, then by value.
fn most_frequent(values: HashMap<String, u64>, most: usize) -> Vec<FacetCount> {
    let mut counts: Vec<_> = values.into_iter().map(|(value, count)| FacetCount { value, count }).collect();
    counts.sort_unstable_by(|one, other| other.count.cmp(&one.count).then_with(|| one.value.cmp(&other.value)));
    counts.truncate(most);
    counts
}
