//! Fetch: answered the moment there are records, else when the consumer's patience ends.
//!
//! The broker's own service looks, and then sleeps before it answers, whether it found something or not. This one
//! waits only while there is nothing, and a write ends the wait. It also says "offset out of range", as every broker
//! should, where the other would keep a consumer waiting for ever: beyond the end of a log that was made anew.

use super::arrivals::Arrivals;
use super::disk::Disk;
use super::records::{Partition, Records, TopicName};
use rama::{Context, Service};
use std::pin::pin;
use std::time::Duration;
use tansu_sans_io::fetch_request::{FetchPartition, FetchTopic};
use tansu_sans_io::fetch_response::{FetchableTopicResponse, PartitionData};
use tansu_sans_io::record::deflated::{Batch, Frame};
use tansu_sans_io::{ErrorCode, FetchRequest, FetchResponse};
use tansu_storage::Error;
use tokio::time::{Instant, timeout_at};

/// Most bytes in one answer, whatever the consumer would take.
const LARGEST: usize = 4 << 20;

/// The service that reads records.
#[derive(Clone, Debug)]
pub(super) struct Fetch {
    pub(super) records: Records,
    pub(super) disk: Disk,
    pub(super) arrivals: Arrivals,
}

/// What one look at the log found.
#[derive(Debug, Default)]
struct Look {
    topics: Vec<FetchableTopicResponse>,
    bytes: usize,
    refused: bool,
}

impl<State: Clone + Send + Sync + 'static> Service<State, FetchRequest> for Fetch {
    type Response = FetchResponse;
    type Error = Error;

    async fn serve(&self, _: Context<State>, request: FetchRequest) -> Result<FetchResponse, Error> {
        let patience = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
        let deadline = Instant::now() + patience;
        let wanted = usize::try_from(request.min_bytes).unwrap_or(0);
        loop {
            let mut arrival = pin!(self.arrivals.next());
            // Heard from here on, so a write between the look and the wait is not missed.
            arrival.as_mut().enable();
            let look = self.look(&request).await?;
            let is_enough = look.refused || (look.bytes > 0 && look.bytes >= wanted);
            if is_enough || timeout_at(deadline, arrival).await.is_err() {
                // What is shown must not be unmade by a loss of power.
                if look.bytes > 0 && self.disk.is_behind() {
                    self.disk.sync().await?;
                }
                return Ok(response(look.topics));
            }
        }
    }
}

impl Fetch {
    async fn look(&self, request: &FetchRequest) -> Result<Look, Error> {
        let most = request.max_bytes.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or(LARGEST).min(LARGEST);
        let mut look = Look::default();
        for topic in request.topics.iter().flatten() {
            let mut partitions = Vec::new();
            for wanted in topic.partitions.iter().flatten() {
                let left = most.saturating_sub(look.bytes);
                let data = self.partition(topic, wanted, left, look.bytes == 0).await?;
                look.refused |= data.error_code != i16::from(ErrorCode::None);
                look.bytes +=
                    data.records.iter().flat_map(|frame| &frame.batches).map(|b| b.record_data.len()).sum::<usize>();
                partitions.push(data);
            }
            let answer = FetchableTopicResponse::default().topic(topic.topic.clone()).topic_id(topic.topic_id);
            look.topics.push(answer.partitions(Some(partitions)));
        }
        Ok(look)
    }

    /// At most `left` bytes of a partition; a larger record only if `is_first`, so that nobody waits for it for ever.
    async fn partition(
        &self,
        topic: &FetchTopic,
        wanted: &FetchPartition,
        left: usize,
        is_first: bool,
    ) -> Result<PartitionData, Error> {
        let name = TopicName { name: topic.topic.as_deref(), id: topic.topic_id };
        let index = wanted.partition;
        let Some(partition) = self.records.partition(name, index).await? else {
            let code = if name.name.is_some() { ErrorCode::UnknownTopicOrPartition } else { ErrorCode::UnknownTopicId };
            return Ok(data(index, code, None, None));
        };
        if !partition.covers(wanted.fetch_offset) {
            return Ok(data(index, ErrorCode::OffsetOutOfRange, Some(partition), None));
        }
        let budget = left.min(usize::try_from(wanted.partition_max_bytes).unwrap_or(0));
        let batch = if wanted.fetch_offset < partition.end && (budget > 0 || is_first) {
            self.records.read(&partition, wanted.fetch_offset, budget).await?
        } else {
            None
        };
        // One record too large for what is left waits for an answer of its own.
        let batch = batch.filter(|batch| is_first || batch.record_data.len() <= left);
        Ok(data(index, ErrorCode::None, Some(partition), batch))
    }
}

fn data(index: i32, code: ErrorCode, partition: Option<Partition>, batch: Option<Batch>) -> PartitionData {
    let (start, end) = partition.map_or((-1, -1), |partition| (partition.start(), partition.end));
    PartitionData::default()
        .partition_index(index)
        .error_code(code.into())
        .high_watermark(end)
        .last_stable_offset(Some(end))
        .log_start_offset(Some(start))
        .aborted_transactions(Some(Vec::new()))
        .preferred_read_replica(Some(-1))
        .records(batch.map(|batch| Frame { batches: vec![batch] }))
}

fn response(topics: Vec<FetchableTopicResponse>) -> FetchResponse {
    FetchResponse::default()
        .throttle_time_ms(Some(0))
        .error_code(Some(ErrorCode::None.into()))
        .session_id(Some(0))
        .node_endpoints(Some(Vec::new()))
        .responses(Some(topics))
}
