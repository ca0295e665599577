//! A log inside the process: a Kafka broker on a thread of its own, spoken to over loopback as any other.
//!
//! The broker is `tansu`, its storage one SQLite file below the data folder. Two things are ours: a fetch reads the file
//! itself and is answered the moment a record arrives ([`fetch`]), where the broker would sleep; and a record is
//! acknowledged only when the disk has it ([`durable`]), where the broker would survive a crash of the process but
//! not one of the machine.
//!
//! There is no password: whoever may open a loopback connection on this machine may read and write the log.

mod arrivals;
mod broker;
mod disk;
mod durable;
mod fetch;
mod groups;
mod offsets;
mod records;
mod routes;
mod storage;

#[cfg(test)]
mod retention_tests;

use crate::data_dir::DataDir;
use crate::file::{FileError, create_folder};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Partitions to create the topics with on this log.
///
/// One, because the broker writes one file with one writer: a second partition would add no throughput and cost a few
/// more queries in every fetch.
pub const PARTITIONS: i32 = 1;

/// What librdkafka's consumers should be told when they read from this log.
const CONSUMER_SETTINGS: &[(&str, &str)] = &[
    // An upper bound, not a delay: the answer comes when a record does. The longer, the fewer idle questions.
    ("fetch.wait.max.ms", "500"),
    ("fetch.min.bytes", "1"),
    // The broker is this process: what fails is worth asking again at once.
    ("fetch.error.backoff.ms", "50"),
    // After the consumer's own queue was full: the default of a second would be the longest pause of a drain.
    ("fetch.queue.backoff.ms", "20"),
    ("reconnect.backoff.ms", "20"),
    ("reconnect.backoff.max.ms", "500"),
    ("socket.nagle.disable", "true"),
];

/// A running log. Dropping it ends it too, in order; [`EmbeddedLog::stop`] also says whether that went well.
#[derive(Debug)]
pub struct EmbeddedLog {
    brokers: String,
    cancellation: CancellationToken,
    thread: Option<JoinHandle<Result<(), LogError>>>,
    /// Nobody else may open the files while the thread has them.
    _data_dir: DataDir,
}

/// Why the log cannot run.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
    /// No thread, no runtime or no loopback port.
    #[error("cannot start the log: {0}")]
    Start(#[source] std::io::Error),
    /// The broker or its storage refused.
    #[error("the log's broker: {0}")]
    Broker(#[from] Box<tansu_broker::Error>),
    /// The storage's file could not be prepared.
    #[error("the log's file {path}: {source}", path = .path.display())]
    Database {
        /// The SQLite file.
        path: PathBuf,
        /// What SQLite said.
        source: libsql::Error,
    },
    /// The thread ended by a panic; its message is on standard error.
    #[error("the thread of the log panicked")]
    Panicked,
}

impl From<tansu_broker::Error> for LogError {
    fn from(error: tansu_broker::Error) -> Self {
        Self::Broker(Box::new(error))
    }
}

impl From<tansu_storage::Error> for LogError {
    fn from(error: tansu_storage::Error) -> Self {
        tansu_broker::Error::from(error).into()
    }
}

impl EmbeddedLog {
    /// Starts the log of this data folder on a free loopback port and returns when it takes connections.
    ///
    /// Groups begin without members: those of a killed process would else be waited for until their sessions time out.
    ///
    /// # Errors
    /// [`LogError`] if the folder, the port or the file refuses.
    pub async fn start(data_dir: &DataDir) -> Result<Self, LogError> {
        let folder = data_dir.path().join("log");
        create_folder(&folder, 0o700)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(LogError::Start)?;
        listener.set_nonblocking(true).map_err(LogError::Start)?;
        let brokers = listener.local_addr().map_err(LogError::Start)?.to_string();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("embedded-log")
            .enable_all()
            .build()
            .map_err(LogError::Start)?;
        let cancellation = CancellationToken::new();
        let (started, ready) = oneshot::channel();
        let life = broker::run(folder.clone(), listener, cancellation.clone(), started);
        let thread = std::thread::Builder::new()
            .name("embedded-log".into())
            .spawn(move || runtime.block_on(life))
            .map_err(LogError::Start)?;
        let mut log = Self { brokers, cancellation, thread: Some(thread), _data_dir: data_dir.clone() };
        match ready.await {
            Ok(()) => {
                tracing::info!(brokers = log.brokers, folder = %folder.display(), "the embedded log takes connections");
                Ok(log)
            }
            // The thread let go of its end without a word: it ended, and its result says why.
            Err(_) => Err(log.join().err().unwrap_or(LogError::Panicked)),
        }
    }

    /// `host:port`, as `bootstrap.servers` wants it.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Settings that a librdkafka consumer of this log should take over, as names and values.
    ///
    /// A consumer that may be late can set a longer `fetch.wait.max.ms`.
    pub fn consumer_settings() -> &'static [(&'static str, &'static str)] {
        CONSUMER_SETTINGS
    }

    /// Closes all connections and the file. What was acknowledged is on disk before and after.
    ///
    /// # Errors
    /// What ended the log if it was not this call.
    pub async fn stop(mut self) -> Result<(), LogError> {
        self.cancellation.cancel();
        match tokio::task::spawn_blocking(move || self.join()).await {
            Ok(result) => result,
            Err(_) => Err(LogError::Panicked),
        }
    }

    fn join(&mut self) -> Result<(), LogError> {
        self.thread.take().map_or(Ok(()), |thread| thread.join().unwrap_or(Err(LogError::Panicked)))
    }
}

/// Between a failure and the next try.
const WAIT_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// One to wait on the disk or the file, one to go on with the other connections.
const WORKERS: usize = 2;

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        self.cancellation.cancel();
        // Short: nothing is waited for but the statement at hand and the file's own closing.
        if let Err(error) = self.join() {
            tracing::error!(%error, "the embedded log did not end in order");
        }
    }
}
