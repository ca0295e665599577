//! A marker: an event that says nothing, sent so that its counting shows that all before it is counted, too.
//!
//! The log of a project has one order. An event that is acknowledged before the marker is sent lies before it, and
//! the core API says up to which time of receipt it is complete.

use crate::client::{ClientConfig, ClientError, Progress, deliver};
use crate::clock::now;
use crate::event::ClientEvent;
use chrono::{DateTime, Utc};
use schema::event::{EventType, Severity};
use serde_json::Map;
use std::sync::Arc;

/// Why no marker could be placed.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// It could not be sent at all.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// Ingest did not acknowledge it.
    #[error("ingest did not take it: {0}")]
    Refused(String),
}

/// Sends a marker and returns when it was received, by the server's clock.
///
/// # Errors
/// See [`MarkerError`]. It is sent again for as long as `client` has patience.
pub(super) async fn place(client: &ClientConfig) -> Result<DateTime<Utc>, MarkerError> {
    let marker = ClientEvent {
        event_id: ulid::Ulid::generate().to_string(),
        event_type: EventType::Custom,
        severity: Severity::Debug,
        environment: "traffic".to_owned(),
        message: "all events before this one are to be counted".to_owned(),
        occurred_at: now(),
        attributes: Map::new(),
        payload: Map::new(),
    };
    let client = ClientConfig { connections: 1, batch: 1, rate: None, ..client.clone() };
    let report = deliver(&client, [marker], Arc::new(Progress::default())).await?.report;
    let refusal = || report.stopped.clone().or_else(|| report.refused.keys().next().cloned()).unwrap_or_default();
    report.received_until.ok_or_else(|| MarkerError::Refused(refusal()))
}
