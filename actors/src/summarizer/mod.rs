//! Explains incidents: takes jobs from the database, gathers the facts, asks a model if there is one, keeps what can be
//! believed.
//!
//! The engine queues a job in the flush that opens an incident and never waits for what becomes of it (G10).

mod actor;
pub mod check;
pub mod config;
pub mod desk;
pub mod deterministic;
pub mod facts;
pub mod model;
mod pattern;
pub mod pool;
pub mod prompt;
pub mod redact;
mod refresh;
pub mod rerun;
mod text;
mod work;
