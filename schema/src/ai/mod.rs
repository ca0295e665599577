//! Summaries: the jobs that ask for them, what came of them, and what they cost.
//!
//! A job is queued in the flush that opens its incident (see [`crate::flush`]), or later when its facts have changed.
//! Workers claim jobs for a time, their lease; every write of a worker names the claim that it works under, and changes
//! nothing once the job was claimed anew. All times are the database's clock.

pub mod budget;
mod facts;
mod jobs;
mod outputs;
mod past;
mod refresh;
mod stats;
mod summary;

pub use facts::{Gathered, Origin, gather};
pub use jobs::{ClaimedJob, JobRow, Retry, bury, claim, give_back, list, renew};
pub use outputs::{ActivityRow, Baseline, CacheKey, Output, activity, cached, draft, finish, finish_with};
pub use past::{project_of, shown_output};
pub use refresh::{AttributesRow, Cause, Changed, JobState, attributes_since, changed, job_state, request};
pub use stats::{ModelRow, StatsRow, stats};
pub use summary::{DETERMINISTIC, Summary, SummaryRow, summary_of, summary_version};
