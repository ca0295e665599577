//! The search index of all events, behind [`schema::search::SearchIndex`]: OpenSearch for a deployment, tantivy inside
//! the process for a laptop.

mod opensearch;
mod tantivy;

pub use self::opensearch::OpenSearch;
pub use self::opensearch::config::{ConfigError, OpenSearchConfig};
pub use self::tantivy::Tantivy;
