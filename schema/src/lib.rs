//! The shapes: what may be said on the wire and kept in a table, and the queries on them.
//!
//! Everyone speaks this crate; it does nothing by itself. Queries take a connection and return
//! [`diesel::QueryResult`]; pool and transaction belong to the caller.

pub mod ai;
pub mod checkpoint;
mod column;
pub mod command;
pub mod database;
pub mod envelope;
pub mod event;
pub mod fingerprint;
pub mod flush;
pub mod freshness;
pub mod health;
pub mod incidents;
pub mod instrument;
pub mod keys;
pub mod ledger;
pub mod limits;
pub mod metrics;
pub mod migrate;
pub mod names;
pub mod oversight;
mod prepared;
pub mod quarantine;
pub mod retention;
pub mod search;
pub mod secret;
pub mod seed;
pub mod snapshot;
pub mod status;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
pub mod trace;
pub mod wake;
