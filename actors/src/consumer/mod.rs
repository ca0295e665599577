//! Kafka in: records come off the wire by partition.

pub mod batch;
