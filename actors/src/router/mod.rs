//! One partition, one tenure: what is new, and when it becomes durable.

pub mod barrier;
pub mod dedupe;

pub mod cut;
pub mod tenure;
