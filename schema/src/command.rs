//! What a person tells an incident to do, as a record of the same log as the events.

use crate::event::UnknownValue;
use crate::event::wire_enum;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

wire_enum! {
    /// A step that a person can ask for.
    CommandKind {
        /// open -> investigating.
        Investigate = "investigate",
        /// open or investigating -> resolved.
        Resolve = "resolve",
        /// resolved -> open; only the newest incident of its fingerprint.
        Reopen = "reopen",
    }
}

/// A command record. Its key is `project_id`, so it stands in order with that project's events, and it
/// carries the header [`crate::names::KIND_HEADER`] = [`crate::names::KIND_COMMAND`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IncidentCommand {
    /// `"1.0"`.
    pub schema_version: String,
    /// ULID; applied once.
    pub command_id: String,
    /// The step.
    pub kind: CommandKind,
    /// Project of the incident.
    pub project_id: String,
    /// Incident that it speaks of.
    pub incident_id: String,
    /// Fingerprint of that incident; tells which actor it goes to.
    pub fingerprint: String,
    /// Who gave it: the id of an API key.
    pub principal: String,
    /// When core-api accepted it.
    pub received_at: DateTime<Utc>,
}

/// The value of [`QuarantineLift::kind`], which tells it from an [`IncidentCommand`].
pub const LIFT_QUARANTINE: &str = "lift_quarantine";

/// A person ends a fingerprint's quarantine: a command record too, so that it is in order with that project's events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuarantineLift {
    /// `"1.0"`.
    pub schema_version: String,
    /// ULID; its outcome stands in `command_outcomes` under this id, with an empty incident id.
    pub command_id: String,
    /// [`LIFT_QUARANTINE`].
    pub kind: String,
    /// Project.
    pub project_id: String,
    /// Fingerprint.
    pub fingerprint: String,
    /// Who gave it.
    pub principal: String,
    /// When it was given.
    pub received_at: DateTime<Utc>,
}
