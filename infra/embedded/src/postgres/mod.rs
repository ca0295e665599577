//! A private PostgreSQL in a child process: fetched once, no set-up, durable.
//!
//! What holds, and where: the binaries come with a pinned checksum or from an installed PostgreSQL ([`binaries`]); the
//! cluster appears whole or not at all ([`cluster`]); the server never runs as root ([`account`]), ends when this
//! process ends, even by `kill -9` ([`server`]), and is started again should it end alone ([`keeper`]). `fsync` is on.

mod account;
mod archive;
mod binaries;
mod cluster;
mod keeper;
mod place;
mod postmaster;
mod server;

use crate::data_dir::DataDir;
use crate::file::FileError;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use binaries::Source;

/// Name of the database that is created with the cluster.
const DATABASE: &str = "signals";
/// Name of its owner.
const USER: &str = "postgres";

/// Where things that are not in the data folder may go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostgresConfig {
    /// Holds the unpacked server, about 60 MB; may be shared by many data folders.
    pub cache_dir: PathBuf,
    /// Used by root only: holds the database if the account that runs the server cannot reach the data folder.
    pub refuge_dir: PathBuf,
}

impl Default for PostgresConfig {
    /// The system's places for root, who must share them with the server's account; else those of the user.
    fn default() -> Self {
        Self { cache_dir: default_cache_dir(), refuge_dir: "/var/lib/signals".into() }
    }
}

fn default_cache_dir() -> PathBuf {
    if rustix::process::geteuid().is_root() {
        return "/var/cache/signals".into();
    }
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    caches.unwrap_or_else(std::env::temp_dir).join("signals")
}

/// A running server. Dropping it ends the server too; [`EmbeddedPostgres::stop`] also waits for the end.
#[derive(Debug)]
pub struct EmbeddedPostgres {
    url: Url,
    folder: PathBuf,
    source: Source,
    cancellation: CancellationToken,
    keeper: JoinHandle<Result<(), PostgresError>>,
}

/// A connection URL that shows no password in Debug output.
#[derive(Clone)]
struct Url(String);

impl std::fmt::Debug for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("postgres://..")
    }
}

/// Why the database cannot run.
#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// A program could not be run.
    #[error("cannot run {program}: {source}", program = .program.display())]
    Run {
        /// The program.
        program: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
    /// There is no server to run.
    #[error("no PostgreSQL to run: {0}")]
    NoBinaries(String),
    /// This process is root, under which PostgreSQL refuses to run, and there is no other account.
    #[error("PostgreSQL does not run as root, and this machine has no account named postgres or nobody to run it as")]
    NoAccount,
    /// This process is root, and the account that runs the server cannot get where it must.
    #[error(
        "PostgreSQL does not run as root, and as {account} it cannot pass {blocked}: set SIGNALS_DATA_DIR to a \
         folder that {account} can reach, or run Signals as an ordinary user", blocked = .blocked.display()
    )]
    Unreachable {
        /// Who runs the server.
        account: String,
        /// The first folder on the way that is closed to it.
        blocked: PathBuf,
    },
    /// `initdb` or the first statement failed.
    #[error("cannot create the database: {0}")]
    Create(String),
    /// The cluster was made by another major version.
    #[error("{folder} was made by PostgreSQL {found}, and only {have} is at hand; install {found} or set another data folder", folder = .folder.display())]
    OtherMajor {
        /// The cluster.
        folder: PathBuf,
        /// Its major version.
        found: u32,
        /// That of the server.
        have: u32,
    },
    /// The server ended while it started.
    #[error("PostgreSQL ended at its start ({status}); the last lines of {log}:\n{tail}", log = .log.display())]
    EndedAtStart {
        /// How it ended.
        status: ExitStatus,
        /// Its log file.
        log: PathBuf,
        /// The log's last lines.
        tail: String,
    },
    /// An earlier server of the same folder does not end.
    #[error("an earlier PostgreSQL of this folder (pid {0}) does not end; end it and start again")]
    Orphan(i32),
    /// The task that keeps the server ended by a panic.
    #[error("the keeper of PostgreSQL panicked")]
    Panicked,
}

impl EmbeddedPostgres {
    /// Starts the server of this data folder on a free loopback port and returns when it takes connections.
    ///
    /// The first start on a machine fetches the server (some 30 MB); without a network it takes an installed one of
    /// version 15 or later. Must be called in a tokio runtime, which keeps the server until it ends.
    ///
    /// # Errors
    /// [`PostgresError`] says what is missing and, where there is one, the way out.
    pub async fn start(data_dir: &DataDir, config: &PostgresConfig) -> Result<Self, PostgresError> {
        let account = account::Account::choose(&place::current(data_dir)?.join("data")).await?;
        let folder = place::choose(data_dir, config, &account).await?;
        let binaries = binaries::find(&config.cache_dir, cluster::major(&folder)?, &account).await?;
        let cluster = cluster::Cluster::open(data_dir, folder, binaries, account).await?;
        let server = server::Server::start(&cluster, None).await?;
        let url = Url(format!("postgres://{USER}:{}@127.0.0.1:{}/{DATABASE}", cluster.password, server.port()));
        tracing::info!(port = server.port(), folder = %cluster.folder.display(), source = %cluster.binaries.source,
            "the embedded PostgreSQL takes connections");
        let cancellation = CancellationToken::new();
        let (folder, source) = (cluster.folder.clone(), cluster.binaries.source.clone());
        let keeper = tokio::spawn(keeper::keep(cluster, server, data_dir.clone(), cancellation.clone()));
        Ok(Self { url, folder, source, cancellation, keeper })
    }

    /// `postgres://` URL of the database, with its password; not to be shown or logged.
    pub fn url(&self) -> &str {
        &self.url.0
    }

    /// Where the database and the server's log are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Which PostgreSQL is running.
    pub fn source(&self) -> &Source {
        &self.source
    }

    /// Ends all connections and the server, and returns when it has ended.
    ///
    /// # Errors
    /// The system's refusal to tell how the server ended.
    pub async fn stop(mut self) -> Result<(), PostgresError> {
        self.cancellation.cancel();
        (&mut self.keeper).await.unwrap_or(Err(PostgresError::Panicked))
    }
}

impl Drop for EmbeddedPostgres {
    fn drop(&mut self) {
        self.cancellation.cancel();
    }
}
