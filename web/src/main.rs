//! The `signals` program: one binary, roles as subcommands. Today: `migrate` and `engine`.

use actors::config::{Database, EngineConfig};
use actors::supervision::root::Engine;
use anyhow::Context;
use clap::{Parser, Subcommand};
use diesel_async::AsyncPgConnection;
use diesel_async::pooled_connection::AsyncDieselConnectionManager;
use rdkafka::ClientConfig;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Connections that the engine may hold at once.
const CONNECTIONS: usize = 8;

#[derive(Debug, Parser)]
#[command(name = "signals", version, about = "Counts every error exactly once and groups it into incidents")]
struct Arguments {
    /// URL of the PostgreSQL database, `postgres://user:password@host:port/name`.
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, global = true, default_value = "")]
    database_url: String,
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, Subcommand)]
enum Role {
    /// Bring the schema of the database up to date.
    Migrate,
    /// Read the log and keep the incidents; ends cleanly on SIGINT or SIGTERM.
    Engine {
        /// Comma-separated host:port of the brokers.
        #[arg(long, env = "KAFKA_BROKERS")]
        kafka_brokers: String,
    },
}

#[actix_web::main]
async fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("SIGNALS_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    anyhow::ensure!(!arguments.database_url.is_empty(), "set DATABASE_URL or pass --database-url");
    match arguments.role {
        Role::Migrate => migrate(arguments.database_url).await,
        Role::Engine { kafka_brokers } => {
            migrate(arguments.database_url.clone()).await?;
            engine(&arguments.database_url, &kafka_brokers).await
        }
    }
}

/// On a runtime of its own: diesel's migrations need one with several threads, actix has one with one.
async fn migrate(database_url: String) -> anyhow::Result<()> {
    let migration = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        anyhow::Ok(runtime.block_on(schema::migrate::migrate(&database_url))?)
    };
    actix_web::web::block(migration).await?.context("cannot bring the schema up to date")
}

async fn engine(database_url: &str, brokers: &str) -> anyhow::Result<()> {
    let manager = AsyncDieselConnectionManager::<AsyncPgConnection>::new(database_url);
    let database = Database::builder(manager).max_size(CONNECTIONS).build()?;
    let mut kafka = ClientConfig::new();
    kafka.set("bootstrap.servers", brokers);
    let mut engine = Engine::start(kafka, database, EngineConfig::default()).await?;
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let death = tokio::select! {
        death = engine.failed() => death,
        _ = interrupt.recv() => None,
        _ = terminate.recv() => None,
    };
    engine.stop().await;
    match death {
        // The durable rows and the log hold everything: the next start goes on from there.
        Some(notice) => anyhow::bail!("{} ended: {:?}", notice.child, notice.reason),
        None => Ok(()),
    }
}
