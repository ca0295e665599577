//! `ListOffsets`: where a partition begins and ends, and where a time is.
//!
//! The broker's own service takes the last record for the end of the log. When retention has removed the last record
//! of a quiet topic, its end would be 0, and consumers would think that the log was made anew.

use super::records::{Partition, Records, TopicName};
use rama::{Context, Service};
use tansu_sans_io::list_offsets_response::{ListOffsetsPartitionResponse, ListOffsetsTopicResponse};
use tansu_sans_io::{ErrorCode, ListOffsetsRequest, ListOffsetsResponse};
use tansu_storage::Error;

/// In place of a time: the end.
const LATEST: i64 = -1;
/// In place of a time: the beginning.
const EARLIEST: i64 = -2;
/// No offset, or no time.
const NONE: i64 = -1;

/// The service that answers for offsets.
#[derive(Clone, Debug)]
pub(super) struct ListOffsets {
    pub(super) records: Records,
}

impl<State: Clone + Send + Sync + 'static> Service<State, ListOffsetsRequest> for ListOffsets {
    type Response = ListOffsetsResponse;
    type Error = Error;

    async fn serve(&self, _: Context<State>, request: ListOffsetsRequest) -> Result<ListOffsetsResponse, Error> {
        let mut topics = Vec::new();
        for topic in request.topics.into_iter().flatten() {
            let mut partitions = Vec::new();
            for wanted in topic.partitions.into_iter().flatten() {
                let name = TopicName { name: Some(&topic.name), id: None };
                let found = match self.records.partition(name, wanted.partition_index).await? {
                    Some(partition) => self.find(&partition, wanted.timestamp).await?,
                    None => Err(ErrorCode::UnknownTopicOrPartition),
                };
                partitions.push(answer(wanted.partition_index, found));
            }
            topics.push(ListOffsetsTopicResponse::default().name(topic.name).partitions(Some(partitions)));
        }
        Ok(ListOffsetsResponse::default().throttle_time_ms(Some(0)).topics(Some(topics)))
    }
}

/// An offset and the time of its record.
type Found = Result<(i64, i64), ErrorCode>;

impl ListOffsets {
    async fn find(&self, partition: &Partition, timestamp: i64) -> Result<Found, Error> {
        Ok(match timestamp {
            LATEST => Ok((partition.end, NONE)),
            EARLIEST => Ok((partition.start(), NONE)),
            0.. => Ok(self.records.first_since(partition, timestamp).await?.unwrap_or((NONE, NONE))),
            _ => Err(ErrorCode::UnsupportedVersion),
        })
    }
}

fn answer(index: i32, found: Found) -> ListOffsetsPartitionResponse {
    let (code, (offset, timestamp)) = match found {
        Ok(found) => (ErrorCode::None, found),
        Err(code) => (code, (NONE, NONE)),
    };
    ListOffsetsPartitionResponse::default()
        .partition_index(index)
        .error_code(code.into())
        .old_style_offsets(None)
        .timestamp(Some(timestamp))
        .offset(Some(offset))
        .leader_epoch(Some(0))
}
