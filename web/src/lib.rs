//! The doors and windows of Signals: what comes in over HTTP and what is shown over HTTP.

pub mod error;
pub mod request_id;
