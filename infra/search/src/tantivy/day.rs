//! One day's index: a folder of its own.

use super::layout::{DocumentId, ID_LOW, Layout};
use super::trouble::Trouble;
use chrono::NaiveDate;
use schema::search::IndexedEvent;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tantivy::columnar::Column;
use tantivy::directory::MmapDirectory;
use tantivy::schema::IndexRecordOption;
use tantivy::{
    DocAddress, DocId, DocSet, Index, IndexReader, InvertedIndexReader, ReloadPolicy, Searcher, TERMINATED,
    TantivyDocument, Term,
};

/// Unpacked blocks of stored events that a segment keeps in memory, 16 KiB each.
const CACHED_BLOCKS: usize = 4;

/// An open day.
pub(super) struct Day {
    pub(super) date: NaiveDate,
    pub(super) folder: PathBuf,
    pub(super) index: Index,
    reader: IndexReader,
}

impl Day {
    /// Opens the day's folder; one without an index, new or left by a process that was killed while it made it, gets one.
    pub(super) fn open(folder: &Path, date: NaiveDate, layout: &Layout) -> Result<Self, Trouble> {
        let directory = MmapDirectory::open(folder).map_err(tantivy::TantivyError::from)?;
        let index = Index::builder().schema(layout.schema.clone()).open_or_create(directory)?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .doc_store_cache_num_blocks(CACHED_BLOCKS)
            .try_into()?;
        Ok(Self { date, folder: folder.to_owned(), index, reader })
    }

    /// What was committed when [`Day::reload`] was last called.
    pub(super) fn searcher(&self) -> Searcher {
        self.reader.searcher()
    }

    /// Makes the last commit visible.
    pub(super) fn reload(&self) -> Result<(), Trouble> {
        Ok(self.reader.reload()?)
    }

    /// The event of that id, whosever it is.
    pub(super) fn find(&self, layout: &Layout, id: DocumentId) -> Result<Option<IndexedEvent>, Trouble> {
        let searcher = self.searcher();
        for (ordinal, segment) in (0_u32..).zip(Ids::of(&searcher, layout)?.segments) {
            if let Some(doc) = segment.find(layout, id)? {
                return read(layout, &searcher, DocAddress::new(ordinal, doc)).map(Some);
            }
        }
        Ok(None)
    }
}

/// The event that lies there.
pub(super) fn read(layout: &Layout, searcher: &Searcher, address: DocAddress) -> Result<IndexedEvent, Trouble> {
    let document: TantivyDocument = searcher.doc(address)?;
    layout.event(&document).ok_or_else(|| Trouble::Unusable("a stored event cannot be read".to_owned()))
}

/// The ids that a day holds, ready to be asked many times.
pub(super) struct Ids {
    segments: Vec<SegmentIds>,
}

struct SegmentIds {
    high: Arc<InvertedIndexReader>,
    low: Column<u64>,
}

impl Ids {
    pub(super) fn of(searcher: &Searcher, layout: &Layout) -> Result<Self, Trouble> {
        let segments = searcher.segment_readers().iter().map(|reader| {
            Ok(SegmentIds { high: reader.inverted_index(layout.id_high)?, low: reader.fast_fields().u64(ID_LOW)? })
        });
        Ok(Self { segments: segments.collect::<Result<_, Trouble>>()? })
    }

    pub(super) fn contain(&self, layout: &Layout, id: DocumentId) -> Result<bool, Trouble> {
        for segment in &self.segments {
            if segment.find(layout, id)?.is_some() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl SegmentIds {
    fn find(&self, layout: &Layout, id: DocumentId) -> Result<Option<DocId>, Trouble> {
        let term = Term::from_field_u64(layout.id_high, id.high());
        let Some(mut docs) = self.high.read_postings(&term, IndexRecordOption::Basic)? else { return Ok(None) };
        // Ids that share their first half share a term.
        while docs.doc() != TERMINATED {
            if self.low.first(docs.doc()) == Some(id.low()) {
                return Ok(Some(docs.doc()));
            }
            docs.advance();
        }
        Ok(None)
    }
}
