//! The core API over a real PostgreSQL, its commands with a real Kafka and the real engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::as_conversions)]

mod ai;
mod commands;
mod detail;
mod figures;
mod list;
#[path = "../../../actors/tests/support/model_server.rs"]
mod model_server;
mod paging;
mod refusals;
mod rig;
mod search;
mod search_away;
