//! The core API: what is known of incidents, and the commands that people give them.
//!
//! It reads PostgreSQL: a command goes to the log, behind the events that it was given after, and the engine decides. Only
//! a summary that is asked for is queued in the database. A key speaks for one project; every query names that project.

mod ai;
mod ai_shapes;
mod commands;
mod cursor;
mod figures;
mod incidents;
mod ledger;
mod list_query;
mod metrics;
mod quarantine;
pub(crate) mod query;
mod search;
mod shapes;

use crate::auth::Keys;
use crate::error::Problem;
use crate::producer::LogWriter;
use actix_web::web;
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::deadpool::Object;
use schema::database::Database;
use schema::search::SearchIndex;
use std::sync::Arc;
use tokio::sync::Notify;
use utoipa_actix_web::service_config::ServiceConfig;

/// What the core API stands on.
#[derive(Clone)]
#[expect(missing_debug_implementations, reason = "a pool of database connections has no Debug")]
pub struct CoreState {
    /// Where incidents are read.
    pub database: Database,
    /// Who may ask.
    pub keys: Keys,
    /// Where commands go.
    pub log: LogWriter,
    /// Wakes the summarizers of this process, if there are any.
    pub jobs_queued: Arc<Notify>,
    /// The index of all events; none if this process was not told of one.
    pub search: Option<Arc<dyn SearchIndex>>,
}

/// The routes of the core API, for [`actix_web::App::configure`].
pub fn routes(state: CoreState) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config.app_data(web::Data::new(state));
        services(&mut ServiceConfig::new(config));
        crate::openapi::refuse_other_methods(config, services);
    }
}

/// The routes without what they stand on; [`crate::openapi`] describes what is registered here.
pub fn services(config: &mut ServiceConfig<'_>) {
    config
        .service(incidents::list)
        .service(incidents::detail)
        .service(commands::investigate)
        .service(commands::resolve)
        .service(commands::reopen)
        .service(ai::summarize)
        .service(ai::stats)
        .service(ai::activity)
        .service(ai::jobs)
        .service(ledger::ledger)
        .service(quarantine::list)
        .service(quarantine::lift)
        .service(metrics::overview)
        .service(metrics::trends)
        .service(search::events)
        .service(search::event);
}

impl CoreState {
    async fn connection(&self) -> Result<Object<AsyncPgConnection>, Problem> {
        self.database.get().await.map_err(|error| {
            tracing::warn!(%error, "no database connection for a request");
            unavailable()
        })
    }
}

/// What a failed query becomes: 503 if the connection broke under it, 500 if the query is wrong.
fn failed(error: diesel::result::Error) -> Problem {
    use diesel::result::{DatabaseErrorKind as Kind, Error};
    let is_passing = match &error {
        Error::DatabaseError(Kind::ClosedConnection | Kind::UnableToSendCommand | Kind::SerializationFailure, _)
        | Error::BrokenTransactionManager => true,
        // A server that is told to stop says so in an error of no kind of its own.
        Error::DatabaseError(Kind::Unknown, words) => words.message().starts_with("terminating connection"),
        _ => false,
    };
    if !is_passing {
        return Problem::internal(error);
    }
    tracing::warn!(%error, "a database connection broke under a request");
    unavailable()
}

fn unavailable() -> Problem {
    Problem::unavailable("database_unavailable", "the database does not answer; try again", 1)
}
