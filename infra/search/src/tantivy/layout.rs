//! How an event lies in a tantivy index: what is looked up, what is read along the hits, and the event itself.

use schema::search::{Facet, IndexedEvent, terms};
use tantivy::TantivyDocument;
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, STORED, Schema, SchemaBuilder, TextFieldIndexing, TextOptions, Value,
};

/// Names of the columns that are read along the hits.
pub(super) const OCCURRED_AT: &str = "occurred_at";
pub(super) const ID_HIGH: &str = "id_high";
pub(super) const ID_LOW: &str = "id_low";

/// The fields of every day's index; a change of them makes older folders unreadable, so it needs a new parent folder.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) schema: Schema,
    /// Looked up.
    pub(super) project: Field,
    /// Looked up.
    pub(super) fingerprint: Field,
    /// The message's terms, with their positions.
    pub(super) terms: Field,
    /// First half of the document's id: looked up, and a column.
    pub(super) id_high: Field,
    id_low: Field,
    /// Microseconds since the epoch.
    occurred_at: Field,
    /// Columns of text, in the order of [`Facet::ALL`].
    facets: [Field; 5],
    /// The event as JSON.
    source: Field,
}

impl Layout {
    pub(super) fn new() -> Self {
        let mut builder = Schema::builder();
        let column = TextOptions::default().set_fast("raw");
        Self {
            project: builder.add_text_field("project_id", looked_up("raw", IndexRecordOption::Basic)),
            fingerprint: builder.add_text_field("fingerprint", looked_up("raw", IndexRecordOption::Basic)),
            terms: builder.add_text_field("terms", looked_up("whitespace", IndexRecordOption::WithFreqsAndPositions)),
            id_high: builder.add_u64_field(ID_HIGH, INDEXED | FAST),
            id_low: builder.add_u64_field(ID_LOW, FAST),
            occurred_at: builder.add_i64_field(OCCURRED_AT, FAST),
            facets: Facet::ALL.map(|facet| builder.add_text_field(facet.as_str(), column.clone())),
            source: builder.add_bytes_field("source", STORED),
            schema: SchemaBuilder::build(builder),
        }
    }

    /// # Errors
    /// None that an event of ours could cause: every one has a JSON form.
    pub(super) fn document(&self, id: DocumentId, event: &IndexedEvent) -> serde_json::Result<TantivyDocument> {
        let mut document = TantivyDocument::new();
        document.add_text(self.project, &event.project_id);
        document.add_text(self.fingerprint, &event.fingerprint);
        document.add_text(self.terms, terms::joined(&event.message));
        document.add_u64(self.id_high, id.high());
        document.add_u64(self.id_low, id.low());
        document.add_i64(self.occurred_at, event.occurred_at.timestamp_micros());
        for (field, facet) in self.facets.into_iter().zip(Facet::ALL) {
            if let Some(value) = event.facet(facet) {
                document.add_text(field, value);
            }
        }
        document.add_bytes(self.source, &serde_json::to_vec(event)?);
        Ok(document)
    }

    /// The event that a document was made of; none if it is not one of ours.
    pub(super) fn event(&self, document: &TantivyDocument) -> Option<IndexedEvent> {
        let source = document.get_first(self.source)?;
        serde_json::from_slice(source.as_bytes()?).ok()
    }
}

fn looked_up(tokenizer: &str, option: IndexRecordOption) -> TextOptions {
    let indexing = TextFieldIndexing::default().set_tokenizer(tokenizer).set_index_option(option);
    // Nothing is ranked, so no lengths are kept.
    TextOptions::default().set_indexing_options(indexing.set_fieldnorms(false))
}

/// The 32 hex digits of [`schema::search::document::document_id`] as a number: it sorts as its text does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct DocumentId(u128);

impl DocumentId {
    /// None if the text is no id of ours.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_ours = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        is_ours.then(|| u128::from_str_radix(text, 16).ok()).flatten().map(Self)
    }

    pub(super) fn of_halves(high: u64, low: u64) -> Self {
        Self(u128::from(high) << 64 | u128::from(low))
    }

    pub(super) fn high(self) -> u64 {
        u64::try_from(self.0 >> 64).unwrap_or_default()
    }

    pub(super) fn low(self) -> u64 {
        u64::try_from(self.0 & u128::from(u64::MAX)).unwrap_or_default()
    }
}

impl std::fmt::Display for DocumentId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_and_anything_else_is_none() {
        for text in ["00000000000000000000000000000000", "ffffffffffffffff0000000000000001"] {
            let id = DocumentId::parse(text).unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(DocumentId::of_halves(id.high(), id.low()), id);
        }
        for text in ["", "0", "+0000000000000000000000000000000", "FFffffffffffffff0000000000000001", "é"] {
            assert_eq!(DocumentId::parse(text), None, "{text}");
        }
    }
}
