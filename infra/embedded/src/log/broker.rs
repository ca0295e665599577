//! The life of the broker: accept connections, maintain the storage, and open it again should it die.

use super::disk::Disk;
use super::groups::forget_members;
use super::records::Records;
use super::routes::routes;
use super::storage::LogStorage;
use super::{LogError, WAIT_AFTER_FAILURE};
use crate::file::AtFile;
use rama::{Context, Layer, Service};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tansu_broker::Error;
use tansu_service::{BytesFrameLayer, FrameRouteService, TcpBytesLayer, TcpContext, TcpContextLayer};
use tansu_storage::Storage;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};
use tokio_util::sync::CancellationToken;

/// How often records past their topic's retention are looked for; the look reads every record's time.
const MAINTENANCE: Duration = Duration::from_secs(3600);
/// The first look, for those who never run it for an hour.
const FIRST_MAINTENANCE: Duration = Duration::from_secs(60);

/// Why a broker stopped serving.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// It was told to.
    Stopped,
    /// Its storage answers no more: it panicked on a request that it should have refused.
    StorageDied,
}

/// Serves until cancelled; tells `started` once connections are taken.
pub(super) async fn run(
    folder: PathBuf,
    listener: std::net::TcpListener,
    cancellation: CancellationToken,
    started: oneshot::Sender<()>,
) -> Result<(), LogError> {
    let listener = TcpListener::from_std(listener).map_err(LogError::Start)?;
    let mut broker = Broker::open(&folder, &listener).await?;
    // Nobody waits any more: then the cancellation will be seen at once.
    let _ = started.send(());
    while broker.serve(&listener, &cancellation).await == End::StorageDied {
        tracing::error!("the storage of the embedded log died; opening it again");
        drop(broker);
        let Some(next) = open_again(&folder, &listener, &cancellation).await else { break };
        broker = next;
    }
    Ok(())
}

/// Tries until it succeeds, because what hinders (a full disk, say) may pass; `None` if cancelled first.
async fn open_again(folder: &Path, listener: &TcpListener, cancellation: &CancellationToken) -> Option<Broker> {
    loop {
        tokio::select! {
            () = cancellation.cancelled() => return None,
            () = sleep(WAIT_AFTER_FAILURE) => {}
        }
        match Broker::open(folder, listener).await {
            Ok(broker) => return Some(broker),
            Err(error) => tracing::error!(%error, "the embedded log cannot be opened again; trying on"),
        }
    }
}

#[derive(Debug)]
struct Broker {
    storage: LogStorage,
    routes: FrameRouteService<(), Error>,
}

impl Broker {
    async fn open(folder: &Path, listener: &TcpListener) -> Result<Self, LogError> {
        let storage = LogStorage::open(folder, listener.local_addr().map_err(LogError::Start)?).await?;
        forget_members(&storage.storage).await?;
        let disk = Disk::below(&storage.file).at("write to disk", folder)?;
        let records = Records::open(&storage.file)
            .await
            .map_err(|source| LogError::Database { path: storage.file.clone(), source })?;
        let routes = routes(storage.storage.clone(), records, disk)?;
        Ok(Self { storage, routes })
    }

    async fn serve(&self, listener: &TcpListener, cancellation: &CancellationToken) -> End {
        let mut maintenance = interval_at(Instant::now() + FIRST_MAINTENANCE, MAINTENANCE);
        let mut tasks: JoinSet<Result<(), Error>> = JoinSet::new();
        loop {
            tokio::select! {
                () = cancellation.cancelled() => return End::Stopped,
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        tasks.spawn(connection(self.routes.clone(), stream));
                    }
                    Err(error) => {
                        tracing::warn!(%error, "the embedded log could not take a connection");
                        sleep(WAIT_AFTER_FAILURE).await;
                    }
                },
                _ = maintenance.tick() => {
                    let storage = self.storage.storage.clone();
                    tasks.spawn(async move { Ok(storage.maintain(SystemTime::now()).await?) });
                }
                Some(ended) = tasks.join_next() => {
                    if failed(ended) && self.storage.storage.ping().await.is_err() {
                        return End::StorageDied;
                    }
                }
            }
        }
    }
}

/// One client until it leaves.
async fn connection(routes: FrameRouteService<(), Error>, stream: TcpStream) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let layers =
        (TcpContextLayer::new(TcpContext::default()), TcpBytesLayer::<()>::default(), BytesFrameLayer::default());
    layers.into_layer(routes).serve(Context::default(), stream).await
}

/// A client that leaves is no failure; anything else may be the storage's.
fn failed(ended: Result<Result<(), Error>, tokio::task::JoinError>) -> bool {
    match ended {
        Ok(Ok(()) | Err(Error::Io(_))) => false,
        Ok(Err(error)) => {
            tracing::warn!(%error, "the embedded log dropped a connection");
            true
        }
        Err(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer};
    use std::sync::Arc;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_storage_that_died_is_noticed_and_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", &address).create().unwrap();
        let metadata = || tokio::task::block_in_place(|| client.fetch_metadata(None, Duration::from_secs(1)));
        let broker = Arc::new(Broker::open(folder.path(), &listener).await.unwrap());
        let cancellation = CancellationToken::new();

        // A `todo!()` in the storage.
        broker.storage.storage.delete_records(&[]).await.unwrap_err();
        let serve = async { broker.serve(&listener, &cancellation).await };
        let ask = async { metadata() };
        let (end, refused) = tokio::join!(serve, ask);
        assert_eq!(end, End::StorageDied);
        refused.unwrap_err();

        drop(broker);
        let broker = open_again(folder.path(), &listener, &cancellation).await.unwrap();
        let serving = tokio::spawn({
            let cancellation = cancellation.clone();
            async move { broker.serve(&listener, &cancellation).await }
        });
        let deadline = Instant::now() + Duration::from_secs(20);
        while metadata().is_err() {
            assert!(Instant::now() < deadline, "the log does not answer");
        }
        cancellation.cancel();
        assert_eq!(serving.await.unwrap(), End::Stopped);
    }
}
