//! Every event into the search index: a second reader of the log, apart from the engine.
//!
//! One blocking thread polls for the group `indexer-group` and starts an [`actor::Indexer`] for each assigned partition. The
//! indexer turns records into documents, stores them and says how far everything is stored or in the dead letters; the
//! thread commits that offset to Kafka. Nothing else is kept, so whatever is killed reads some records again, and a document
//! that is there already stays as it is.
//!
//! A search server that is away is waited for: the partitions are paused, memory stays bounded, and neither the engine nor
//! the process's readiness takes notice. Records that are no events are left out: commands mean nothing here, and what
//! nobody can decode is dead-lettered by the engine's group.

pub mod actor;
pub mod assignment;
pub mod config;
pub(crate) mod meters;
pub mod poll_thread;
mod portion;
pub mod progress;
pub mod refresher;
