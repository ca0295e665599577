//! The indexers on a real Kafka and a real OpenSearch: every event is there once, whatever fails in between, and nothing is
//! committed that is not settled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../rig/mod.rs"]
mod rig;
mod room;

use actors::failpoint::{Action, Point, Strike};
use actors::indexer::config::IndexerConfig;
use actors::supervision::indexing::Indexing;
use actors::supervision::kind::ActorId;
use actors::supervision::view::{ActorView, IndexerView, State};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::TopicPartitionList;
use rig::{PARTITIONS, event, project};
use room::{PATIENCE, Room, TURNS, Turn, indexers, real, until};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

#[actix::test]
async fn every_event_is_found_once_and_what_is_none_is_left_out() {
    let room = Room::new().await;
    let indexing = room.start(room.config());
    room.rig.send(0, 1_000).await;
    room.rig.send_records([("proj_0".to_owned(), "broken".to_owned())]).await;
    let producer: FutureProducer = room.rig.kafka().create().unwrap();
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: schema::names::KIND_HEADER, value: Some(schema::names::KIND_COMMAND) });
    let command = FutureRecord::to(&room.rig.topic).key("proj_0").payload("{}").headers(headers);
    producer.send(command, Duration::from_secs(20)).await.unwrap();
    room.wait_for_events(1_000).await;
    // Each tenth event was sent twice.
    room.wait_for_commit(1_102).await;
    let seen = indexers(&indexing);
    assert_eq!(seen.len(), usize::try_from(PARTITIONS).unwrap());
    assert_eq!(seen.iter().map(|(_, figures)| figures.events).sum::<u64>(), 1_100);
    until(async || {
        let lags: Vec<_> = indexers(&indexing).into_iter().map(|(_, figures)| figures.lag).collect();
        lags.iter().all(|lag| *lag == Some(0)).then_some(()).ok_or(format!("{lags:?}"))
    })
    .await;
    let consumer = indexing.observer().actor(&ActorId::IndexConsumer).unwrap();
    assert_eq!((consumer.state, consumer.id.as_str()), (State::Running, "IndexConsumer"));
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn what_the_index_refuses_goes_to_the_dead_letters_with_its_reason() {
    let room = Room::new().await;
    let indexing = room.start(room.config());
    let bad = event(7, "bad").replace(r#"{"error_code":"E7","route":"/a"}"#, "[1]");
    let records = [(project(1), event(1, "good")), (project(7), bad.clone()), (project(2), event(2, "good"))];
    room.rig.send_records(records).await;
    room.wait_for_events(2).await;
    room.wait_for_commit(3).await;
    let consumer: BaseConsumer = room.rig.kafka().set("group.id", "none").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&room.rig.dlq(), 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let letter = loop {
        if let Some(letter) = consumer.poll(Duration::from_secs(20)) {
            break letter.unwrap();
        }
    };
    assert_eq!(letter.payload(), Some(bad.as_bytes()));
    let headers = letter.headers().unwrap();
    let text = |name: &str| {
        let found = headers.iter().find(|header| header.key == name).unwrap();
        String::from_utf8(found.value.unwrap().to_vec()).unwrap()
    };
    assert_eq!(
        (text(schema::names::STAGE_HEADER), text(schema::names::CONNECTOR_HEADER)),
        ("index".into(), room.config().group)
    );
    assert!(text(schema::names::REASON_HEADER).contains("attributes"), "{}", text(schema::names::REASON_HEADER));
    indexing.stop().await;
    room.end().await;
}

/// Nothing is committed while the index is away; the partitions are paused instead of filling memory; afterwards all is there.
#[actix::test]
async fn an_index_that_is_away_or_overloaded_is_waited_for_without_loss() {
    let room = Room::new().await;
    room.index.is_away.store(true, Ordering::Relaxed);
    let small = IndexerConfig { batch_records: 100, ..room.config() };
    let indexing = room.start(small);
    room.rig.send(0, 3_000).await;
    until(async || {
        let seen = indexers(&indexing);
        let is_held = |(view, figures): &(ActorView, IndexerView)| view.state == State::Waiting && figures.failures > 2;
        let paused = room.index.sizes.lock().unwrap().len();
        (seen.len() == 4 && seen.iter().all(is_held) && paused > 8).then_some(()).ok_or(format!("{seen:?}"))
    })
    .await;
    assert_eq!((room.found().await, room.committed()), (Ok(0), 0));
    let why = indexers(&indexing)[0].0.why.clone().unwrap();
    assert!(why.contains("away"), "{why}");
    room.index.overloads.store(5, Ordering::Relaxed);
    room.index.is_away.store(false, Ordering::Relaxed);
    room.wait_for_events(3_000).await;
    room.wait_for_commit(3_300).await;
    let smallest = room.index.sizes.lock().unwrap().iter().copied().min().unwrap();
    assert!(smallest <= 50, "batches grow smaller under failures: {smallest}");
    until(async || {
        let states: Vec<_> = indexers(&indexing).into_iter().map(|(view, _)| view.state).collect();
        states.iter().all(|state| *state == State::Running).then_some(()).ok_or(format!("{states:?}"))
    })
    .await;
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn the_next_owner_goes_on_exactly_where_the_last_one_stopped() {
    let room = Room::new().await;
    let indexing = room.start(room.config());
    room.rig.send(0, 500).await;
    room.wait_for_events(500).await;
    indexing.stop().await;
    assert_eq!(room.committed(), 550, "the last offsets are committed when the group is left");
    room.rig.send(500, 1_000).await;
    let indexing = room.start(room.config());
    room.wait_for_events(1_000).await;
    room.wait_for_commit(1_100).await;
    let again: u64 = indexers(&indexing).iter().map(|(_, figures)| figures.events).sum();
    assert_eq!(again, 550, "nothing that was committed is stored again");
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn an_indexer_that_panics_begins_anew_from_what_is_settled() {
    let room = Room::new().await;
    room.index.panics.store(3, Ordering::Relaxed);
    let indexing = room.start(room.config());
    room.rig.send(0, 1_000).await;
    room.wait_for_events(1_000).await;
    room.wait_for_commit(1_100).await;
    let deaths: Vec<_> = indexers(&indexing).into_iter().flat_map(|(view, _)| view.restarts.deaths).collect();
    assert_eq!(deaths.len(), 3, "{deaths:?}");
    assert!(deaths.iter().all(|death| death.message.contains("a batch that makes it panic")), "{deaths:?}");
    indexing.stop().await;
    room.end().await;
}

/// A second process takes partitions over and gives them back, while the first one's indexers still hang in the batches that
/// they were storing: what the old ones held is not theirs any more.
#[actix::test]
async fn a_partition_that_comes_back_while_its_old_indexer_hangs_loses_nothing() {
    let room = Room::new().await;
    let ours = async |indexing: &Indexing| indexing.observer().view().children.len();
    room.index.hangs.send_replace(true);
    let first = room.start(IndexerConfig { batch_records: 50, ..room.config() });
    room.rig.send(0, 1_000).await;
    until(async || match indexers(&first) {
        all if all.len() == 4 && all.iter().all(|(_, figures)| figures.step == "storing events") => Ok(()),
        all => Err(format!("{all:?}")),
    })
    .await;
    let second = Indexing::start(room.rig.kafka(), Arc::new(real(&room.rig)), room.config()).unwrap();
    until(async || match (ours(&first).await, ours(&second).await) {
        (2, 2) => Ok(()),
        shares => Err(format!("{shares:?} partitions")),
    })
    .await;
    second.stop().await;
    until(async || match ours(&first).await {
        4 => Ok(()),
        share => Err(format!("{share} partitions")),
    })
    .await;
    room.rig.send(1_000, 2_000).await;
    room.index.hangs.send_replace(false);
    room.wait_for_events(2_000).await;
    room.wait_for_commit(2_200).await;
    first.stop().await;
    room.end().await;
}

#[actix::test]
async fn the_indexers_poll_thread_begins_anew_when_it_panics() {
    let room = Room::of(Turn::Alone(TURNS.write().await)).await;
    let indexing = room.start(room.config());
    room.rig.send(0, 400).await;
    room.wait_for_events(400).await;
    let strike = Strike::times(Point::IndexPoll, 2, 3, Action::Panic);
    room.rig.send(400, 1_000).await;
    room.wait_for_events(1_000).await;
    room.wait_for_commit(1_100).await;
    assert!(strike.wait(3, PATIENCE).await, "fired {} times", strike.fired());
    room.rig.send(1_000, 1_200).await;
    room.wait_for_events(1_200).await;
    room.wait_for_commit(1_320).await;
    let view = indexing.observer().view();
    assert_eq!((view.state, view.restarts.count, view.children.len()), (State::Running, 3, 4), "{view:?}");
    assert_eq!(indexing.observer().poll_thread().map(|_| ()), Ok(()));
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn an_indexer_that_dies_while_its_partition_is_paused_goes_on() {
    let room = Room::new().await;
    room.index.is_away.store(true, Ordering::Relaxed);
    let indexing = room.start(IndexerConfig { batch_records: 100, ..room.config() });
    room.rig.send(0, 4_000).await;
    let assignment = || indexing.observer().view().children;
    until(async || {
        let mailboxes: Vec<_> = assignment().into_iter().map(|view| view.mailbox.unwrap().waiting).collect();
        let are_full = mailboxes.len() == 4 && mailboxes.iter().all(|waiting| *waiting == 1);
        are_full.then_some(()).ok_or(format!("{mailboxes:?}"))
    })
    .await;
    // Behind a full inbox the next batch grows until its partition is paused.
    room.index.panics.store(4, Ordering::Relaxed);
    room.index.is_away.store(false, Ordering::Relaxed);
    room.wait_for_events(4_000).await;
    room.wait_for_commit(4_400).await;
    let deaths: u64 = assignment().iter().map(|view| view.restarts.count).sum();
    assert_eq!(deaths, 4);
    indexing.stop().await;
    room.end().await;
}
