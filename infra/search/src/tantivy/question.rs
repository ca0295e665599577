//! A request, made ready to be asked of one segment after the other.

use super::layout::{DocumentId, Layout};
use super::tally::Rank;
use super::trouble::Trouble;
use schema::search::{Clause, Facet, Page, SearchRequest};
use std::ops::{Bound, Range};
use std::time::Instant;
use tantivy::Term;
use tantivy::query::{BooleanQuery, Occur, PhraseQuery, Query, RangeQuery, TermQuery, TermSetQuery};
use tantivy::schema::IndexRecordOption::{Basic, WithFreqsAndPositions};

/// Hits that a page with an offset may end at.
const FARTHEST: usize = 10_000;

/// What every segment is asked.
pub(super) struct Question {
    /// Project, words and fingerprint; the rest is read from columns.
    pub(super) query: Box<dyn Query>,
    /// What must not be in the message. Kept apart, because tantivy's own exclusion seeks backwards in a phrase, which
    /// is not allowed there.
    pub(super) refused: Vec<Box<dyn Query>>,
    /// Values that each facet's field may have; empty: any.
    pub(super) wanted: [Vec<String>; 5],
    /// Microseconds of `occurred_at`.
    pub(super) times: Range<i64>,
    /// The page follows this place.
    pub(super) after: Option<Rank>,
    /// Hits to skip, if it follows none.
    pub(super) skip: usize,
    /// Hits to find: those skipped, and those shown.
    pub(super) take: usize,
    /// Microseconds of a bar.
    pub(super) interval: Option<i64>,
    /// Values of a facet to show.
    pub(super) facet_size: usize,
    /// When to give up.
    pub(super) deadline: Instant,
}

impl Question {
    /// # Errors
    /// A request that makes no sense.
    pub(super) fn new(layout: &Layout, request: &SearchRequest, deadline: Instant) -> Result<Self, Trouble> {
        let interval = request.interval.map(|interval| interval.num_microseconds().filter(|width| *width > 0));
        if interval == Some(None) {
            return Err(unusable("the histogram's interval is not positive"));
        }
        let (skip, after) = match &request.page {
            Page::Offset(skip) => (*skip, None),
            Page::After(key) => {
                let id = DocumentId::parse(&key.id).ok_or_else(|| unusable("the page begins behind no event"))?;
                (0, Some(Rank::new(key.occurred_at.timestamp_micros(), id)))
            }
        };
        let take = skip.saturating_add(request.limit);
        if take > FARTHEST {
            return Err(unusable("a page that far in is reached by its place only"));
        }
        let micros = |at: &chrono::DateTime<chrono::Utc>| at.timestamp_micros();
        Ok(Self {
            query: query(layout, request),
            refused: request.text.must_not.iter().map(|part| clause(layout, part)).collect(),
            wanted: Facet::ALL.map(|facet| request.filters.of(facet).into_iter().map(str::to_owned).collect()),
            times: request.from.as_ref().map_or(i64::MIN, micros)..request.to.as_ref().map_or(i64::MAX, micros),
            after,
            skip,
            take,
            interval: interval.flatten(),
            facet_size: request.facet_size,
            deadline,
        })
    }

    /// # Errors
    /// [`Trouble::Late`] once the deadline has passed.
    pub(super) fn in_time(&self) -> Result<(), Trouble> {
        if Instant::now() < self.deadline { Ok(()) } else { Err(Trouble::Late) }
    }
}

fn unusable(sentence: &str) -> Trouble {
    Trouble::Unusable(sentence.to_owned())
}

/// The project is a clause of its own, beside whatever is asked.
fn query(layout: &Layout, request: &SearchRequest) -> Box<dyn Query> {
    let any_of = |field, values: &[String]| -> Box<dyn Query> {
        Box::new(TermSetQuery::new(values.iter().map(|value| Term::from_field_text(field, value))))
    };
    let mut clauses = vec![(Occur::Must, any_of(layout.project, &request.projects))];
    if !request.filters.fingerprint.is_empty() {
        clauses.push((Occur::Must, any_of(layout.fingerprint, &request.filters.fingerprint)));
    }
    clauses.extend(request.text.must.iter().map(|part| (Occur::Must, clause(layout, part))));
    Box::new(BooleanQuery::new(clauses))
}

fn clause(layout: &Layout, clause: &Clause) -> Box<dyn Query> {
    let term = |text: &str| Term::from_field_text(layout.terms, text);
    match clause {
        Clause::Term(word) => Box::new(TermQuery::new(term(word), Basic)),
        Clause::Prefix(start) => {
            // No term holds the last of all characters, so those that begin with `start` end before this one.
            let end = format!("{start}{}", char::MAX);
            Box::new(RangeQuery::new(Bound::Included(term(start)), Bound::Excluded(term(&end))))
        }
        Clause::Phrase(words) => match words.as_slice() {
            [] => Box::new(tantivy::query::EmptyQuery),
            [word] => Box::new(TermQuery::new(term(word), WithFreqsAndPositions)),
            words => Box::new(PhraseQuery::new(words.iter().map(|word| term(word)).collect())),
        },
    }
}
