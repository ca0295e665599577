//! What breaks takes no neighbour along (G5): records that make their actors panic, on the real servers.
#![allow(clippy::unwrap_used, clippy::as_conversions, clippy::indexing_slicing)]

mod rig;

use actors::failpoint::{POISON, PROJECT_POISON};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rig::{BURIED, COUNTED, Rig, event, project};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// (headers, payload) of `wanted` dead letters.
fn dead_letters(rig: &Rig, wanted: usize) -> Vec<(BTreeMap<String, String>, String)> {
    let consumer: BaseConsumer =
        rig.kafka().set("group.id", "reader").set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&[&rig.dlq()]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut letters = Vec::new();
    while letters.len() < wanted {
        assert!(Instant::now() < deadline, "{} of {wanted} dead letters", letters.len());
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.unwrap();
        let headers = message.headers().unwrap();
        let text = |value: Option<&[u8]>| String::from_utf8_lossy(value.unwrap()).into_owned();
        let headers = headers.iter().map(|header| (header.key.to_owned(), text(header.value))).collect();
        letters.push((headers, String::from_utf8(message.payload().unwrap().to_vec()).unwrap()));
    }
    letters
}

#[actix::test]
async fn g5_a_record_that_kills_its_incident_disturbs_no_other_count() {
    actors::failpoint::arm();
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    // Every hundredth event kills its incident, every 250th its project, every 500th both; what cannot be decoded is in between.
    let both = format!("{POISON} {PROJECT_POISON}");
    let records = (0..2_000usize).map(|number| match number {
        number if number % 100 == 7 => (project(number), event(number, POISON)),
        number if number % 250 == 11 => (project(number), event(number, PROJECT_POISON)),
        number if number % 500 == 17 => (project(number), event(number, &both)),
        number if number % 500 == 13 => (project(number), "{\"not\": \"an event\"}".to_owned()),
        number => (project(number), event(number, "fine")),
    });
    rig.send_records(records).await;
    let (poisoned, garbled) = (20 + 8 + 4, 4);
    rig.wait_for(BURIED, poisoned + garbled).await;
    rig.wait_for(COUNTED, 2_000 - poisoned - garbled).await;
    engine.stop().await;

    let letters = dead_letters(&rig, (poisoned + garbled) as usize);
    let stage = |name: &str| {
        letters.iter().filter(|(headers, _)| headers["__connect.errors.stage"] == name).collect::<Vec<_>>()
    };
    let (of_incidents, of_projects) = (stage("incident").len(), stage("project").len());
    assert_eq!((of_incidents + of_projects, stage("decode").len()), (32, 4));
    assert!(of_incidents >= 20 && of_projects >= 8, "{of_incidents} and {of_projects}");
    for (headers, payload) in stage("incident") {
        assert!(headers["__connect.errors.exception.message"].contains(POISON), "{headers:?}");
        assert_eq!(headers["__connect.errors.topic"], rig.topic);
        assert!(payload.contains(POISON));
    }
    // Every incident has exactly its own events, and the minutes say the same.
    let each = "SELECT count(*) AS n FROM incidents WHERE event_count NOT BETWEEN 11 AND 15";
    assert_eq!(rig.sum(each).await, 0);
    for table in ["trend_minutes", "metrics_bucket WHERE metric_name = 'events.error'"] {
        let minutes = format!("SELECT sum(value)::bigint AS n FROM {table}");
        assert_eq!(rig.sum(&minutes).await, 2_000 - poisoned - garbled, "{table}");
    }
    let counted = "SELECT sum(events)::bigint AS n FROM ledger WHERE outcome = 'counted'";
    assert_eq!(rig.sum(counted).await, 2_000 - poisoned - garbled);
}

#[actix::test]
async fn g3_a_tenure_that_another_owner_took_begins_anew_and_counts_stay_exact() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send_records((0..500).map(|number| (project(number), event(number, "fine")))).await;
    rig.wait_for(COUNTED, 500).await;
    // Somebody claims every partition behind the engine's back, as a process would that thinks it owns them.
    for partition in 0..rig::PARTITIONS {
        let mut connection = rig.database.as_ref().unwrap().connect().await;
        schema::checkpoint::claim(&mut connection, &rig.config().group, &rig.topic, partition).await.unwrap();
    }
    rig.send_records((500..1_000).map(|number| (project(number), event(number, "fine")))).await;
    rig.wait_for(COUNTED, 1_000).await;
    engine.stop().await;
    let epochs = "SELECT min(epoch) AS n FROM partition_checkpoints";
    assert!(rig.sum(epochs).await >= 3, "the engine claimed each partition again");
}
