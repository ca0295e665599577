//! Which requests the log answers, and by which service.
//!
//! Everything that clients and the usual tools need, and nothing that could end the broker: `DeleteRecords`, for one,
//! is a `todo!()` in its storage. Client telemetry, ACLs, SASL and transactions are left out, so that no client
//! tries them.

use super::arrivals::Arrivals;
use super::disk::Disk;
use super::durable::DurableProduce;
use super::long_poll::LongPoll;
use rama::Layer;
use rama::Service;
use rama::layer::{MapErrLayer, MapStateLayer};
use tansu_broker::Error;
use tansu_broker::coordinator::group::administrator::Controller;
use tansu_broker::service::{coordinator, storage as admin};
use tansu_sans_io::{ApiKey, FetchRequest, ProduceRequest};
use tansu_service::{FrameRequestLayer, FrameRouteBuilder, FrameRouteService};
use tansu_storage::{FetchService, ProduceService, Storage};

type Builder = FrameRouteBuilder<(), Error>;

/// The table of all requests, on this storage.
pub(super) fn routes<S: Storage>(
    storage: S,
    disk: Disk,
    arrivals: Arrivals,
) -> Result<FrameRouteService<(), Error>, Error> {
    let groups = Controller::with_storage(storage.clone())?;
    let builder = administration(FrameRouteService::builder(), &storage)?;
    let builder = coordinator::services(builder, groups)?;
    let builder = produce(
        builder,
        storage.clone(),
        DurableProduce { inner: ProduceService, disk: disk.clone(), arrivals: arrivals.clone() },
    )?;
    let builder = fetch(builder, storage, LongPoll { inner: FetchService, disk, arrivals })?;
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
        admin::list_offsets,
        admin::list_partition_reassignments,
        admin::metadata,
    ]
    .iter()
    .try_fold(builder, |builder, route| route(builder, storage.clone()))
}

fn produce<S: Storage>(
    builder: Builder,
    storage: S,
    service: DurableProduce<ProduceService>,
) -> Result<Builder, Error> {
    let layers =
        (MapErrLayer::new(Error::from), MapStateLayer::new(|()| storage), FrameRequestLayer::<ProduceRequest>::new());
    Ok(builder.with_route(ProduceRequest::KEY, layers.into_layer(service).boxed())?)
}

fn fetch<S: Storage>(builder: Builder, storage: S, service: LongPoll<FetchService>) -> Result<Builder, Error> {
    let layers =
        (MapErrLayer::new(Error::from), MapStateLayer::new(|()| storage), FrameRequestLayer::<FetchRequest>::new());
    Ok(builder.with_route(FetchRequest::KEY, layers.into_layer(service).boxed())?)
}
