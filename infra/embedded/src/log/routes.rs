//! Which requests the log answers, and by which service.
//!
//! Everything that clients and the usual tools need, and nothing that could end the broker: `DeleteRecords`, for one,
//! is a `todo!()` in its storage. Client telemetry, ACLs, SASL and transactions are left out, so that no client
//! tries them.

use super::arrivals::Arrivals;
use super::disk::Disk;
use super::durable::DurableProduce;
use super::fetch::Fetch;
use super::offsets::ListOffsets;
use super::records::Records;
use rama::layer::{MapErrLayer, MapStateLayer};
use rama::{Layer, Service};
use tansu_broker::Error;
use tansu_broker::coordinator::group::administrator::Controller;
use tansu_broker::service::{coordinator, storage as admin};
use tansu_sans_io::{ApiKey, FetchRequest, ListOffsetsRequest, ProduceRequest};
use tansu_service::{FrameRequestLayer, FrameRouteBuilder, FrameRouteService};
use tansu_storage::{ProduceService, Storage};

/// The table of all requests.
type Builder = FrameRouteBuilder<(), Error>;

/// The table of all requests on this storage and its file.
pub(super) fn routes<S: Storage>(
    storage: S,
    records: Records,
    disk: Disk,
) -> Result<FrameRouteService<(), Error>, Error> {
    let arrivals = Arrivals::default();
    let groups = Controller::with_storage(storage.clone())?;
    let produce = DurableProduce { inner: ProduceService, disk: disk.clone(), arrivals: arrivals.clone() };
    let builder = administration(FrameRouteService::builder(), &storage)?;
    let builder = coordinator::services(builder, groups)?;
    let builder = writing(builder, storage, produce)?;
    let builder = reading(builder, Fetch { records: records.clone(), disk, arrivals }, ListOffsets { records })?;
    Ok(builder.build()?)
}

fn administration<S: Storage>(builder: Builder, storage: &S) -> Result<Builder, Error> {
    [
        admin::consumer_group_describe,
        admin::create_topics,
        admin::delete_groups,
        admin::delete_topics,
        admin::describe_cluster,
        admin::describe_configs,
        admin::describe_groups,
        admin::describe_topic_partitions,
        admin::find_coordinator,
        admin::incremental_alter_configs,
        admin::init_producer_id,
        admin::list_groups,
        admin::list_partition_reassignments,
        admin::metadata,
    ]
    .iter()
    .try_fold(builder, |builder, route| route(builder, storage.clone()))
}

fn writing<S: Storage>(
    builder: Builder,
    storage: S,
    produce: DurableProduce<ProduceService>,
) -> Result<Builder, Error> {
    let layers =
        (MapErrLayer::new(Error::from), MapStateLayer::new(|()| storage), FrameRequestLayer::<ProduceRequest>::new());
    Ok(builder.with_route(ProduceRequest::KEY, layers.into_layer(produce).boxed())?)
}

fn reading(builder: Builder, fetch: Fetch, list_offsets: ListOffsets) -> Result<Builder, Error> {
    let fetch = (MapErrLayer::new(Error::from), FrameRequestLayer::<FetchRequest>::new()).into_layer(fetch);
    let offsets =
        (MapErrLayer::new(Error::from), FrameRequestLayer::<ListOffsetsRequest>::new()).into_layer(list_offsets);
    Ok(builder.with_route(FetchRequest::KEY, fetch.boxed())?.with_route(ListOffsetsRequest::KEY, offsets.boxed())?)
}
