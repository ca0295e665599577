//! One fingerprint, hot: counts, last seen, lifecycle.

pub mod identity;
pub mod state;
