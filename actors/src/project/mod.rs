//! One project: its events by minute. The router of its partition writes to it and rebuilds it when it dies.

pub mod actor;
pub mod messages;
pub mod state;
