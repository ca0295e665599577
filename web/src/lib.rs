//! The doors and windows of Signals: what comes in over HTTP and what is shown over HTTP.

pub mod ai;
mod allocator;
pub mod auth;
pub mod config;
pub mod core;
pub mod dlq;
pub mod error;
pub mod health;
pub mod ingest;
pub mod keys;
pub mod metrics;
pub mod minutes_retention;
pub mod openapi;
pub mod producer;
pub mod quarantine;
pub mod request_id;
pub mod run;
pub mod search_retention;
pub mod stack;
pub mod supervision;
pub mod telemetry;
pub mod top;
pub mod topics;
