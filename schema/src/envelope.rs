//! One event as it stands in the log (`signals.raw.v1`): one JSON object a record.

use crate::event::{EventType, Severity};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// The canonical envelope. Borrows from the record's bytes where JSON allows it.
///
/// Times are RFC 3339 in UTC. `attributes` and `payload` are JSON objects kept as the client sent them
/// (validated by ingest, never re-encoded by the engine).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Envelope<'a> {
    /// `"1.0"`; see [`crate::names::SCHEMA_VERSION`].
    #[serde(borrow)]
    pub schema_version: Cow<'a, str>,
    /// The client's id, or the ULID that ingest gave it. Counts once per project.
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    /// When it happened, as the client says; never later than `received_at` + 5 min.
    #[serde(deserialize_with = "crate::time::utc")]
    pub occurred_at: DateTime<Utc>,
    /// When ingest took it in.
    #[serde(deserialize_with = "crate::time::utc")]
    pub received_at: DateTime<Utc>,
    /// Owner of the project.
    #[serde(borrow)]
    pub org_id: Cow<'a, str>,
    /// Also the record's key.
    #[serde(borrow)]
    pub project_id: Cow<'a, str>,
    /// `dev` unless the client says otherwise.
    #[serde(borrow)]
    pub environment: Cow<'a, str>,
    /// What kind.
    pub event_type: EventType,
    /// How bad.
    pub severity: Severity,
    /// At most 8 KiB.
    #[serde(borrow)]
    pub message: Cow<'a, str>,
    /// 64 lower-case hex digits; see [`crate::fingerprint`].
    #[serde(borrow)]
    pub fingerprint: Cow<'a, str>,
    /// `route`, `error_code`, `release` and whatever else, at most 8 levels deep.
    #[serde(borrow)]
    pub attributes: &'a RawValue,
    /// Free data of the client.
    #[serde(borrow)]
    pub payload: &'a RawValue,
}
