//! The server process: its start, its end, and that it never outlives us.

use super::PostgresError;
use super::cluster::Cluster;
use super::postmaster::{self, Postmaster};
use crate::file::{AtFile, FileError};
use rustix::process::Signal;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, ChildStdin};
use tokio::time::{Instant, sleep, timeout};

/// Runs the server in the place of the shell, beside a watcher that reads the pipe whose other end only we hold. A
/// line dismisses the watcher; the end of the pipe, which comes however we end, makes it send a fast shutdown. The
/// inner subshell keeps the watcher from being a child of the server, which would wonder.
const WATCHED: &str = "exec 3<&0; (trap '' HUP INT TERM; (read _ <&3 || kill -INT $$) >/dev/null 2>&1 &); \
                       exec \"$@\" 3<&- </dev/null";

/// Fit for a laptop that does other things as well. What concerns durability is said even where it is the default.
const SETTINGS: &[&str] = &[
    "listen_addresses=127.0.0.1",
    // A password over loopback; no sockets whose folder would need another mode and a short name.
    "unix_socket_directories=",
    "fsync=on",
    "synchronous_commit=on",
    "full_page_writes=on",
    "shared_buffers=128MB",
    "max_wal_size=1GB",
    "max_connections=100",
    "timezone=UTC",
    "log_timezone=UTC",
    // Compiling a plan costs more than the short queries that we send.
    "jit=off",
];

/// A start that takes so long is told, each time anew. It is never cut short: recovery from a crash is part of it, and one
/// that is stopped half-way begins from its start again.
const LONG_START: Duration = Duration::from_secs(30);
/// How long a server that ends at once is tried again: its port was taken, or the processes of a killed server still
/// hold its memory.
const RETRY: Duration = Duration::from_secs(5);
/// How long each way of asking for the end is given.
const STOP: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(5);

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    child: Child,
    /// Its closing is the watcher's sign.
    watch: Option<ChildStdin>,
    port: u16,
}

