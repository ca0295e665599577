//! The shapes: what may be said on the wire and kept in a table, and the queries on them.
//!
//! Everyone speaks this crate; it does nothing by itself. Queries take a connection and return
//! [`diesel::QueryResult`]; pool and transaction belong to the caller.

pub mod command;
pub mod envelope;
pub mod event;
pub mod names;
