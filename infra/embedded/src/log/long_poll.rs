//! Fetch: answered the moment there are records, else when the consumer's patience ends.
//!
//! The broker's own service looks, and then sleeps before it answers, whether it found something or not. Here it is
//! only ever asked to look; the waiting is ours, and a write ends it.

use super::arrivals::Arrivals;
use super::disk::Disk;
use rama::{Context, Service};
use std::pin::pin;
use std::time::Duration;
use tansu_sans_io::fetch_response::PartitionData;
use tansu_sans_io::{ErrorCode, FetchRequest, FetchResponse};
use tansu_storage::Error;
use tokio::time::{Instant, timeout_at};

/// Wraps the service that reads records.
#[derive(Clone, Debug)]
pub(super) struct LongPoll<S> {
    pub(super) inner: S,
    pub(super) disk: Disk,
    pub(super) arrivals: Arrivals,
}

impl<State, S> Service<State, FetchRequest> for LongPoll<S>
where
    S: Service<State, FetchRequest, Response = FetchResponse, Error = Error>,
    State: Clone + Send + Sync + 'static,
{
    type Response = FetchResponse;
    type Error = Error;

    async fn serve(&self, context: Context<State>, request: FetchRequest) -> Result<FetchResponse, Error> {
        let patience = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let wanted = usize::try_from(request.min_bytes).unwrap_or(0);
        let deadline = Instant::now() + patience;
        let look = request.max_wait_ms(0);
        loop {
            let mut arrival = pin!(self.arrivals.next());
            arrival.as_mut().enable();
            // Never cancelled: the storage would take a caller who left for its own end.
            let mut response = self.inner.serve(context.clone(), look.clone()).await?;
            let refused = refuse_positions_outside(&look, &mut response);
            let found = bytes(&response);
            let complete = refused || is_error(&response) || (found > 0 && found >= wanted);
            if complete || timeout_at(deadline, arrival).await.is_err() {
                // What is shown must not be unmade by a loss of power.
                if found > 0 && self.disk.is_behind() {
                    self.disk.sync().await?;
                }
                return Ok(response);
            }
        }
    }
}

fn partitions(response: &FetchResponse) -> impl Iterator<Item = &PartitionData> {
    response.responses.iter().flatten().flat_map(|topic| topic.partitions.iter().flatten())
}

fn bytes(response: &FetchResponse) -> usize {
    let batches = partitions(response).flat_map(|partition| partition.records.iter()).flat_map(|frame| &frame.batches);
    batches.map(|batch| batch.record_data.len()).sum()
}

fn is_error(response: &FetchResponse) -> bool {
    partitions(response).any(|partition| partition.error_code != i16::from(ErrorCode::None))
}

/// Says "offset out of range", as every broker should, where this one would keep a consumer waiting for ever: beyond
/// the end of the log. That happens when the log was thrown away and the consumer's memory of it was not.
fn refuse_positions_outside(request: &FetchRequest, response: &mut FetchResponse) -> bool {
    let mut refused = false;
    let asked = request.topics.iter().flatten();
    let answered = response.responses.iter_mut().flatten();
    // Answers come in the order of the questions.
    for (topic, answer) in asked.zip(answered) {
        let pairs = topic.partitions.iter().flatten().zip(answer.partitions.iter_mut().flatten());
        for (question, data) in pairs {
            if data.error_code == i16::from(ErrorCode::None) && question.fetch_offset > data.high_watermark {
                data.error_code = i16::from(ErrorCode::OffsetOutOfRange);
                refused = true;
            }
        }
    }
    refused
}
