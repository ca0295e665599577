//! Synthetic traffic, replay, and the proof that every event was counted.
//!
//! `generate` makes events (pure), `client` delivers them under known ids until each is acknowledged, `verify`
//! compares what the core API shows with what was acknowledged; `run` is the two commands made of these.
//! Imports nothing of ours but the wire shapes and the fingerprint of `schema`.

pub mod args;
pub mod client;
pub mod event;
pub mod generate;
pub mod key;
pub mod replay;
pub mod report;
pub mod run;
pub mod tally;
pub mod verify;

mod bar;
mod clock;

pub use args::{ReplayArgs, TargetArgs, TrafficArgs};
pub use run::{Outcome, replay, run};
