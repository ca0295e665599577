//! The wiring: which parts a process runs, in which order they start and end.

mod prepare;
mod welcome;

pub use prepare::migrate;

use crate::auth::Keys;
use crate::config::{SignalsConfig, section};
use crate::core::CoreState;
use crate::error::problem_defaults;
use crate::health::Probes;
use crate::ingest::accepted::{Accepted, Reporter};
use crate::ingest::{IngestConfig, IngestState};
use crate::metrics::exporter::Exporter;
use crate::metrics::requests::measure;
use crate::minutes_retention::MinutesRetention;
use crate::producer::LogWriter;
use crate::request_id::request_id;
use crate::search_retention::SearchRetention;
use crate::stack::{Stack, seed_key};
use crate::supervision::{self, SupervisionState};
use crate::{core, health, ingest, metrics, openapi};
use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::{App, HttpServer, web};
use actors::config::EngineConfig;
use actors::indexer::config::IndexerConfig;
use actors::summarizer::config::AiConfig;
use actors::summarizer::model::{ModelClient, ModelConfig};
use actors::summarizer::pool::{JobsQueued, SummarizerPool};
use actors::summarizer::rerun::{self, Rerun};
use actors::supervision::indexing::Indexing;
use actors::supervision::root::Engine;
use anyhow::Context;
use futures_util::future::join_all;
use prepare::prepare;
use schema::database::Database;
use schema::search::SearchIndex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use welcome::welcome;

/// Seconds that requests under way may take once the process is told to end. With the last report or the last flushes,
/// whichever takes longer, a process ends within ten, whatever server is away.
const SHUTDOWN_SECONDS: u64 = 3;

/// Connections to the database for API keys alone: one more than may be looked up at once, so that known keys are read again
/// in time whoever tries keys at random.
const KEY_CONNECTIONS: usize = 5;

/// Where a process without other HTTP servers serves its health and metrics, unless `SIGNALS_METRICS_PORT` says.
const METRICS_PORT: u16 = 3003;

/// A part of Signals that a process can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    /// HTTP in: events to the log.
    Ingest,
    /// HTTP out: incidents, and people's commands.
    Core,
    /// The log to incidents.
    Engine,
    /// Incidents to their summaries.
    AiWorker,
    /// The log to the search index.
    Indexer,
}

/// What runs in this process, to be ended in the opposite order of its start.
struct Running {
    probes: Probes,
    grace: Duration,
    servers: Vec<ServerHandle>,
    engine: Option<Engine>,
    minutes: Option<MinutesRetention>,
    summarizers: Option<SummarizerPool>,
    indexing: Option<(Indexing, SearchRetention)>,
    reporter: Option<Reporter>,
    keys: Option<Keys>,
    addresses: Vec<(Role, SocketAddr)>,
}

/// `signals up`: every role in this process, on embedded servers unless the environment names real ones; seeds the
/// demo project and prints a welcome.
///
/// # Errors
/// What did not start or did not end well.
pub async fn up() -> anyhow::Result<()> {
    let config: SignalsConfig = section("SIGNALS_")?;
    let stack = Stack::start(&config).await?;
    let key = seed_key(&config)?;
    let ended = async {
        prepare(&stack).await?;
        let database = schema::database::pool(&stack.database, config.database_connections)?;
        schema::seed::seed_demo(&mut *database.get().await?, &key).await.context("cannot seed the demo project")?;
        let all = [Role::Ingest, Role::Core, Role::Engine, Role::AiWorker, Role::Indexer];
        let running = start(&all, &config, &stack, database).await?;
        print!("{}", welcome(&running, &stack, &key, &config)?);
        until_told(running).await
    }
    .await;
    let stopped = stack.stop().await;
    ended.and(stopped)
}

/// Some roles, of a deployment whose servers the environment names.
///
/// # Errors
/// As [`up`].
pub async fn roles(roles: &[Role]) -> anyhow::Result<()> {
    let config: SignalsConfig = section("SIGNALS_")?;
    let stack = if needs_log(roles) { Stack::named_with_log()? } else { Stack::named()? };
    let stack = stack.and_named_search(&config)?;
    anyhow::ensure!(
        stack.search.is_some() || !roles.contains(&Role::Indexer),
        "set OPENSEARCH_URL; only `signals` and `signals up` bring their own search index"
    );
    if needs_log(roles) {
        prepare(&stack).await?;
    } else {
        migrate(stack.database.clone()).await?;
    }
    let database = schema::database::pool(&stack.database, config.database_connections)?;
    until_told(start(roles, &config, &stack, database).await?).await
}

/// Summaries are written from the database to the database.
fn needs_log(roles: &[Role]) -> bool {
    roles.iter().any(|role| *role != Role::AiWorker)
}

