//! One partition, one tenure: what is new, who counts it, and when it becomes durable.
//!
//! The poll thread sends batches; the router's children are its IncidentActors and ProjectActors, all on one arbiter; cuts
//! go to the Flusher. When a router dies its memory is forgotten and the next tenure begins at the checkpoint.

pub mod actor;
mod admission;
pub mod barrier;
pub mod book;
pub mod convicts;
pub mod cut;
pub mod dedupe;
mod delivery;
mod flight;
mod isolation;
pub mod name;
pub mod nursery;
mod page;
pub mod quarantine;
pub mod report;
pub mod sort;
mod strikes;
mod trace;
