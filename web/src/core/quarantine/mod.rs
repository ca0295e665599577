//! Fingerprints whose records are not tried any more, and how a person ends that.
//!
//! As every step that changes something, a lift goes through the log; the engine decides, and writes down whose key it was.

mod shapes;

use super::commands::{PATIENCE, answer};
use super::incidents::{shown, unshared};
use super::list_query::own_project;
use super::query::{Query, invalid};
use super::shapes::Pagination;
use super::{CoreState, failed};
use crate::auth::Principal;
use crate::error::Problem;
use crate::ingest::answer::ProblemDescription;
use crate::openapi::Refusals;
use crate::quarantine::lift as lift_of;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use schema::incidents::OutcomeRow;
use schema::keys::Scope;
use schema::quarantine::{self, QuarantineRow};
use shapes::{LiftAccepted, Lifted, QuarantineEntry, QuarantineList, QuarantineParameters};

/// Rows on a page, unless the client says otherwise.
const USUAL_LIMIT: i64 = 50;
/// Rows that a page may have.
const MOST_ROWS: i64 = 100;
/// Rows that may be skipped.
const MOST_SKIPPED: i64 = 1_000_000;

/// Quarantined fingerprints of the key's project: their records go to the dead letters untried.
#[utoipa::path(
    tag = "supervision",
    params(QuarantineParameters),
    responses((status = 200, description = "A page of quarantines.", body = QuarantineList), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/quarantine")]
pub(super) async fn list(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let mut query = Query::parse(request.query_string(), &["project_id", "lifted", "limit", "offset"])?;
    let project = project(&principal, &mut query)?;
    let with_lifted = match query.one("lifted")?.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => return Err(invalid("lifted", "must be true or false")),
    };
    let limit = query.number("limit", 1, MOST_ROWS)?.unwrap_or(USUAL_LIMIT);
    let offset = query.number("offset", 0, MOST_SKIPPED)?.unwrap_or(0);
    let mut connection = state.connection().await?;
    let page = quarantine::page(&mut connection, &project, with_lifted, limit, offset).await.map_err(failed)?;
    let has_more = offset.saturating_add(limit) < page.total;
    let pagination = Pagination { total: page.total, limit, offset, has_more, next_cursor: None };
    let quarantines = page.rows.into_iter().map(QuarantineEntry::from).collect();
    Ok(HttpResponse::Ok().insert_header(unshared()).json(QuarantineList { quarantines, pagination }))
}

/// Lets a fingerprint's records be counted again. Those in the dead letters stay there until `signals dlq retry` puts them
/// back.
#[utoipa::path(
    tag = "supervision",
    params(
        ("fingerprint" = String, Path, description = "The quarantined fingerprint."),
        ("project_id" = Option<String>, Query, description = "Another project than the key's own; for a key with the \
            scope operator.")
    ),
    responses(
        (status = 200, description = "It is lifted, durably.", body = Lifted),
        (status = 202, description = "It is safe in the log, but the engine has not answered in 2 seconds.",
            body = LiftAccepted, headers(("Location" = String, description = "The list of quarantines."))),
        (status = 409, description = "It is not quarantined any more.", body = ProblemDescription,
            content_type = "application/problem+json"),
        Refusals
    ),
    security(("api_key" = ["admin"]))
)]
#[post("/v1/quarantine/{fingerprint}/lift")]
pub(super) async fn lift(
    request: HttpRequest,
    fingerprint: web::Path<String>,
    state: web::Data<CoreState>,
) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Admin).await?;
    let mut query = Query::parse(request.query_string(), &["project_id"])?;
    let project = project(&principal, &mut query)?;
    let found = find(&state, &project, &fingerprint).await?;
    if found.lifted_at.is_some() {
        return Err(Problem::conflict("the fingerprint is not quarantined any more"));
    }
    let command = lift_of(found.project_id, found.fingerprint, principal.key_id.clone());
    let payload = serde_json::to_vec(&command).map_err(Problem::internal)?;
    // After a refusal it may be in the log nevertheless; a second lift finds nothing to do.
    state.log.append(&command.project_id, &payload, true).await?;
    match tokio::time::timeout(PATIENCE, answer(&state, &command.command_id)).await {
        Ok(OutcomeRow { applied: true, .. }) => {
            let quarantine = find(&state, &project, &command.fingerprint).await?.into();
            let done = Lifted { lifted: true, quarantine, command_id: command.command_id };
            Ok(HttpResponse::Ok().insert_header(unshared()).json(done))
        }
        Ok(OutcomeRow { detail, .. }) => Err(Problem::conflict(detail)),
        Err(_) => Ok(HttpResponse::Accepted()
            .insert_header((LOCATION, "/v1/quarantine"))
            .json(LiftAccepted { accepted: true, command_id: command.command_id })),
    }
}

/// The project that is asked about: an operator may name any, others their own.
fn project(principal: &Principal, query: &mut Query) -> Result<String, Problem> {
    if principal.scopes.contains(&Scope::Operator) {
        return Ok(query.one("project_id")?.unwrap_or_else(|| principal.project_id.clone()));
    }
    own_project(query, &principal.project_id)?;
    Ok(principal.project_id.clone())
}

async fn find(state: &CoreState, project: &str, fingerprint: &str) -> Result<QuarantineRow, Problem> {
    let absent = || Problem::not_found(format_args!("quarantine of {}", shown(fingerprint)));
    if fingerprint.contains('\0') {
        return Err(absent());
    }
    let mut connection = state.connection().await?;
    quarantine::find(&mut connection, project, fingerprint).await.map_err(failed)?.ok_or_else(absent)
}
