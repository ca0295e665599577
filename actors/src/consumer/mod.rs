//! Kafka in: records come off the wire by partition.

pub mod batch;
pub mod decode;
pub mod poll_thread;
pub mod rebalance;
