//! Makes what was stored visible: at once after a quiet time, else from time to time, for all partitions together.

use schema::search::SearchIndex;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;

/// Where indexers say that there is something new. Clones speak to the same.
#[derive(Clone, Debug, Default)]
pub struct Refresher(Arc<Notify>);

impl Refresher {
    /// Something was stored.
    pub fn ask(&self) {
        self.0.notify_one();
    }

    /// Refreshes whenever it is asked to, and at most once in `every`. Never ends.
    pub async fn run(self, index: Arc<dyn SearchIndex>, every: Duration) {
        loop {
            self.0.notified().await;
            if let Err(error) = index.refresh().await {
                // It becomes visible with the next refresh; the indexers say that the server is away.
                tracing::debug!(%error, "the index was not refreshed");
            }
            tokio::time::sleep(every).await;
        }
    }
}
