//! The schema of the database, carried inside the program.

use diesel::sql_types::BigInt;
use diesel_async::{AsyncConnection, AsyncMigrationHarness, AsyncPgConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// Key of the advisory lock under which migrations run; any number of processes may start at once.
const LOCK: i64 = 0x5349_474e_414c_5301;

/// Why the schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The database cannot be reached.
    #[error("cannot connect to the database: {0}")]
    Connect(#[from] diesel::ConnectionError),
    /// The lock, or the partitions by day.
    #[error("a statement of the migration failed: {0}")]
    Query(#[from] diesel::result::Error),
    /// A migration itself.
    #[error("a migration failed: {0}")]
    Migration(Box<dyn std::error::Error + Send + Sync>),
}

/// Applies what is missing, under an advisory lock. Can be run again without harm.
///
/// # Errors
/// [`MigrateError`]; nothing is half applied, each migration is one transaction.
pub async fn migrate(database_url: &str) -> Result<(), MigrateError> {
    migrate_with(AsyncPgConnection::establish(database_url).await?).await
}

/// As [`migrate`], on a connection that the caller has opened (with TLS, say). It is closed at the end, and
/// with it goes the lock.
///
/// # Errors
/// As [`migrate`].
pub async fn migrate_with(mut connection: AsyncPgConnection) -> Result<(), MigrateError> {
    diesel::sql_query("SELECT pg_advisory_lock($1)").bind::<BigInt, _>(LOCK).execute(&mut connection).await?;
    let mut harness = AsyncMigrationHarness::new(connection);
    let mut connection = tokio::task::spawn_blocking(move || {
        harness.run_pending_migrations(MIGRATIONS)?;
        Ok(harness.into_inner())
    })
    .await
    .map_err(|cause| MigrateError::Migration(Box::new(cause)))?
    .map_err(MigrateError::Migration)?;
    crate::retention::ensure_days(&mut connection).await?;
    Ok(())
}
