//! The search index of all events, behind [`schema::search::SearchIndex`]: OpenSearch for a deployment, tantivy inside
//! the process for a laptop.

mod opensearch;

pub use opensearch::OpenSearch;
pub use opensearch::config::{ConfigError, OpenSearchConfig};
