//! A fingerprint that keeps killing its actor is quarantined, and what went to the dead letters meanwhile comes back
//! without a count too many or too few (G5, G6), over restarts of the engine.
#![allow(clippy::unwrap_used, clippy::as_conversions, clippy::indexing_slicing)]

mod rig;

use actors::failpoint::POISON;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rig::{BURIED, COUNTED, Rig};
use std::time::Duration;

const PROJECT: &str = "proj_poisoned";
const HANDLED: &str = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger";
const DEAD: &str = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger WHERE outcome = 'dead_lettered'";
const HELD: &str = "SELECT coalesce(sum(records), 0)::bigint AS n FROM quarantine WHERE lifted_at IS NULL";
const LIFTED: &str = "SELECT count(*) AS n FROM quarantine WHERE lifted_at IS NOT NULL";

/// `second` is when it was received.
fn event(number: usize, fingerprint: usize, second: usize, message: &str) -> String {
    let at = format!("2026-11-24T{:02}:{:02}:{:02}.000Z", 5 + second / 3_600, second / 60 % 60, second % 60);
    format!(
        r#"{{"schema_version":"1.0","event_id":"e{number}","occurred_at":"{at}","received_at":"{at}","org_id":"org",
        "project_id":"{PROJECT}","environment":"prod","event_type":"error","severity":"error","message":"{message}",
        "fingerprint":"{fingerprint:064x}","attributes":{{}},"payload":{{}}}}"#
    )
}

fn records(events: impl IntoIterator<Item = String>) -> impl Iterator<Item = (String, String)> {
    events.into_iter().map(|event| (PROJECT.to_owned(), event))
}

/// Sends one record with a header, as `signals dlq retry` and `signals quarantine lift` do.
async fn send_with(rig: &Rig, header: (&str, &str), payload: &str) {
    let producer: FutureProducer = rig.kafka().create().unwrap();
    let headers = OwnedHeaders::new().insert(Header { key: header.0, value: Some(header.1) });
    let record = FutureRecord::to(&rig.topic).key(PROJECT).payload(payload).headers(headers);
    producer.send(record, Duration::from_secs(30)).await.unwrap();
}

fn lift(command_id: &str, fingerprint: usize) -> String {
    format!(
        r#"{{"schema_version":"1.0","command_id":"{command_id}","kind":"lift_quarantine","project_id":"{PROJECT}",
        "fingerprint":"{fingerprint:064x}","principal":"tester","received_at":"2026-11-24T05:10:00Z"}}"#
    )
}

#[actix::test]
async fn g5_g6_from_poison_to_quarantine_to_lift_to_retry_the_ledger_closes() {
    actors::failpoint::arm();
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    // 100 events of each of two fingerprints; every tenth of the first kills: the fifth is number 45.
    let message = |number: usize| if number % 10 == 5 { POISON } else { "fine" };
    rig.send_records(records(
        (0..100).flat_map(|number| [event(number, 1, 0, message(number)), event(1_000 + number, 2, 0, "fine")]),
    ))
    .await;
    // Five of them killed; those before the fifth are counted, those after it are held, good or not.
    rig.wait_for(COUNTED, 100 + 41).await;
    rig.wait_for(BURIED, 5 + 54).await;
    rig.wait_for(HELD, 54).await;
    engine.stop().await;

    // A restart knows of the quarantine; it still holds, for this fingerprint only.
    rig.send_records(records([event(100, 1, 60, "fine"), event(1_100, 2, 60, "fine")])).await;
    let engine = rig.engine().await;
    rig.wait_for(COUNTED, 101 + 41).await;
    rig.wait_for(HELD, 55).await;

    send_with(&rig, ("signals-record-kind", "command"), &lift("lift-1", 1)).await;
    rig.wait_for(LIFTED, 1).await;
    send_with(&rig, ("signals-record-kind", "command"), &lift("lift-2", 1)).await;
    let refused = "SELECT count(*) AS n FROM command_outcomes WHERE command_id = 'lift-2' AND NOT applied";
    rig.wait_for(refused, 1).await;

    // Put back what was held, each twice: the second of an attempt changes nothing. One poison among it kills again.
    for number in (46..100).filter(|number| number % 10 != 5).chain([100, 55]) {
        for _ in 0..2 {
            send_with(
                &rig,
                ("signals-retries", "1"),
                &event(number, 1, if number == 100 { 60 } else { 0 }, message(number)),
            )
            .await;
        }
    }
    rig.wait_for(COUNTED, 101 + 41 + 50).await;
    rig.send_records(records([event(2_000, 2, 61, "fine")])).await;
    rig.wait_for(COUNTED, 101 + 41 + 51).await;
    engine.stop().await;
    assert_eq!(rig.sum(DEAD).await, 10, "the ten that kill are left");
    assert_eq!(rig.sum(HANDLED).await, 203, "each accepted event stands in one line of the ledger");
    let minutes = "SELECT sum(value)::bigint AS n FROM metrics_bucket WHERE metric_name = 'events.error'";
    assert_eq!(rig.sum(minutes).await, 193, "and those that are counted in one minute");
}

#[actix::test]
async fn g9_evidence_outlives_the_engine_and_a_quarantine_ends_by_the_time_of_its_records() {
    actors::failpoint::arm();
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send_records(records((0..3).map(|number| event(number, 1, number, POISON)))).await;
    rig.wait_for(BURIED, 3).await;
    engine.stop().await;
    let engine = rig.engine().await;
    rig.send_records(records((3..5).map(|number| event(number, 1, number, POISON)))).await;
    rig.wait_for(BURIED, 5).await;
    // An hour after the fifth it still holds; a second later it does not.
    rig.send_records(records([event(5, 1, 3_604, "fine"), event(6, 1, 3_605, "fine"), event(7, 1, 0, "fine")])).await;
    rig.wait_for(COUNTED, 2).await;
    engine.stop().await;
    assert_eq!((rig.sum(BURIED).await, rig.sum(LIFTED).await, rig.sum(HELD).await), (6, 1, 0));
    assert_eq!(rig.sum("SELECT count(*) AS n FROM poison_records").await, 0, "the quarantine consumed the evidence");
}
