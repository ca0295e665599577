//! Summaries: how they do, and asking for one.

use super::ai_shapes::{
    Activity, AiActivity, AiJobs, AiPagination, AiStats, AiSummary, Job, JobOutcome, JobParameters, PageParameters,
    Summarized, SummaryQueued,
};
use super::commands::{FIRST_PAUSE, LONGEST_PAUSE, PATIENCE, find};
use super::incidents::unshared;
use super::list_query::own_project;
use super::query::{Query, invalid};
use super::{CoreState, failed};
use crate::error::Problem;
use crate::openapi::Refusals;
use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, get, post, web};
use schema::ai::{self, Cause, JobState};
use schema::keys::Scope;

/// Rows on a page, unless the client says otherwise.
const USUAL_LIMIT: i64 = 50;
/// Rows that a page may have.
const MOST_ROWS: i64 = 100;
/// Rows that may be skipped.
const MOST_SKIPPED: i64 = 1_000_000;

/// Has the incident's summary written again from its facts as they are now.
#[utoipa::path(
    tag = "ai",
    params(("id" = String, Path, description = "The incident's id.")),
    responses(
        (status = 200, description = "The job has ended.", body = Summarized),
        (status = 202, description = "The job is queued, but has not ended in 2 seconds.", body = SummaryQueued,
            headers(("Location" = String, description = "The incident."))),
        Refusals
    ),
    security(("api_key" = ["write"]))
)]
#[post("/v1/incidents/{id}/summarize")]
pub(super) async fn summarize(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<CoreState>,
) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Write).await?;
    Query::parse(request.query_string(), &[])?;
    let incident = find(&state, &principal.project_id, &id).await?;
    let asked = {
        let mut connection = state.connection().await?;
        ai::request(&mut connection, &incident.project_id, &incident.id, Cause::Requested).await.map_err(failed)?
    };
    let job_id = asked.ok_or_else(|| Problem::not_found(format_args!("incident {}", incident.id)))?;
    state.jobs_queued.notify_one();
    let Ok(ended) = tokio::time::timeout(PATIENCE, ended(&state, &job_id)).await else {
        return Ok(HttpResponse::Accepted()
            .insert_header((LOCATION, format!("/v1/incidents/{}", incident.id)))
            .json(SummaryQueued { accepted: true, job_id }));
    };
    let summary = {
        let mut connection = state.connection().await?;
        ai::summary_of(&mut connection, &incident.id).await.map_err(failed)?
    };
    let shown = Summarized {
        ai_summary: summary.and_then(|summary| AiSummary::read(&incident.id, summary)),
        incident: find(&state, &principal.project_id, &id).await?.into(),
        job: JobOutcome { id: job_id, status: ended.status, last_error: ended.last_error },
    };
    Ok(HttpResponse::Ok().insert_header(unshared()).json(shown))
}

/// Looks again and again; returns once the job has ended. It is queued by now, so a database that does not answer is no
/// reason to tell the client that it failed.
async fn ended(state: &CoreState, job_id: &str) -> JobState {
    let mut pause = FIRST_PAUSE;
    loop {
        match look(state, job_id).await {
            Ok(Some(job)) if matches!(job.status.as_str(), "succeeded" | "failed") => return job,
            Ok(_) => {}
            Err(problem) => tracing::warn!(job_id, %problem, "cannot look how a summary's job does"),
        }
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(pause * 3 / 2);
    }
}

async fn look(state: &CoreState, job_id: &str) -> Result<Option<JobState>, Problem> {
    let mut connection = state.connection().await?;
    ai::job_state(&mut connection, job_id).await.map_err(failed)
}

/// How the summaries of the key's project do.
#[utoipa::path(
    tag = "ai",
    responses((status = 200, description = "The figures.", body = AiStats), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/ai/stats")]
pub(super) async fn stats(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let mut query = Query::parse(request.query_string(), &["project_id"])?;
    own_project(&mut query, &principal.project_id)?;
    let mut connection = state.connection().await?;
    let (row, models) = ai::stats(&mut connection, &principal.project_id).await.map_err(failed)?;
    Ok(HttpResponse::Ok().insert_header(unshared()).json(AiStats::new(row, models)))
}

/// The newest summaries of the key's project.
#[utoipa::path(
    tag = "ai",
    params(PageParameters),
    responses((status = 200, description = "The summaries.", body = AiActivity), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/ai/activity")]
pub(super) async fn activity(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let mut query = Query::parse(request.query_string(), &["project_id", "limit", "offset"])?;
    own_project(&mut query, &principal.project_id)?;
    let (limit, offset) = page(&mut query)?;
    let mut connection = state.connection().await?;
    let (rows, total) = ai::activity(&mut connection, &principal.project_id, offset, limit).await.map_err(failed)?;
    let pagination = pagination(total, limit, offset, rows.len());
    let activity = rows.into_iter().map(Activity::from).collect();
    Ok(HttpResponse::Ok().insert_header(unshared()).json(AiActivity { activity, pagination }))
}

/// The jobs of the key's project that ask for summaries.
#[utoipa::path(
    tag = "ai",
    params(JobParameters, PageParameters),
    responses((status = 200, description = "The jobs.", body = AiJobs), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/ai/jobs")]
pub(super) async fn jobs(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let mut query = Query::parse(request.query_string(), &["project_id", "status", "limit", "offset"])?;
    own_project(&mut query, &principal.project_id)?;
    let status = query.one("status")?;
    if status.as_ref().is_some_and(|status| !["queued", "running", "succeeded", "failed"].contains(&status.as_str())) {
        return Err(invalid("status", "must be one of queued, running, succeeded, failed"));
    }
    let (limit, offset) = page(&mut query)?;
    let mut connection = state.connection().await?;
    let listed = ai::list(&mut connection, &principal.project_id, status.as_deref(), offset, limit).await;
    let (rows, total) = listed.map_err(failed)?;
    let pagination = pagination(total, limit, offset, rows.len());
    let jobs = rows.into_iter().map(Job::from).collect();
    Ok(HttpResponse::Ok().insert_header(unshared()).json(AiJobs { jobs, pagination }))
}

fn page(query: &mut Query) -> Result<(i64, i64), Problem> {
    let limit = query.number("limit", 1, MOST_ROWS)?.unwrap_or(USUAL_LIMIT);
    Ok((limit, query.number("offset", 0, MOST_SKIPPED)?.unwrap_or(0)))
}

fn pagination(total: i64, limit: i64, offset: i64, shown: usize) -> AiPagination {
    let until = offset.saturating_add(i64::try_from(shown).unwrap_or(i64::MAX));
    AiPagination { total, limit, offset, has_more: until < total }
}
