//! One suite for both backends: 50,000 events, random questions, and an answer found by looking at every event.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod corpus;
mod model;
mod requests;
mod suite;
#[path = "../support/mod.rs"]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use suite::Suite;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[test]
fn tantivy_agrees_with_the_model() {
    let folder = tempfile::tempdir().unwrap();
    let index = search::Tantivy::open(folder.path()).unwrap();
    Suite::run(&index, &runtime());
}

#[test]
fn opensearch_agrees_with_the_model() {
    let (runtime, room) = (runtime(), support::Room::new());
    let ended = catch_unwind(AssertUnwindSafe(|| Suite::run(&room.index, &runtime)));
    // The server is shared: nothing is left there, whatever came out.
    runtime.block_on(room.end());
    ended.unwrap_or_else(|failure| resume_unwind(failure));
}
