//! Kafka in: records come off the wire by partition, and each assigned partition gets its tenure.
//!
//! One blocking thread polls. It starts a [`crate::router::actor::PartitionRouter`] when a partition is assigned, hands it the
//! records, pauses the partition when the router is full, starts it anew when it has failed and ends it when the
//! partition goes.

pub mod batch;
mod claim;
pub mod controls;
pub mod decode;
pub mod ends;
pub mod poll_thread;
pub mod progress;
mod rebalance;
pub(crate) mod source;
pub mod tenures;
pub(crate) mod watermarks;
