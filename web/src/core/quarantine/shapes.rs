//! The shapes of the quarantines over HTTP.

use crate::core::shapes::Pagination;
use chrono::{DateTime, Utc};
use schema::quarantine::QuarantineRow;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// The query parameters of the list.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI generator")]
pub struct QuarantineParameters {
    /// Another project than the key's own; for a key with the scope operator.
    project_id: Option<String>,
    /// `true` for those that were lifted, too.
    lifted: Option<bool>,
    /// Fingerprints on a page, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Fingerprints to skip.
    #[param(minimum = 0, maximum = 1_000_000)]
    offset: Option<i64>,
}

/// A page of a project's quarantines, those in force first, then the newest.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantineList {
    /// The page.
    pub quarantines: Vec<QuarantineEntry>,
    /// Where it stands.
    pub pagination: Pagination,
}

/// A fingerprint whose records go to the dead letters, or went there.
#[derive(Debug, Serialize, ToSchema)]
pub struct QuarantineEntry {
    /// Project.
    pub project_id: String,
    /// Fingerprint.
    pub fingerprint: String,
    /// Why.
    pub reason: String,
    /// Records that went to the dead letters because of it.
    pub records: i64,
    /// Since when.
    pub since_at: DateTime<Utc>,
    /// Until when; null while it is in force.
    pub lifted_at: Option<DateTime<Utc>>,
    /// Whose key ended it; null while it is in force, and if time did.
    pub lifted_by: Option<String>,
}

/// A quarantine that was lifted.
#[derive(Debug, Serialize, ToSchema)]
pub struct Lifted {
    /// Always true.
    pub lifted: bool,
    /// The quarantine.
    pub quarantine: QuarantineEntry,
    /// Names the command in the log.
    pub command_id: String,
}

/// A lift that is safe in the log and will be looked at.
#[derive(Debug, Serialize, ToSchema)]
pub struct LiftAccepted {
    /// Always true.
    pub accepted: bool,
    /// Names the command in the log.
    pub command_id: String,
}

impl From<QuarantineRow> for QuarantineEntry {
    fn from(row: QuarantineRow) -> Self {
        Self {
            project_id: row.project_id,
            fingerprint: row.fingerprint,
            reason: row.reason,
            records: row.records,
            since_at: row.since_at,
            lifted_at: row.lifted_at,
            lifted_by: row.lifted_by,
        }
    }
}
