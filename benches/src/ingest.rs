//! The two servers that the ingest bench compares: the bare handler that is the floor, and the ingest role.

use crate::servers::kafka;
use ::web::auth::Keys;
use ::web::error::problem_defaults;
use ::web::ingest::accepted::{Accepted, Reporter};
use ::web::ingest::{IngestConfig, IngestState, routes};
use ::web::metrics::exporter::Exporter;
use ::web::metrics::requests::measure;
use ::web::producer::LogWriter;
use ::web::request_id::request_id;
use actix_web::middleware::from_fn;
use actix_web::web::{self, Bytes, Data, ServiceConfig};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer};
use anyhow::Context;
use schema::database::{DatabaseConfig, pool};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Threads of both servers: one for each core of the machine that the targets were set on.
const WORKERS: usize = 2;
/// Connections to the database, for keys and reports.
const CONNECTIONS: usize = 4;

/// Where the ingest role keeps what it takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Door {
    /// The log.
    pub topic: String,
    /// The keys.
    pub database_url: String,
}

/// Serves the bare handler until the process is killed; prints its address first.
///
/// # Errors
/// If it cannot listen.
pub async fn serve_floor(keys: &[String]) -> anyhow::Result<()> {
    let keys: HashMap<String, u64> = keys.iter().cloned().zip(0..).collect();
    let keys = Data::from(Arc::new(keys));
    let server = HttpServer::new(move || App::new().app_data(keys.clone()).default_service(web::post().to(bare)));
    let server = server.workers(WORKERS).disable_signals().bind(("127.0.0.1", 0))?;
    tell(&server.addrs())?;
    Ok(server.run().await?)
}

/// Looks the key up; the body is read because a kept connection needs that.
async fn bare(request: HttpRequest, keys: Data<HashMap<String, u64>>, _body: Bytes) -> HttpResponse {
    let key = request.headers().get("x-api-key").and_then(|key| key.to_str().ok());
    match key.and_then(|key| keys.get(key)) {
        Some(_) => HttpResponse::Accepted().content_type("application/json").body(r#"{"accepted":true}"#),
        None => HttpResponse::Unauthorized().finish(),
    }
}

/// Serves the ingest role as `signals ingest` wires it, until the process is killed; prints its address first.
///
/// # Errors
/// If a part of it cannot start.
pub async fn serve_ingest(door: &Door) -> anyhow::Result<()> {
    let _exporter = Exporter::install()?;
    let database = pool(&DatabaseConfig::at(&door.database_url), CONNECTIONS)?;
    let accepted = Accepted::default();
    let _reporter = Reporter::start(accepted.clone(), database.clone());
    let log = LogWriter::new(kafka()?, &door.topic)?;
    let state = IngestState::new(Keys::new(database), log, accepted, &IngestConfig::default());
    let server = HttpServer::new(move || {
        let routes = |config: &mut ServiceConfig| routes(state.clone())(config);
        App::new().configure(problem_defaults).configure(routes).wrap(from_fn(request_id)).wrap(from_fn(measure))
    });
    let server = server.workers(WORKERS).disable_signals().bind(("127.0.0.1", 0))?;
    tell(&server.addrs())?;
    Ok(server.run().await?)
}

fn tell(addresses: &[SocketAddr]) -> anyhow::Result<()> {
    println!("{}", addresses.first().context("it does not listen")?);
    Ok(())
}
