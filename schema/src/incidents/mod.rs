//! What can be read of incidents. Every query names the project: a tenant sees its own and nothing else.
//!
//! These are rows, not what the API shows; they are written in [`crate::flush`] only.

mod detail;
mod list;
mod outcome;

pub use detail::{Kept, Minute, SampleRow, TransitionRow, deploys_nearby, find, kept, kept_beside};
pub use list::{Direction, Filter, Place, Sort, SortField, Start, count, page};
pub use outcome::{OutcomeRow, outcome};

use crate::event::Severity;
use crate::status::IncidentStatus;
use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text, Timestamptz};

/// The columns of an [`IncidentRow`].
pub(crate) const COLUMNS: &str = "id, org_id, project_id, environment, fingerprint, title, status, severity, event_count, \
     first_seen, last_seen, resolved_at, previous_incident_id, applied_through, xmin::text AS version";

/// An incident as it is durable now.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct IncidentRow {
    /// ULID.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// Owner of the project.
    #[diesel(sql_type = Text)]
    pub org_id: String,
    /// Project.
    #[diesel(sql_type = Text)]
    pub project_id: String,
    /// Environment; part of the fingerprint.
    #[diesel(sql_type = Text)]
    pub environment: String,
    /// 64 hex digits.
    #[diesel(sql_type = Text)]
    pub fingerprint: String,
    /// First line of its first event's message.
    #[diesel(sql_type = Text)]
    pub title: String,
    /// State.
    #[diesel(sql_type = Text)]
    pub status: IncidentStatus,
    /// Highest severity seen.
    #[diesel(sql_type = Text)]
    pub severity: Severity,
    /// Events, each counted once.
    #[diesel(sql_type = BigInt)]
    pub event_count: i64,
    /// Earliest event time.
    #[diesel(sql_type = Timestamptz)]
    pub first_seen: DateTime<Utc>,
    /// Latest event time.
    #[diesel(sql_type = Timestamptz)]
    pub last_seen: DateTime<Utc>,
    /// When it was resolved, while it is.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub resolved_at: Option<DateTime<Utc>>,
    /// The incident before it, if this is a regression.
    #[diesel(sql_type = Nullable<Text>)]
    pub previous_incident_id: Option<String>,
    /// Offset of the last record that the row contains.
    #[diesel(sql_type = BigInt)]
    pub applied_through: i64,
    /// Another one after each change of the row, whoever made it: the transaction that wrote it.
    #[diesel(sql_type = Text)]
    pub version: String,
}
