//! The operator's view over HTTP: the living tree of the engine in this process, and what the database knows of every
//! engine, this one or another.
//!
//! It asks and changes nothing. A part that is stuck or a database that is away shows as such; neither delays the answer
//! beyond its deadline. A key with the scope `admin` sees the engine, and of projects, incidents and quarantines its own
//! project's; those of all projects are seen by a key that has the scope `operator` besides: it is for whoever runs Signals.

mod known;
mod parameters;
mod probes;
mod shapes;
mod sight;

pub use actors::supervision::view::{
    ActorView, DeathView, IndexerView, Observed, Order, Page, ResidentView, RouterView, State,
};
pub use probes::{index_probes, probes};
pub use shapes::{Gap, Gaps, Known, Partition, Quarantine, Quarantined, Supervision};

use crate::auth::Keys;
use crate::core::query::{Query, invalid};
use crate::error::Problem;
use crate::openapi::Refusals;
use actix_web::http::header::{CacheControl, CacheDirective};
use actix_web::{HttpRequest, HttpResponse, get, web};
use actors::summarizer::pool::PoolObserver;
use actors::supervision::indexing::IndexObserver;
use actors::supervision::kind::{ActorId, Kind};
use actors::supervision::observer::Observer;
use actors::supervision::view::{Cursor, Selection};
use parameters::{ActorParameters, TreeParameters};
use schema::database::Database;
use schema::keys::Scope;
use sight::Sight;
use std::time::Instant;
use utoipa_actix_web::service_config::ServiceConfig;

/// Children of each kind that the tree shows of each router, unless the client says otherwise.
const USUAL_BRANCH: i64 = 10;
/// Children on a page, unless the client says otherwise.
const USUAL_PAGE: i64 = 50;
/// Children that a page may have.
const MOST_CHILDREN: i64 = 100;

/// What the operator's view stands on.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a pool of database connections has no Debug")]
pub struct SupervisionState {
    /// Where the database's part is read.
    pub database: Database,
    /// Who may ask.
    pub keys: Keys,
    /// The engine of this process; none if it runs elsewhere.
    pub observer: Option<Observer>,
    /// The summarizers of this process; none if they run elsewhere.
    pub summarizers: Option<PoolObserver>,
    /// The indexers of this process; none if they run elsewhere.
    pub indexers: Option<IndexObserver>,
}

impl SupervisionState {
    /// Whether anybody lives in this process who can be seen.
    pub fn sees_somebody(&self) -> bool {
        self.observer.is_some() || self.summarizers.is_some() || self.indexers.is_some()
    }
}

/// The living tree: every actor's state, box, restarts and last progress; partitions with offsets and lag, holes in the log,
/// quarantined fingerprints.
///
/// What does not answer within 200 ms shows as `stuck`, with what it last wrote down. If no engine runs in this process, or
/// the database does not answer, the other part is shown alone. Projects, incidents and quarantines are those of the key's
/// project, or all if the key has the scope operator.
#[utoipa::path(
    tag = "supervision",
    params(TreeParameters),
    responses((status = 200, description = "The tree.", body = Supervision), Refusals),
    security(("api_key" = ["admin"]))
)]
#[get("/v1/supervision")]
async fn tree(request: HttpRequest, state: web::Data<SupervisionState>) -> Result<HttpResponse, Problem> {
    let sight = Sight::of(&*state.keys.authorize(&request, Scope::Admin).await?);
    let mut query = Query::parse(request.query_string(), &["limit", "sort"])?;
    let children = selection(&mut query, USUAL_BRANCH)?;
    let began = Instant::now();
    let engine = async {
        let mut view = sight.through(state.observer.as_ref()?).view(children).await;
        sight.hide(&mut view);
        Some(view)
    };
    let (engine, known) = tokio::join!(engine, state.known(&sight));
    let mut summarizers = state.summarizers.as_ref().map(PoolObserver::view);
    let mut indexers = state.indexers.as_ref().map(IndexObserver::view);
    for guest in summarizers.iter_mut().chain(&mut indexers) {
        sight.hide(guest);
    }
    if !state.sees_somebody() && !known.database_answers {
        return Err(unavailable());
    }
    let known = known.beside(engine.as_ref());
    let collected_in_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(shown(&Supervision::new(collected_in_ms, engine, (summarizers, indexers), known)))
}

