//! What is known of an incident, gathered for those who explain it.

pub mod bound;
mod build;
pub mod document;
pub mod samples;
mod words;

pub use build::build;
pub use document::Facts;
pub use words::{count, text as plain_text};

#[cfg(test)]
mod tests;
