//! One fingerprint, hot: counts, last seen, lifecycle.

pub mod actor;
pub mod identity;
pub mod messages;
pub mod state;
