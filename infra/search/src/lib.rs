//! The search index of all events, behind [`schema::search::SearchIndex`]: OpenSearch for a deployment, tantivy inside
//! the process for a laptop.

mod tantivy;

pub use self::tantivy::Tantivy;
