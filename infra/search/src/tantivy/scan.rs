//! One pass over the events of a segment that project, words and fingerprint let through: everything else is read from
//! columns, so that one pass gives hits, exact counts, bars, and facets that keep their own filter's siblings.

use super::layout::{DocumentId, ID_HIGH, ID_LOW, OCCURRED_AT};
use super::question::Question;
use super::tally::{Found, MOST_VALUES, Rank, Tally, add_values};
use super::trouble::Trouble;
use schema::search::Facet;
use std::cmp::Reverse;
use tantivy::columnar::{Column, StrColumn};
use tantivy::query::{EnableScoring, Scorer, Weight};
use tantivy::{COLLECT_BLOCK_BUFFER_LEN, DocAddress, DocId, DocSet, Searcher, SegmentReader};

/// Events that are looked at together.
const BLOCK: usize = COLLECT_BLOCK_BUFFER_LEN;

/// All of a day: `day` is its place among those that are asked.
pub(super) fn day(question: &Question, day: usize, searcher: &Searcher) -> Result<Tally, Trouble> {
    let unranked = EnableScoring::disabled_from_searcher(searcher);
    let weight = question.query.weight(unranked)?;
    let refused = question.refused.iter().map(|query| query.weight(unranked)).collect::<Result<Vec<_>, _>>()?;
    let mut tally = Tally::new(question.take);
    for (ordinal, reader) in (0_u32..).zip(searcher.segment_readers()) {
        question.in_time()?;
        let occurred_at: Column<i64> = reader.fast_fields().i64(OCCURRED_AT)?;
        let times = &question.times;
        if occurred_at.max_value() < times.start || occurred_at.min_value() >= times.end {
            continue;
        }
        let mut segment = Segment::open(question, reader, occurred_at, (day, ordinal))?;
        for weight in &refused {
            segment.refused.push(weight.scorer(reader, 1.0)?);
            question.in_time()?;
        }
        segment.scan(weight.as_ref(), reader, &mut tally)?;
        segment.settle(&mut tally)?;
    }
    Ok(tally)
}

struct Segment<'a> {
    question: &'a Question,
    /// The day's place, and the segment's within the day.
    place: (usize, u32),
    occurred_at: Column<i64>,
    times: [Option<i64>; BLOCK],
    id_high: Column<u64>,
    id_low: Column<u64>,
    facets: Vec<FacetColumn>,
    /// Events that hold what must not be there, each read along with the others.
    refused: Vec<Box<dyn Scorer>>,
}

/// A facet's field in one segment. Values are numbers there: their places in the segment's sorted list of values.
struct FacetColumn {
    /// Its place in [`Facet::ALL`].
    facet: usize,
    /// None if no event of the segment has a value.
    column: Option<StrColumn>,
    /// The values that the filter lets through; none: every event passes.
    wanted: Option<Vec<u64>>,
    /// Values of the block.
    values: [Option<u64>; BLOCK],
    /// Hits by value; empty if the facet is not asked for.
    counts: Vec<u64>,
}

impl<'a> Segment<'a> {
    fn open(
        question: &'a Question,
        reader: &SegmentReader,
        occurred_at: Column<i64>,
        place: (usize, u32),
    ) -> Result<Self, Trouble> {
        let columns = reader.fast_fields();
        let mut facets = Vec::new();
        for (index, (facet, wanted)) in Facet::ALL.into_iter().zip(&question.wanted).enumerate() {
            if question.facet_size > 0 || !wanted.is_empty() {
                let column = columns.str(facet.as_str())?;
                facets.push(FacetColumn::new(index, column, wanted, question.facet_size > 0)?);
            }
        }
        let (id_high, id_low) = (columns.u64(ID_HIGH)?, columns.u64(ID_LOW)?);
        Ok(Self { question, place, occurred_at, times: [None; BLOCK], id_high, id_low, facets, refused: Vec::new() })
    }

    fn scan(&mut self, weight: &dyn Weight, reader: &SegmentReader, tally: &mut Tally) -> Result<(), Trouble> {
        let mut docs = weight.scorer(reader, 1.0)?;
        let mut block = [0; BLOCK];
        loop {
            self.question.in_time()?;
            let filled = docs.fill_buffer(&mut block);
            self.block(block.get(..filled).unwrap_or_default(), tally);
            if filled < BLOCK {
                return Ok(());
            }
        }
    }

