//! Makes cuts durable: one transaction a flush.
//!
//! Every router sends here, at most one flush at a time; the answer goes back through the flush itself. Owns database
//! connections and the writer of dead letters, and no truth of its own: if it dies, a new one takes its place behind the
//! same [`door`], and a flush without an answer is sent again by its router. One that kills Flusher after Flusher ends the
//! tenure that sent it, and the tenure begins anew from what is durable.

pub mod actor;
pub mod desk;
pub mod door;
mod lateness;
pub mod messages;
pub mod retry;
