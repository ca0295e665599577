//! The end of threads and clients that may be blocked by a server that does not answer.

use std::thread::JoinHandle;
use std::time::Duration;

/// How long the threads that poll the log may take to end: a last flush, a last commit.
const LAST_ROUND: Duration = Duration::from_secs(6);
/// How long a consumer may take to leave its group. It waits for commits under way, for as long as a session lasts if its
/// broker has gone.
const FAREWELL: Duration = Duration::from_secs(1);

/// Does what may block on a thread of its own, since a blocked one would hold a runtime's thread for ever, and waits for it so
/// long. None if it takes longer: then it goes on until the process ends.
pub(super) async fn within<T: Send + 'static>(limit: Duration, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    let (tell, done) = tokio::sync::oneshot::channel();
    let undertaker = move || {
        // Nobody waits any more: then it was said already.
        let _ = tell.send(work());
    };
    if let Err(error) = std::thread::Builder::new().name("signals-undertaker".to_owned()).spawn(undertaker) {
        tracing::error!(%error, "cannot wait for threads that end");
        return None;
    }
    tokio::time::timeout(limit, done).await.ok()?.ok()
}

/// Waits for threads that were told to end.
pub(super) async fn join(threads: Vec<JoinHandle<()>>) {
    let panicked = within(LAST_ROUND, || threads.into_iter().filter_map(|thread| thread.join().err()).count()).await;
    if panicked != Some(0) {
        tracing::error!(?panicked, "a thread that polls the log did not end in order");
    }
}

/// Closes a consumer; whoever else holds it keeps it open.
pub(super) async fn close<T: Send + 'static>(consumer: T) {
    if within(FAREWELL, move || drop(consumer)).await.is_none() {
        tracing::warn!("the broker does not answer: the group learns later that this consumer has left");
    }
}
