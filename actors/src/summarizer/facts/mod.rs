//! What is known of an incident, gathered for those who explain it.

pub mod bound;
mod build;
pub mod document;
pub mod samples;

pub use build::{build, count, text as plain_text};
pub use document::Facts;

#[cfg(test)]
mod tests;
