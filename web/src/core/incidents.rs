//! Incidents, read.

use super::ai_shapes::AiSummary;
use super::cursor::{Cursor, is_incident_id};
use super::list_query::{ListParameters, ListQuery};
use super::shapes::{IncidentDetail, IncidentEvent, IncidentList, Pagination};
use super::{CoreState, failed};
use crate::error::Problem;
use crate::openapi::Refusals;
use actix_web::http::header::{CacheControl, CacheDirective, ETag, EntityTag, Header, IfNoneMatch};
use actix_web::{HttpRequest, HttpResponse, get, web};
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use schema::freshness::complete_until;
use schema::incidents::{self, IncidentRow, Kept, Minute, Place};
use schema::keys::Scope;

/// Incidents of the key's project, the most recent first unless told otherwise.
#[utoipa::path(
    tag = "incidents",
    params(ListParameters),
    responses((status = 200, description = "A page of incidents.", body = IncidentList), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/incidents")]
pub(super) async fn list(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let query = ListQuery::parse(request.query_string(), &principal.project_id)?;
    let mut connection = state.connection().await?;
    let page = page(&mut connection, &principal.project_id, &query).await.map_err(failed)?;
    Ok(HttpResponse::Ok().insert_header(unshared()).json(page))
}

/// All of one moment: one snapshot of the database.
async fn page(connection: &mut AsyncPgConnection, project_id: &str, query: &ListQuery) -> QueryResult<IncidentList> {
    let ListQuery { filter, sort, start, offset, limit } = query;
    let mut transaction = connection.build_transaction().read_only().repeatable_read();
    let (mut rows, total, complete_until) = transaction
        .run(async |connection| {
            let complete_until = complete_until(connection).await?;
            // One row more than is shown tells whether another page follows.
            let more = limit.saturating_add(1);
            let rows = incidents::page(connection, project_id, filter, *sort, start, more).await?;
            let total = incidents::count(connection, project_id, filter).await?;
            QueryResult::Ok((rows, total, complete_until))
        })
        .await?;
    let shown = usize::try_from(*limit).unwrap_or(usize::MAX);
    let has_more = rows.len() > shown;
    rows.truncate(shown);
    let last = rows.last().filter(|_| has_more).map(|row| Place::of(row, sort.field));
    let next_cursor =
        last.map(|place| Cursor { place, walked: offset.saturating_add(*limit) }.encode(project_id, filter, *sort));
    let pagination = Pagination { total, limit: *limit, offset: *offset, has_more, next_cursor };
    Ok(IncidentList { incidents: rows.into_iter().map(Into::into).collect(), pagination, complete_until })
}

/// One incident with its newest events, its history, its trend and the deploys near its beginning.
#[utoipa::path(
    tag = "incidents",
    params(
        ("id" = String, Path, description = "The incident's id."),
        ("If-None-Match" = Option<String>, Header, description = "An `ETag` that is known already.")
    ),
    responses(
        (status = 200, description = "The incident.", body = IncidentDetail,
            headers(("ETag" = String, description = "Names this state of the incident."))),
        (status = 304, description = "Nothing of the incident has changed."),
        Refusals
    ),
    security(("api_key" = ["read"]))
)]
#[get("/v1/incidents/{id}")]
pub(super) async fn detail(
    request: HttpRequest,
    id: web::Path<String>,
    state: web::Data<CoreState>,
) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    super::query::Query::parse(request.query_string(), &[])?;
    let known = IfNoneMatch::parse(&request).map_err(|_| Problem::malformed("If-None-Match cannot be read"))?;
    let mut connection = state.connection().await?;
    let found = load(&mut connection, &principal.project_id, &id, &known).await?;
    match found {
        Loaded::Absent => Err(Problem::not_found(format_args!("incident {}", shown(&id)))),
        Loaded::Known(tag) => {
            Ok(HttpResponse::NotModified().insert_header(ETag(tag)).insert_header(unshared()).finish())
        }
        Loaded::Detail(tag, shown) => {
            Ok(HttpResponse::Ok().insert_header(ETag(tag)).insert_header(unshared()).json(shown))
        }
    }
}

enum Loaded {
    Absent,
    Known(EntityTag),
    Detail(EntityTag, Box<IncidentDetail>),
}

async fn load(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    id: &str,
    known: &IfNoneMatch,
) -> Result<Loaded, Problem> {
    if !is_incident_id(id) {
        return Ok(Loaded::Absent);
    }
    let mut transaction = connection.build_transaction().read_only().repeatable_read();
    let found = transaction
        .run(async |connection| {
            let complete_until = complete_until(connection).await?;
            let Some(row) = incidents::find(connection, project_id, id).await? else { return Ok(None) };
            let summary = schema::ai::summary_version(connection, &row.id).await?;
            let deploys = incidents::deploys_nearby(connection, &row).await?;
            let tag = entity_tag(&row, summary.as_deref(), &deploys);
            if names(known, &tag) {
                return Ok(Some((tag, None)));
            }
            let kept = incidents::kept_beside(connection, &row, deploys).await?;
            QueryResult::Ok(Some((tag, Some((row, kept, complete_until)))))
        })
        .await
        .map_err(failed)?;
    Ok(match found {
        None => Loaded::Absent,
        Some((tag, None)) => Loaded::Known(tag),
        Some((tag, Some((row, kept, complete_until)))) => {
            Loaded::Detail(tag, Box::new(shape(row, kept, complete_until)?))
        }
    })
}

fn shape(row: IncidentRow, kept: Kept, complete_until: Option<DateTime<Utc>>) -> Result<IncidentDetail, Problem> {
    let events = kept.samples.into_iter().map(|sample| IncidentEvent::new(&row.id, sample));
    Ok(IncidentDetail {
        events: events.collect::<serde_json::Result<_>>().map_err(Problem::internal)?,
        ai_summary: kept.summary.and_then(|summary| AiSummary::read(&row.id, summary)),
        transitions: kept.transitions.into_iter().map(Into::into).collect(),
        trend: kept.trend.into_iter().map(Into::into).collect(),
        deploys_nearby: kept.deploys_nearby.into_iter().map(Into::into).collect(),
        complete_until,
        search: super::search::of_incident(&row),
        incident: row.into(),
    })
}

/// Names the state of the incident's row, of its summary and of the deploys around it. Weak, because the same state may come with other words around it:
/// `complete_until` goes on while the incident stands still.
fn entity_tag(row: &IncidentRow, summary: Option<&str>, deploys: &[Minute]) -> EntityTag {
    let (through, events) = (row.applied_through, row.event_count);
    let state = format!("{} {through} {} {events} {} {summary:?} {deploys:?}", row.id, row.status, row.version);
    EntityTag::new_weak(blake3::hash(state.as_bytes()).to_hex().chars().take(32).collect())
}

fn names(known: &IfNoneMatch, tag: &EntityTag) -> bool {
    match known {
        IfNoneMatch::Any => true,
        IfNoneMatch::Items(tags) => tags.iter().any(|known| known.weak_eq(tag)),
    }
}

/// An id as it may be repeated to the one who sent it.
pub(super) fn shown(id: &str) -> String {
    id.chars().filter(|letter| !letter.is_control()).take(64).collect()
}

/// Answers belong to the key's holder and are asked for again each time (a 304 is cheap).
pub(super) fn unshared() -> CacheControl {
    CacheControl(vec![CacheDirective::Private, CacheDirective::NoCache])
}
