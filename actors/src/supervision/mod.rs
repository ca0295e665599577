//! Who starts whom, and what a parent does when a child dies.

pub mod child;
pub mod mail;
pub mod panics;
pub mod restart;
pub mod root;