    fn block(&mut self, docs: &[DocId], tally: &mut Tally) {
        let times = self.times.get_mut(..docs.len()).unwrap_or_default();
        times.fill(None);
        self.occurred_at.first_vals(docs, times);
        self.facets.iter_mut().for_each(|facet| facet.read(docs));
        for (place, (doc, at)) in docs.iter().zip(self.times).enumerate() {
            let Some(at) = at.filter(|at| self.question.times.contains(at)) else { continue };
            if self.refused.iter_mut().any(|docs| holds(docs.as_mut(), *doc)) {
                continue;
            }
            let mut refusing = self.facets.iter_mut().filter(|facet| !facet.passes(place));
            match (refusing.next(), refusing.next()) {
                (None, _) => {
                    self.facets.iter_mut().for_each(|facet| facet.count(place));
                    tally.count(at, self.question.interval);
                    self.offer(*doc, at, tally);
                }
                // A facet counts what only its own filter keeps out.
                (Some(only), None) => only.count(place),
                _ => {}
            }
        }
    }

    fn offer(&self, doc: DocId, at: i64, tally: &mut Tally) {
        if !tally.first.is_open_for(at) {
            return;
        }
        let halves = self.id_high.first(doc).zip(self.id_low.first(doc));
        let Some((high, low)) = halves else { return };
        let rank = Rank::new(at, DocumentId::of_halves(high, low));
        if self.question.after.is_none_or(|after| rank > after) {
            let (day, segment) = self.place;
            tally.first.offer(Found { rank, day, address: DocAddress::new(segment, doc) });
        }
    }

    /// Turns the counts by number into counts by text, those of the most frequent values.
    fn settle(self, tally: &mut Tally) -> Result<(), Trouble> {
        for facet in self.facets {
            let Some(column) = &facet.column else { continue };
            let Some(known) = tally.facets.get_mut(facet.facet) else { continue };
            let mut counted: Vec<(u64, u64)> = (0_u64..).zip(facet.counts).filter(|(_, count)| *count > 0).collect();
            if counted.len() > MOST_VALUES {
                counted.select_nth_unstable_by_key(MOST_VALUES, |(value, count)| (Reverse(*count), *value));
                counted.truncate(MOST_VALUES);
            }
            let mut values = Vec::with_capacity(counted.len());
            for (place, (value, count)) in counted.into_iter().enumerate() {
                if place.is_multiple_of(BLOCK) {
                    self.question.in_time()?;
                }
                let mut text = String::new();
                if column.ord_to_str(value, &mut text)? {
                    values.push((text, count));
                }
            }
            add_values(known, values);
        }
        Ok(())
    }
}

/// Whether `doc`, which comes after all that were asked before, is one of `docs`.
fn holds(docs: &mut dyn Scorer, doc: DocId) -> bool {
    if docs.doc() < doc {
        docs.seek(doc);
    }
    docs.doc() == doc
}

impl FacetColumn {
    fn new(facet: usize, column: Option<StrColumn>, wanted: &[String], is_counted: bool) -> Result<Self, Trouble> {
        let mut numbers = Vec::new();
        for text in wanted {
            if let Some(column) = &column {
                numbers.extend(column.dictionary().term_ord(text)?);
            }
        }
        let values = column.as_ref().filter(|_| is_counted).map_or(0, |column| column.num_terms());
        Ok(Self {
            facet,
            column,
            wanted: (!wanted.is_empty()).then_some(numbers),
            values: [None; BLOCK],
            counts: vec![0; values],
        })
    }

    fn read(&mut self, docs: &[DocId]) {
        let values = self.values.get_mut(..docs.len()).unwrap_or_default();
        values.fill(None);
        if let Some(column) = &self.column {
            column.ords().first_vals(docs, values);
        }
    }

    fn passes(&self, place: usize) -> bool {
        let value = self.values.get(place).copied().flatten();
        self.wanted.as_ref().is_none_or(|wanted| value.is_some_and(|value| wanted.contains(&value)))
    }

    fn count(&mut self, place: usize) {
        let value = self.values.get(place).copied().flatten().and_then(|value| usize::try_from(value).ok());
        if let Some(count) = value.and_then(|value| self.counts.get_mut(value)) {
            *count += 1;
        }
    }
}
