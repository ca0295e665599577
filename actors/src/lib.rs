//! The living part: what the events of the log do to incidents and projects.
//!
//! Pure cores (state, window, barrier, budget) and the shells that carry them: poll thread, router, incident and
//! project actors, flusher.

// The unit tests count in small numbers.
#![cfg_attr(test, allow(clippy::as_conversions))]

pub mod config;
pub mod consumer;
pub mod dead_letter;
pub mod failpoint;
pub mod flusher;
pub mod incident;
pub mod indexer;
#[cfg(test)]
mod log_lines;
pub mod metrics;
pub mod project;
pub mod router;
pub mod summarizer;
pub mod supervision;
pub mod unwatched;
