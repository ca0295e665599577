//! Keeps the server running until it is told to stop.

use super::PostgresError;
use super::cluster::Cluster;
use super::server::Server;
use crate::data_dir::DataDir;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// Before each new start of a server that ended alone.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts the server again, on the same port, whenever it ends alone; ends it when cancelled.
///
/// Dropping the future ends the server as well, through its watcher.
///
/// # Errors
/// Why the server could not be started again, or not be ended.
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
        let Some(ended) = ended else {
            let ended = server.stop().await;
            // Only now may another process take the folder.
            drop(data_dir);
            return ended.map(drop).map_err(|source| cluster.cannot_run("postgres", source));
        };
        tracing::error!(status = ?ended, "the embedded PostgreSQL ended alone; starting it again");
        sleep(PAUSE).await;
        server = Server::start(&cluster, Some(port)).await.inspect_err(|error| {
            tracing::error!(%error, "the embedded PostgreSQL does not start again");
        })?;
    }
}
