//! One project: its events by minute.

pub mod state;
