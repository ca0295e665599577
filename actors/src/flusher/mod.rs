//! Makes cuts durable: one transaction a flush.
//!
//! Every router sends here, at most one flush at a time; the answer goes back through the flush itself. Owns database
//! connections and the producer of dead letters, and no truth of its own: if it dies, an unanswered flush ends the tenure
//! that sent it, and the tenure begins anew from what is durable.

pub mod actor;
pub mod desk;
pub(crate) mod lateness;
pub mod messages;
pub mod retry;
