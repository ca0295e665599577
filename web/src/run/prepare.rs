//! What must be there before any part starts: the schema and the topics.

use crate::stack::Stack;
use crate::topics;
use actix_web::web;
use anyhow::Context;
use schema::database::DatabaseConfig;
use std::time::Duration;

/// How long the database and the log may be away at the start before we give up.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts to reach them.
const PAUSE: Duration = Duration::from_millis(500);

/// Schema and topics, as often as one likes. Servers that are still starting, as they are when everything starts at
/// once, are waited for.
pub(super) async fn prepare(stack: &Stack) -> anyhow::Result<()> {
    let deadline = std::time::Instant::now() + PATIENCE;
    while let Err(error) = migrate(stack.database.clone()).await {
        if !is_away(&error) || std::time::Instant::now() > deadline {
            return Err(error);
        }
        tracing::warn!(error = format!("{error:#}"), "the database is not ready, will try again");
        tokio::time::sleep(PAUSE).await;
    }
    while let Err(error) = topics::ensure(&stack.kafka, stack.layout).await {
        if std::time::Instant::now() > deadline {
            return Err(error).context("the log does not answer");
        }
        tracing::warn!(%error, "the log is not ready, will try again");
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

/// Whether a migration failed because the server was not there; it says in words alone that it refuses a password.
fn is_away(error: &anyhow::Error) -> bool {
    let refused = error.chain().find_map(|cause| cause.downcast_ref::<diesel::ConnectionError>());
    refused.is_some_and(|refused| !refused.to_string().contains("authentication failed"))
}

/// On a runtime of its own: diesel's migrations need one with several threads, actix has one with one.
///
/// # Errors
/// The database's.
pub async fn migrate(config: DatabaseConfig) -> anyhow::Result<()> {
    let migration = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(async {
            let connection = schema::database::connect_once(&config).await??;
            anyhow::Ok(schema::migrate::migrate_with(connection).await?)
        })
    };
    web::block(migration).await?.context("cannot bring the schema up to date")
}