impl Server {
    /// Starts the server and waits until it takes connections, on `port` or any free one.
    pub(super) async fn start(cluster: &Cluster, port: Option<u16>) -> Result<Self, PostgresError> {
        clear_the_way(cluster).await?;
        let begun = Instant::now();
        loop {
            let port = port.map_or_else(free_port, Ok)?;
            let mut server = Self::spawn(cluster, port)?;
            let Some(status) = server.ready(cluster).await? else { return Ok(server) };
            server.dismiss_watcher().await;
            if begun.elapsed() > RETRY {
                let log = log_path(cluster);
                let tail = last_lines(&log);
                return Err(PostgresError::EndedAtStart { status, log, tail });
            }
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// The loopback port on which it listens.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    fn spawn(cluster: &Cluster, port: u16) -> Result<Self, PostgresError> {
        let log = open_log(cluster)?;
        let errors = log.try_clone().at("open", &log_path(cluster))?;
        let mut shell = cluster.account.command("/bin/sh");
        shell.args(["-c", WATCHED, "signals-postgres"]).arg(cluster.binaries.folder.join("postgres"));
        shell.arg("-D").arg(cluster.data()).args(["-p", &port.to_string()]);
        for setting in SETTINGS {
            shell.args(["-c", setting]);
        }
        // A process group of its own: Ctrl-C is for us, who then end the server in order.
        shell.stdin(Stdio::piped()).stdout(log).stderr(errors).process_group(0);
        let mut child = shell.spawn().map_err(|source| cluster.cannot_run("postgres", source))?;
        let watch = child.stdin.take();
        Ok(Self { child, watch, port })
    }

    /// `None` once it is ready; its status if it ended instead.
    async fn ready(&mut self, cluster: &Cluster) -> Result<Option<ExitStatus>, PostgresError> {
        let (data, began) = (cluster.data(), Instant::now());
        let own = self.child.id().and_then(|pid| i32::try_from(pid).ok());
        let mut told = began;
        loop {
            if Postmaster::read(&data).is_some_and(|server| server.ready && Some(server.pid) == own) {
                return Ok(None);
            }
            if let Some(status) = self.child.try_wait().map_err(|source| cluster.cannot_run("postgres", source))? {
                return Ok(Some(status));
            }
            if told.elapsed() >= LONG_START {
                let (seconds, log) = (began.elapsed().as_secs(), log_path(cluster));
                tracing::warn!(seconds, log = %log.display(), "PostgreSQL is not ready yet; it may be recovering");
                told = Instant::now();
            }
            sleep(PAUSE).await;
        }
    }

    /// Completes when the server has ended, whoever ended it.
    pub(super) async fn ended(&mut self) -> io::Result<ExitStatus> {
        let status = self.child.wait().await;
        self.dismiss_watcher().await;
        status
    }

    /// Ends the server: by a fast shutdown, then an immediate one, then `kill -9`; returns when it has ended.
    pub(super) async fn stop(mut self) -> io::Result<ExitStatus> {
        for signal in [Signal::INT, Signal::QUIT, Signal::KILL] {
            // Not reaped yet, so the pid is still its own.
            if let Some(pid) = self.child.id().and_then(|pid| i32::try_from(pid).ok()) {
                Postmaster { pid, ready: true }.signal(signal);
            }
            if let Ok(status) = timeout(STOP, self.child.wait()).await {
                self.dismiss_watcher().await;
                return status;
            }
            tracing::warn!(?signal, "PostgreSQL does not end");
        }
        self.child.wait().await
    }

    /// Lets the watcher go without a signal: the pid that it knows may soon be a stranger's.
    async fn dismiss_watcher(&mut self) {
        if let Some(mut watch) = self.watch.take() {
            // Nobody there to read it is as good.
            let _ = watch.write_all(b"\n").await;
        }
    }
}

/// Ends a server that a killed owner left, and removes lock files that nobody holds.
///
/// PostgreSQL takes any live pid of its user, even a zombie or a stranger, for a rival, and then never starts. We hold
/// the data folder and have looked, so we know better; its shared memory still guards the data.
async fn clear_the_way(cluster: &Cluster) -> Result<(), PostgresError> {
    let data = cluster.data();
    for signal in [Signal::INT, Signal::QUIT] {
        let Some(orphan) = Postmaster::read(&data) else { return Ok(()) };
        if !orphan.is_alive(&data).await {
            break;
        }
        tracing::warn!(pid = orphan.pid, ?signal, "ending a PostgreSQL that lost its owner");
        orphan.signal(signal);
        let deadline = Instant::now() + STOP;
        while orphan.is_alive(&data).await && Instant::now() < deadline {
            sleep(PAUSE).await;
        }
    }
    match Postmaster::read(&data) {
        Some(orphan) if orphan.is_alive(&data).await => Err(PostgresError::Orphan(orphan.pid)),
        _ => Ok(remove_if_there(&data.join(postmaster::FILE))?),
    }
}

fn remove_if_there(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error).at("remove", path),
        _ => Ok(()),
    }
}

fn free_port() -> Result<u16, PostgresError> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Ok(bound.at("find a free port on", Path::new("127.0.0.1"))?.port())
}

fn log_path(cluster: &Cluster) -> PathBuf {
    cluster.folder.join("server.log")
}

/// The longest log that is written on, in bytes; a longer one becomes `server.log.old`.
const LONGEST_LOG: u64 = 4 << 20;

fn open_log(cluster: &Cluster) -> Result<File, FileError> {
    let path = log_path(cluster);
    if fs::metadata(&path).is_ok_and(|log| log.len() > LONGEST_LOG) {
        fs::rename(&path, path.with_extension("log.old")).at("rename", &path)?;
    }
    // It quotes statements that fail, and with them events.
    let log = File::options().create(true).append(true).mode(0o600).open(&path).at("open", &path)?;
    log.set_permissions(Permissions::from_mode(0o600)).at("close to others", &path)?;
    Ok(log)
}

fn last_lines(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}
