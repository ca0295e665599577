//! Produce: acknowledged when the disk has the records, and then announced.

use super::arrivals::Arrivals;
use super::disk::Disk;
use rama::{Context, Service};
use tansu_sans_io::{ProduceRequest, ProduceResponse};
use tansu_storage::Error;

/// Wraps the service that writes records.
#[derive(Clone, Debug)]
pub(super) struct DurableProduce<S> {
    pub(super) inner: S,
    pub(super) disk: Disk,
    pub(super) arrivals: Arrivals,
}

impl<State, S> Service<State, ProduceRequest> for DurableProduce<S>
where
    S: Service<State, ProduceRequest, Response = ProduceResponse, Error = Error>,
    State: Clone + Send + Sync + 'static,
{
    type Response = ProduceResponse;
    type Error = Error;

    /// An error closes the connection, so the producer asks again; it never sees an acknowledgement that might not hold.
    async fn serve(&self, context: Context<State>, request: ProduceRequest) -> Result<ProduceResponse, Error> {
        let write = self.disk.begin_write();
        let response = self.inner.serve(context, request).await?;
        self.disk.sync().await?;
        drop(write);
        self.arrivals.announce();
        Ok(response)
    }
}
