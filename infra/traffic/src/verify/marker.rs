//! A marker: an event that says nothing, sent so that its counting shows that all before it is counted, too.
//!
//! The core API names a moment, `complete_until`, by the servers' clock: every event that was answered with 202
//! before it is in the answer. An event's time of receipt is before its answer, so it is no moment to wait for: what
//! was received then may still be on its way into the log, the marker itself as well. The moment at which the marker's
//! answer had come is one, and everything that was acknowledged before the marker was sent is answered by then, too.

use crate::client::{ClientConfig, ClientError, Progress, deliver};
use crate::clock::now;
use crate::event::ClientEvent;
use chrono::{DateTime, TimeDelta, Utc};
use schema::event::{EventType, Severity};
use serde_json::Map;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

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

/// A marker that was acknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Placed {
    /// By the servers' clock, a moment at which the marker was answered. What is complete until then counts it, and
    /// all that was acknowledged before it was sent.
    pub(super) answered_by: DateTime<Utc>,
    /// So far in the future, at most, does that moment lie: as long as the delivery took.
    pub(super) ahead: Duration,
}

/// Sends a marker and returns the moment to wait for: when it was received, by the server's clock, and the time that
/// its delivery took. It cannot have been received before the delivery began, so it was answered by then, and no
/// clock of this machine is part of it.
///
/// # Errors
/// See [`MarkerError`]. It is sent again for as long as `client` has patience.
pub(super) async fn place(client: &ClientConfig) -> Result<Placed, MarkerError> {
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
    let began = Instant::now();
    let report = deliver(&client, [marker], Arc::new(Progress::default())).await?.report;
    let ahead = began.elapsed();
    let refusal = || report.stopped.clone().or_else(|| report.refused.keys().next().cloned()).unwrap_or_default();
    let received_at = report.received_until.ok_or_else(|| MarkerError::Refused(refusal()))?;
    let took = TimeDelta::from_std(ahead).unwrap_or(TimeDelta::MAX);
    let answered_by = received_at.checked_add_signed(took).unwrap_or(DateTime::<Utc>::MAX_UTC);
    Ok(Placed { answered_by, ahead })
}
