//! What the benches share: events, servers, processes and how a result is printed.
//!
//! Every measured thing runs in a process of its own, so that its CPU time and memory are its own.

pub mod child;
pub mod drain;
pub mod events;
pub mod http;
pub mod indexing;
pub mod ingest;
pub mod load;
pub mod preload;
pub mod report;
pub mod servers;
pub mod usage;
pub mod watch;
