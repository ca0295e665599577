//! All events of the key's project, searched. The index is a guest: while it does not answer, only these routes say so.

mod bars;
mod cursor;
mod excerpt;
mod query;
mod shapes;

use super::CoreState;
use super::incidents::{shown, unshared};
use super::list_query::own_project;
use super::query::Query;
use crate::error::Problem;
use crate::openapi::Refusals;
use actix_web::{HttpRequest, HttpResponse, get, web};
use bars::Window;
use query::{SearchParameters, SearchQuery};
use schema::incidents::IncidentRow;
use schema::keys::Scope;
use schema::search::{SearchAnswer, SearchError, SearchIndex, SearchRequest};
use shapes::{EventPage, FoundEvent};

/// Seconds after which a client may ask again while the index is away.
const COME_BACK: u64 = 2;
/// The same, where there is no index: nothing will change soon.
const COME_BACK_LATER: u64 = 60;

/// Events of the key's project, the newest first.
///
/// Every filter may be repeated: within one field any of its values is let through, and all fields must agree.
#[utoipa::path(
    tag = "search",
    params(SearchParameters),
    responses((status = 200, description = "A page of events, and all hits by field and by time.", body = EventPage), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/search/events")]
pub(super) async fn events(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let query = SearchQuery::parse(request.query_string(), &principal.project_id)?;
    let (answer, window) = ask(index(&state)?, &query).await.map_err(failed)?;
    Ok(HttpResponse::Ok().insert_header(unshared()).json(EventPage::new(&query, answer, window)))
}

/// One event of the key's project by the id that a search showed.
#[utoipa::path(
    tag = "search",
    params(
        ("id" = String, Path, description = "`id` of a found event."),
        ("project_id" = Option<String>, Query, description = "Only to say it aloud: another project than the key's is refused.")
    ),
    responses((status = 200, description = "The event.", body = FoundEvent), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/search/events/{id}")]
pub(super) async fn event(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<CoreState>,
) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let mut query = Query::parse(request.query_string(), &["project_id"])?;
    own_project(&mut query, &principal.project_id)?;
    let projects = [principal.project_id.clone()];
    let found = index(&state)?.event(&projects, &id).await.map_err(failed)?;
    let event = found.ok_or_else(|| Problem::not_found(format_args!("event {}", shown(&id))))?;
    Ok(HttpResponse::Ok().insert_header(unshared()).json(FoundEvent::new(id.into_inner(), event, None)))
}

fn index(state: &CoreState) -> Result<&dyn SearchIndex, Problem> {
    state.search.as_deref().ok_or_else(|| {
        let detail = "this server has no search index; set OPENSEARCH_URL, or ask the one that runs `signals up`";
        Problem::unavailable("search_not_configured", detail, COME_BACK_LATER)
    })
}

/// The answer, and the time that its bars span. Where the question leaves that open, the hits themselves say it, so the bars
/// are asked for in a second step.
async fn ask(index: &dyn SearchIndex, query: &SearchQuery) -> Result<(SearchAnswer, Option<Window>), SearchError> {
    let request = &query.request;
    if let Some(window) = request.from.zip(request.to).and_then(|(from, to)| Window::new(from, to)) {
        let request = SearchRequest { interval: Some(window.interval), ..request.clone() };
        return Ok((index.search(&request).await?, Some(window)));
    }
    let mut answer = index.search(request).await?;
    let Some(window) = Window::of_hits(request, answer.span) else { return Ok((answer, None)) };
    let counted = SearchRequest {
        from: Some(window.from),
        to: Some(window.to),
        interval: Some(window.interval),
        limit: 0,
        facet_size: 0,
        ..request.clone()
    };
    answer.histogram = index.search(&counted).await?.histogram;
    Ok((answer, Some(window)))
}

/// The cause is for the operator; a client can only come back.
fn failed(error: SearchError) -> Problem {
    match &error {
        SearchError::Unavailable(_) => tracing::warn!(%error, "a search was not answered"),
        SearchError::Refused(_) => tracing::error!(%error, "a search was not answered"),
    }
    Problem::unavailable("search_unavailable", "the search index does not answer; try again", COME_BACK)
}

/// Where all events of an incident are found: a path of this API. An incident that is not resolved goes on, and so does
/// the search.
pub(super) fn of_incident(row: &IncidentRow) -> String {
    let until = row.resolved_at.map(|_| row.last_seen + chrono::TimeDelta::microseconds(1));
    query::path(&row.project_id, &row.fingerprint, row.first_seen, until)
}