async fn start(roles: &[Role], config: &SignalsConfig, stack: &Stack, database: Database) -> anyhow::Result<Running> {
    // Before anything that measures.
    let mut exporter = Exporter::install()?.sample_database(database.clone());
    let mut probes = Probes::new().add_database(database.clone());
    if needs_log(roles) {
        probes = probes.add_log(&stack.kafka, schema::names::RAW_TOPIC)?;
    }
    let mut running = Running::new(&probes, Duration::from_secs(config.shutdown_grace));
    let jobs_queued = JobsQueued::default();
    if roles.contains(&Role::Engine) {
        let engine = EngineConfig {
            consumer_settings: stack.consumer_settings.clone(),
            jobs_queued: Arc::clone(&jobs_queued),
            ..EngineConfig::default()
        };
        let engine = Engine::start(stack.kafka.clone(), database.clone(), engine).await?;
        exporter = exporter.sample(engine.sampler());
        probes = supervision::probes(probes, &engine.observer());
        running.engine = Some(engine);
        running.minutes = Some(MinutesRetention::start(database.clone(), config.metrics_retention_days));
    }
    if roles.contains(&Role::AiWorker) {
        running.summarizers = Some(summarizers(database.clone(), Arc::clone(&jobs_queued))?);
    }
    if let Some(index) = stack.search.clone().filter(|_| roles.contains(&Role::Indexer)) {
        let indexing = running.index(index, config, stack, database.clone())?;
        exporter = exporter.sample(indexing.sampler());
        probes = supervision::index_probes(probes, &indexing.observer());
    }
    let keys = running.keys(stack)?;
    let seen = running.seen(database.clone(), keys.clone());
    let watched = watched(probes, exporter);
    let has_http = roles.contains(&Role::Ingest) || roles.contains(&Role::Core);
    if config.metrics_port.is_some() || !has_http {
        running.watch(config, beside_engine(watched.clone(), seen.clone()))?;
    }
    if !has_http {
        return Ok(running);
    }
    let log = LogWriter::new(stack.kafka.clone(), schema::names::RAW_TOPIC)?;
    if roles.contains(&Role::Core) {
        let search = stack.search.clone();
        let state = CoreState { database: database.clone(), keys: keys.clone(), log: log.clone(), jobs_queued, search };
        let watched = watched.clone();
        let routes = move |config: &mut web::ServiceConfig| {
            config.configure(core::routes(state.clone())).configure(supervision::routes(seen.clone()));
            config.configure(watched.clone()).configure(openapi::routes);
        };
        running.serve(Role::Core, (config.bind, config.core_port).into(), routes)?;
    }
    if roles.contains(&Role::Ingest) {
        let accepted = Accepted::default();
        running.reporter = Some(Reporter::start(accepted.clone(), database));
        let state = IngestState::new(keys, log, accepted, &section::<IngestConfig>("SIGNALS_")?);
        let routes = move |config: &mut web::ServiceConfig| {
            config.configure(ingest::routes(state.clone())).configure(watched.clone());
        };
        running.serve(Role::Ingest, (config.bind, config.ingest_port).into(), routes)?;
    }
    Ok(running)
}

/// A model is asked if the environment names one.
fn summarizers(database: Database, jobs_queued: JobsQueued) -> anyhow::Result<SummarizerPool> {
    let config: AiConfig = section("SIGNALS_AI_")?;
    Ok(SummarizerPool::start(database, model()?, (&config).into(), jobs_queued))
}

fn model() -> anyhow::Result<Option<ModelClient>> {
    let model = ModelConfig::from_sections(section("GRADIENT_")?, &section("SIGNALS_AI_")?)?;
    match &model {
        Some(model) => {
            tracing::info!(models = model.models.join(", "), endpoint = %model.base_url, "summaries are asked of a model")
        }
        None => tracing::info!("no model is named: summaries are made of the facts by rules"),
    }
    Ok(model.map(|model| ModelClient::new(&model)).transpose()?)
}

/// Explains an incident once more, with this model or as configured; see [`rerun::rerun`].
///
/// # Errors
/// A sentence for the person who asked.
pub async fn rerun(database: &Database, incident_id: &str, named: Option<&str>) -> anyhow::Result<Rerun> {
    let config: AiConfig = section("SIGNALS_AI_")?;
    Ok(rerun::rerun(database, model()?.as_ref(), &(&config).into(), incident_id, named).await?)
}

/// What every server shows besides its own routes.
fn watched(probes: Probes, exporter: Exporter) -> impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static {
    move |config| {
        config.configure(health::routes(probes.clone())).configure(metrics::exporter::routes(exporter.clone()));
    }
}

/// The same, and the operator's view if anybody lives in this process who can be seen: even if nothing else is served.
fn beside_engine(
    watched: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    seen: SupervisionState,
) -> impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static {
    move |config| {
        config.configure(watched.clone());
        if seen.sees_somebody() {
            config.configure(supervision::routes(seen.clone()));
        }
    }
}

impl Running {
    fn new(probes: &Probes, grace: Duration) -> Self {
        Self {
            probes: probes.clone(),
            grace,
            servers: Vec::new(),
            engine: None,
            minutes: None,
            summarizers: None,
            indexing: None,
            reporter: None,
            keys: None,
            addresses: Vec::new(),
        }
    }

