//! The `signals` program as people run it: child processes on servers that are killed, frozen, stopped and started.
//!
//! `conformance` is one suite of behaviours that runs on the embedded servers and on a real Kafka and PostgreSQL; the
//! other files name the fault that they make. Each test starts a stack of its own and leaves nothing behind.
//!
//! `SIGNALS_TEST_EVENTS` sets how many events the tests under load send, `SIGNALS_TEST_SEED` the seed of what they do
//! when (each prints the one that it took).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::as_conversions,
    reason = "tests"
)]

mod ai_workers;
mod api;
mod chance;
mod chaos;
mod conformance;
mod ending;
mod engine_killed;
mod indexer_killed;
mod kill9;
mod load;
#[path = "../../../actors/tests/support/model_server.rs"]
mod model_server;
mod outages;
mod program;
mod proof;
mod second_start;
#[path = "../../../infra/own_servers.rs"]
mod servers;
mod stack;
mod terminal;
mod wait;
mod walkthrough;
