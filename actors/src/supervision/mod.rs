//! Who starts whom, what a parent does when a child dies, and what an operator sees of it.

pub(crate) mod assemble;
pub mod child;
pub mod chronicle;
pub mod doing;
mod ending;
mod flushers;
pub mod guardian;
pub mod indexing;
pub mod kind;
pub mod mail;
pub mod observer;
pub mod panics;
pub mod plan;
pub mod pulse;
pub mod restart;
pub mod root;
pub mod view;
