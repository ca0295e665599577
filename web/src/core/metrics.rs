//! A project's figures, asked for.

use super::figures::{Overview, TrendParameters, Trends};
use super::incidents::unshared;
use super::list_query::own_project;
use super::query::Query;
use super::{CoreState, failed};
use crate::error::Problem;
use crate::openapi::Refusals;
use actix_web::{HttpRequest, HttpResponse, get, web};
use schema::keys::Scope;
use schema::metrics::{Metric, Period};

/// The key's project at one look.
#[utoipa::path(
    tag = "metrics",
    responses((status = 200, description = "The figures.", body = Overview), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/metrics/overview")]
pub(super) async fn overview(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let mut query = Query::parse(request.query_string(), &["project_id"])?;
    own_project(&mut query, &principal.project_id)?;
    let mut connection = state.connection().await?;
    let row = schema::metrics::overview(&mut connection, &principal.project_id).await.map_err(failed)?;
    Ok(HttpResponse::Ok().insert_header(unshared()).json(Overview::from(row)))
}

/// Errors, sign-ups or requests of the key's project over time.
#[utoipa::path(
    tag = "metrics",
    params(TrendParameters),
    responses((status = 200, description = "The steps.", body = Trends), Refusals),
    security(("api_key" = ["read"]))
)]
#[get("/v1/metrics/trends")]
pub(super) async fn trends(request: HttpRequest, state: web::Data<CoreState>) -> Result<HttpResponse, Problem> {
    let principal = state.keys.authorize(&request, Scope::Read).await?;
    let mut query = Query::parse(request.query_string(), &["metric", "period", "project_id"])?;
    own_project(&mut query, &principal.project_id)?;
    let metric = query.parsed("metric")?.unwrap_or(Metric::Errors);
    let period = query.parsed("period")?.unwrap_or(Period::Day);
    let mut connection = state.connection().await?;
    let points =
        schema::metrics::series(&mut connection, &principal.project_id, metric, period).await.map_err(failed)?;
    Ok(HttpResponse::Ok().insert_header(unshared()).json(Trends::new(metric, period, &points)))
}
