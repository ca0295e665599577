//! Makes cuts durable: one transaction a flush.
//!
//! Every router sends here, at most one flush at a time; the answer goes back through the flush itself. Owns database
//! connections and the writer of dead letters, and no truth of its own: if it dies, a new one takes its place behind the
//! same [`door`], and a flush without an answer is sent again by its router. One that kills Flusher after Flusher ends the
//! tenure that sent it, and the tenure begins anew from what is durable.
//!
//! A flush that the database refuses for what is in it is put on trial: a refused sample is written without its words;
//! records of which the rows themselves are refused go back to the router as convictions, its tenure begins anew, and they
//! become dead letters.

pub mod actor;
pub mod desk;
pub mod door;
mod failure;
pub(crate) mod lateness;
pub mod messages;
pub mod retry;
mod trial;
