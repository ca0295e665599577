//! Who starts whom, what a parent does when a child dies, and what an operator sees of it.

mod assemble;
pub mod child;
pub mod chronicle;
pub mod doing;
pub mod indexing;
pub mod kind;
pub mod mail;
pub mod observer;
pub mod panics;
pub mod pulse;
pub mod restart;
pub mod root;
pub mod view;
