//! `GET /v1/ledger`: what went in against what became of it (G6).

use super::incidents::unshared;
use super::list_query::own_project;
use super::query::Query;
use super::{CoreState, failed};
use crate::error::Problem;
use crate::openapi::Refusals;
use actix_web::{HttpRequest, HttpResponse, get, web};
use chrono::{DateTime, Utc};
use schema::keys::Scope;
use schema::ledger::{IngestRow, Sides};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Both sides of a project's ledger, in events since the project began.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ledger {
    /// Project.
    pub project_id: String,
    /// Acknowledged by the log, as the ingest processes counted.
    pub accepted: i64,
    /// In the counts of the project, each once.
    pub counted: i64,
    /// Not counted because its event id had been.
    pub duplicate: i64,
    /// Kept in the dead letters.
    pub dead_lettered: i64,
    /// Dropped, by reason.
    pub dropped: BTreeMap<String, i64>,
    /// Accepted and not yet anything of the above: in the log, or not yet flushed.
    pub in_flight: i64,
    /// Handled though no ingest process has reported its acknowledgement: it was killed before it could, or a client's
    /// answer said 503 and the log had it all the same.
    pub unreported: i64,
    /// Whether the sum is closed: nothing in flight, nothing unreported.
    pub is_closed: bool,
    /// The ingest processes, newest report first.
    pub ingest: Vec<IngestProcess>,
}

/// One ingest process's last word.
#[derive(Debug, Serialize, ToSchema)]
pub struct IngestProcess {
    /// ULID, new with each start.
    pub instance: String,
    /// Events acknowledged.
    pub accepted: i64,
    /// When it said so.
    pub reported_at: DateTime<Utc>,
    /// When it ended in order; null while it runs, or if it was killed.
    pub closed_at: Option<DateTime<Utc>>,
}

impl Ledger {
    fn new(project_id: &str, sides: Sides) -> Self {
        let outcome = |name: &str| sides.outcomes.get(name).copied().unwrap_or(0);
        let dropped: BTreeMap<String, i64> = sides
            .outcomes
            .iter()
            .filter_map(|(name, events)| Some((name.strip_prefix("dropped:")?.to_owned(), *events)))
            .collect();
        let accepted: i64 = sides.ingest.iter().map(|process| process.accepted).sum();
        let handled: i64 = sides.outcomes.values().sum();
        Self {
            project_id: project_id.to_owned(),
            accepted,
            counted: outcome("counted"),
            duplicate: outcome("duplicate"),
            dead_lettered: outcome("dead_lettered"),
            dropped,
            in_flight: accepted.saturating_sub(handled).max(0),
            unreported: handled.saturating_sub(accepted).max(0),
            is_closed: accepted == handled,
            ingest: sides.ingest.into_iter().map(IngestProcess::from).collect(),
        }
    }
}

impl From<IngestRow> for IngestProcess {
    fn from(row: IngestRow) -> Self {
        Self {
            instance: row.instance_id,
            accepted: row.accepted,
            reported_at: row.reported_at,
            closed_at: row.closed_at,
        }
    }
}

/// What went into the log for the key's project, and what became of it.
#[utoipa::path(
    tag = "ledger",
    responses((status = 200, description = "Both sides.", body = Ledger), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/ledger")]
pub(super) async fn ledger(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let mut query = Query::parse(request.query_string(), &["project_id"])?;
    own_project(&mut query, &principal.project_id)?;
    let mut connection = state.connection().await?;
    let sides = schema::ledger::sides(&mut connection, &principal.project_id).await.map_err(failed)?;
    Ok(HttpResponse::Ok().insert_header(unshared()).json(Ledger::new(&principal.project_id, sides)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sides(accepted: i64, outcomes: &[(&str, i64)]) -> Sides {
        let row = IngestRow { instance_id: "i".into(), accepted, reported_at: DateTime::UNIX_EPOCH, closed_at: None };
        let outcomes = outcomes.iter().map(|(name, events)| ((*name).to_owned(), *events)).collect();
        Sides { ingest: vec![row], outcomes }
    }

    #[test]
    fn g6_the_sum_is_closed_exactly_when_both_sides_agree() {
        let outcomes = [("counted", 5), ("duplicate", 2), ("dead_lettered", 1), ("dropped:too_old", 1)];
        let closed = Ledger::new("p", sides(9, &outcomes));
        assert!(closed.is_closed && closed.in_flight == 0 && closed.unreported == 0);
        assert_eq!(closed.dropped.get("too_old"), Some(&1));
        let flying = Ledger::new("p", sides(12, &outcomes));
        assert_eq!((flying.is_closed, flying.in_flight, flying.unreported), (false, 3, 0));
        let killed = Ledger::new("p", sides(8, &outcomes));
        assert_eq!((killed.is_closed, killed.in_flight, killed.unreported), (false, 0, 1));
    }
}
