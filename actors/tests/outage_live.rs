//! The servers go away and come back, the log is re-created: no loss, no double count, no manual step.
#![allow(clippy::unwrap_used, clippy::as_conversions)]

mod rig;

use diesel_async::RunQueryDsl;
use rig::servers::Server;
use rig::{COUNTED, Rig, event, project};

async fn rig_on(kafka: &Server, postgres: &Server) -> Rig {
    Rig::on_own(kafka.address(), postgres).await
}

fn events(from: usize, to: usize) -> impl Iterator<Item = (String, String)> {
    (from..to).map(|number| (project(number), event(number, "fine")))
}

async fn re_create_the_log(rig: &Rig) {
    let options = rdkafka::admin::AdminOptions::new();
    rig.admin().delete_topics(&[&rig.topic], &options).await.unwrap().remove(0).unwrap();
    rig.create_topic_when_gone(&rig.topic).await;
}

#[actix::test]
async fn g2_g3_postgres_and_the_broker_are_killed_and_come_back_and_every_count_is_exact() {
    let (kafka, postgres) = (Server::kafka(), Server::postgres());
    let rig = rig_on(&kafka, &postgres).await;
    let engine = rig.engine().await;
    rig.send_records(events(0, 1_000)).await;
    rig.wait_for(COUNTED, 1_000).await;

    postgres.kill();
    rig.send_records(events(1_000, 2_000)).await;
    postgres.start();
    rig.wait_for(COUNTED, 2_000).await;

    kafka.kill();
    kafka.start();
    rig.send_records(events(1_500, 3_000)).await;
    rig.wait_for(COUNTED, 3_000).await;

    postgres.stop();
    kafka.stop();
    kafka.start();
    rig.send_records(events(3_000, 4_000)).await;
    postgres.start();
    rig.wait_for(COUNTED, 4_000).await;
    engine.stop().await;
    assert_eq!(rig.sum("SELECT count(*) AS n FROM incidents WHERE event_count NOT BETWEEN 28 AND 29").await, 0);
    assert_eq!(rig.sum("SELECT count(*) AS n FROM log_gaps").await, 0);
}

/// A broker that was not shut down in order can lose records that were counted: what is still there has been counted, too.
#[actix::test]
async fn g2_g7_a_log_that_lost_its_end_is_not_counted_again() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send_records(events(0, 1_000)).await;
    rig.wait_for(COUNTED, 1_000).await;
    engine.stop().await;
    // As if ten more had been durable in each partition. Unlike the tests' events, those of ingest are of the time that they
    // were sent at.
    let lost = "UPDATE partition_checkpoints SET next_offset = next_offset + 10, complete_until = now()";
    diesel::sql_query(lost).execute(&mut rig.database.as_ref().unwrap().connect().await).await.unwrap();
    let later = "SELECT count(*) AS n FROM partition_checkpoints WHERE now() > complete_until + interval '1.1 seconds'";
    rig.wait_for(later, i64::from(rig::PARTITIONS)).await;
    rig.send_records(events(1_000, 1_010)).await;
    let engine = rig.engine().await;
    rig.wait_for(COUNTED, 1_010).await;
    rig.send_records(events(1_010, 1_500)).await;
    rig.wait_for(COUNTED, 1_500).await;
    engine.stop().await;
    let partitions = "SELECT count(*) AS n FROM log_gaps WHERE reason LIKE 'the log lost its end%'";
    assert_eq!(rig.sum(partitions).await, i64::from(rig::PARTITIONS));
}

/// Under a living engine nobody claims a partition anew.
#[actix::test]
async fn g7_a_log_that_is_re_created_under_a_living_engine_is_noticed_and_read_on() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send_records(events(0, 1_000)).await;
    rig.wait_for(COUNTED, 1_000).await;
    re_create_the_log(&rig).await;
    rig.send_records(events(1_000, 1_500)).await;
    rig.wait_for(COUNTED, 1_500).await;
    engine.stop().await;
    let partitions = "SELECT count(*) AS n FROM log_gaps WHERE reason LIKE 'the log was re-created%'";
    assert_eq!(rig.sum(partitions).await, i64::from(rig::PARTITIONS));
}

#[actix::test]
async fn g7_a_log_that_was_re_created_leaves_a_recorded_gap_and_is_read_on() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send_records(events(0, 1_000)).await;
    rig.wait_for(COUNTED, 1_000).await;
    engine.stop().await;

    re_create_the_log(&rig).await;
    rig.send_records(events(1_000, 1_500)).await;

    let engine = rig.engine().await;
    rig.wait_for(COUNTED, 1_500).await;
    engine.stop().await;
    let lost = "SELECT coalesce(sum(to_offset - from_offset), 0)::bigint AS n FROM log_gaps";
    assert!(rig.sum(lost).await > 0, "the hole between the new log's end and the checkpoints is on record");
}
