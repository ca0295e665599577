//! Keeps the server running until it is told to stop.

use super::PostgresError;
use super::cluster::Cluster;
use super::server::Server;
use crate::data_dir::DataDir;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Before the first new start of a server that ended alone; doubled for each that fails.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Starts the server again, on the same port, whenever it ends alone; ends it when cancelled.
///
/// Dropping the future ends the server as well, through its watcher.
///
/// # Errors
/// Why the server could not be ended.
pub(super) async fn keep(
    cluster: Cluster,
    mut server: Server,
    data_dir: DataDir,
    cancellation: CancellationToken,
) -> Result<(), PostgresError> {
    let port = server.port();
    loop {
        let ended = tokio::select! {
            () = cancellation.cancelled() => None,
            ended = server.ended() => Some(ended),
        };
        let Some(ended) = ended else { break };
        tracing::error!(status = ?ended, "the embedded PostgreSQL ended alone; starting it again");
        let Some(next) = start_again(&cluster, port, &cancellation).await else { return Ok(()) };
        server = next;
    }
    let ended = server.stop().await;
    // Only now may another process take the folder.
    drop(data_dir);
    ended.map(drop).map_err(|source| cluster.cannot_run("postgres", source))
}

/// Tries until it succeeds, because what hinders (a full disk, say) may pass; `None` if cancelled first.
async fn start_again(cluster: &Cluster, port: u16, cancellation: &CancellationToken) -> Option<Server> {
    let mut pause = SHORTEST_PAUSE;
    loop {
        tokio::select! {
            () = cancellation.cancelled() => return None,
            () = sleep(pause) => {}
        }
        // A start may take long, if it has much to recover; one that is given up ends through its watcher.
        let started = tokio::select! {
            () = cancellation.cancelled() => return None,
            started = Server::start(cluster, Some(port)) => started,
        };
        match started {
            Ok(server) => return Some(server),
            Err(error) => tracing::error!(%error, "the embedded PostgreSQL does not start again; trying on"),
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}
