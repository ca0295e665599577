//! What a parent does when a child dies.

pub mod child;
pub mod restart;