    /// With connections of their own: whoever keeps the others busy must not keep a revocation from being read.
    fn keys(&mut self, stack: &Stack) -> anyhow::Result<Keys> {
        let database = schema::database::pool(&stack.database, KEY_CONNECTIONS)?;
        Ok(self.keys.insert(Keys::new(database)).clone())
    }

    /// Starts the indexers and what deletes old days, whether or not the search server answers.
    fn index(
        &mut self,
        index: Arc<dyn SearchIndex>,
        config: &SignalsConfig,
        stack: &Stack,
        database: Database,
    ) -> anyhow::Result<&Indexing> {
        let settings = IndexerConfig { consumer_settings: stack.consumer_settings.clone(), ..IndexerConfig::default() };
        let indexing = Indexing::start(stack.kafka.clone(), Arc::clone(&index), settings)?;
        let retention = SearchRetention::start(database, index, config.search_retention_days);
        Ok(&self.indexing.insert((indexing, retention)).0)
    }

    fn seen(&self, database: Database, keys: Keys) -> SupervisionState {
        let observer = self.engine.as_ref().map(Engine::observer);
        let summarizers = self.summarizers.as_ref().map(SummarizerPool::observer);
        let indexers = self.indexing.as_ref().map(|(indexing, _)| indexing.observer());
        SupervisionState { database, keys, observer, summarizers, indexers }
    }

    /// Health and metrics on a port of their own. The port that nobody chose may be taken: then any free one.
    fn watch(
        &mut self,
        config: &SignalsConfig,
        routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> anyhow::Result<()> {
        let chosen = config.metrics_port.unwrap_or(METRICS_PORT);
        let mut served = self.serve(Role::Engine, (config.bind, chosen).into(), routes.clone());
        if served.is_err() && config.metrics_port.is_none() {
            served = self.serve(Role::Engine, (config.bind, 0).into(), routes);
        }
        tracing::info!(url = self.url(Role::Engine), "health and metrics are served");
        served
    }

    fn serve(
        &mut self,
        role: Role,
        address: SocketAddr,
        routes: impl Fn(&mut web::ServiceConfig) + Clone + Send + 'static,
    ) -> anyhow::Result<()> {
        let server = HttpServer::new(move || {
            App::new()
                .configure(problem_defaults)
                .configure(routes.clone())
                .wrap(from_fn(request_id))
                .wrap(from_fn(measure))
        })
        .disable_signals()
        .shutdown_timeout(SHUTDOWN_SECONDS)
        .bind(address)
        .with_context(|| format!("cannot listen on {address} for {role:?}"))?;
        self.addresses.extend(server.addrs().first().map(|address| (role, *address)));
        let server = server.run();
        self.servers.push(server.handle());
        actix_web::rt::spawn(server);
        Ok(())
    }

    fn url(&self, role: Role) -> String {
        let found = self.addresses.iter().find(|(known, _)| *known == role);
        found.map_or_else(String::new, |(_, address)| format!("http://{address}"))
    }

    /// No new requests; then the last report and, at the same time, the last flushes; the group is left.
    async fn stop(self) {
        join_all(self.servers.iter().map(|server| server.stop(true))).await;
        let report = async {
            if let Some(reporter) = self.reporter {
                reporter.stop().await;
            }
        };
        let summarize = async {
            if let Some(summarizers) = self.summarizers {
                summarizers.stop().await;
            }
        };
        if let Some(minutes) = self.minutes {
            minutes.stop();
        }
        let flush = async {
            if let Some(engine) = self.engine {
                engine.stop().await;
            }
        };
        let index = async {
            if let Some((indexing, retention)) = self.indexing {
                retention.stop();
                indexing.stop().await;
            }
        };
        let note = async {
            if let Some(keys) = self.keys {
                keys.note_used().await;
            }
        };
        tokio::join!(report, note, summarize, index, flush);
    }
}

/// Runs until a signal comes or the engine gives up, then ends everything in order.
async fn until_told(mut running: Running) -> anyhow::Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tracing::info!(addresses = ?running.addresses, "signals has started");
    let death = tokio::select! {
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
        death = failed(&mut running.engine) => Some(death),
    };
    running.probes.end();
    if death.is_none() && !running.grace.is_zero() {
        tracing::info!(grace = ?running.grace, "told to end: no longer ready, serving until the grace period is over");
        tokio::select! {
            () = tokio::time::sleep(running.grace) => {}
            // Told twice, it does not wait.
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
    running.stop().await;
    // The durable rows and the log hold everything: the next start goes on from there.
    match death {
        Some(Some(notice)) => anyhow::bail!("{} died too often ({:?}): {}", notice.child, notice.reason, notice.words),
        Some(None) => anyhow::bail!("the thread that polls the log has ended"),
        None => Ok(()),
    }
}

async fn failed(engine: &mut Option<Engine>) -> Option<actors::supervision::child::DeathNotice> {
    match engine {
        Some(engine) => engine.failed().await,
        None => std::future::pending().await,
    }
}
