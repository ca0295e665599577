//! The living part: what the events of the log do to incidents and projects.
//!
//! Here stand the pure cores of the rooms (DESIGN calls them the rest behind the four walls): no actix, no clock,
//! no I/O. The actors that carry them come next.

// The unit tests count in small numbers.
#![cfg_attr(test, allow(clippy::as_conversions))]

pub mod consumer;
pub mod incident;
pub mod project;
pub mod router;
pub mod supervision;
