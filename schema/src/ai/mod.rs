//! Summaries: the jobs that ask for them, what came of them, and what they cost.
//!
//! A job is queued in the flush that opens its incident (see [`crate::flush`]), or later when its facts have changed.
//! Workers claim jobs for a time, their lease; every write of a worker names the claim that it works under, and changes
//! nothing once the job was claimed anew. All times are the database's clock.

mod summary;

pub use summary::{DETERMINISTIC, Summary};
