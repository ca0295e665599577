//! What is known of an incident, gathered for those who explain it.

pub mod document;

pub use document::Facts;