/// One actor by its name: `Flusher`, `PartitionRouter 3`, `ProjectActor <project>`, `IncidentActor <project>/<fingerprint>`,
/// `AiSummarizer 1`, `Indexer 3`; a slash may stand for the space. A project or an incident is asked itself; of a router, a page of its
/// children is shown. Projects and incidents are those of the key's project, or all if the key has the scope operator.
#[utoipa::path(
    tag = "supervision",
    params(("actor" = String, Path, description = "The actor's `id`, as the tree shows it."), ActorParameters),
    responses((status = 200, description = "The actor.", body = ActorView), Refusals),
    security(("api_key" = ["admin"]))
)]
#[get("/v1/supervision/{actor:.+}")]
async fn actor(
    request: HttpRequest,
    name: web::Path<String>,
    state: web::Data<SupervisionState>,
) -> Result<HttpResponse, Problem> {
    let sight = Sight::of(&*state.keys.authorize(&request, Scope::Admin).await?);
    let mut query = Query::parse(request.query_string(), &["children", "limit", "sort", "cursor"])?;
    let of_projects = match query.one("children")?.as_deref() {
        None | Some("incidents") => false,
        Some("projects") => true,
        Some(_) => return Err(invalid("children", "must be incidents or projects")),
    };
    let asked = selection(&mut query, USUAL_PAGE)?;
    let id: ActorId = name.parse().map_err(|error| Problem::not_found(format!("such actor: {error}")))?;
    let none = Selection::default();
    let (incidents, projects) = if of_projects { (none, asked) } else { (asked, none) };
    let living = match &state.observer {
        Some(observer) => sight.through(observer).actor(&id, incidents, projects).await,
        None => None,
    };
    let living = living.or_else(|| state.summarizers.as_ref().and_then(|pool| pool.actor(&id)));
    let living = living.or_else(|| state.indexers.as_ref().and_then(|indexers| indexers.actor(&id)));
    let found = match living {
        Some(found) => Some(found),
        None => state.elsewhere(&id).await?,
    };
    let mut found = found.ok_or_else(|| absent(&id, state.observer.is_some()))?;
    sight.hide(&mut found);
    Ok(shown(&found))
}

fn selection(query: &mut Query, usual: i64) -> Result<Selection, Problem> {
    let limit = query.number("limit", 0, MOST_CHILDREN)?.unwrap_or(usual);
    let order = query.parsed::<Order>("sort")?.unwrap_or_default();
    let cursor = query.parsed::<Cursor>("cursor")?;
    if cursor.is_some_and(|cursor| cursor.order != order) {
        return Err(invalid("cursor", "belongs to a list with another sort"));
    }
    let limit = usize::try_from(limit).unwrap_or_default();
    Ok(Selection { order, limit, after: cursor.map(|cursor| cursor.after) })
}

fn shown(body: &impl serde::Serialize) -> HttpResponse {
    HttpResponse::Ok().insert_header(CacheControl(vec![CacheDirective::NoStore])).json(body)
}

fn absent(id: &ActorId, has_engine: bool) -> Problem {
    let why = match id.kind() {
        Kind::SummarizerPool | Kind::AiSummarizer | Kind::IndexConsumer | Kind::Indexer => " in this process",
        _ if !has_engine => "; no engine runs in this process",
        Kind::IncidentActor | Kind::ProjectActor => " alive here; it is woken when its next record comes",
        _ => " in this process",
    };
    Problem::not_found(format!("{id}{why}"))
}

fn unavailable() -> Problem {
    Problem::unavailable(
        "database_unavailable",
        "no engine runs in this process, and the database that knows of the others does not answer; try again",
        1,
    )
}

/// The routes of the operator's view, for [`actix_web::App::configure`].
pub fn routes(state: SupervisionState) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config.app_data(web::Data::new(state));
        services(&mut ServiceConfig::new(config));
        crate::openapi::refuse_other_methods(config, services);
    }
}

/// The routes without what they stand on; [`crate::openapi`] describes what is registered here.
pub fn services(config: &mut ServiceConfig<'_>) {
    config.service(tree).service(actor);
}
