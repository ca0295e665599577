//! A pair of servers and an engine after some traffic: every metric that the README lists is there and tells the truth.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod rig;

use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, Headers, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use rig::kafka;
use rig::watched::{PARTITIONS, Rig, event};
use std::time::{Duration, Instant};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// A record that nobody can decode, of a trace.
async fn send_garbage(topic: &str) {
    let producer: FutureProducer = kafka().create().unwrap();
    let headers = OwnedHeaders::new().insert(Header { key: "traceparent", value: Some(TRACE) });
    let record = FutureRecord::to(topic).key("proj_demo").payload("garbage").headers(headers);
    producer.send(record, Timeout::After(Duration::from_secs(10))).await.unwrap();
}

/// The trace that the first dead letter carries.
async fn trace_of_dead_letter(topic: String) -> String {
    // Not on this thread: the engine's connections live on it.
    tokio::task::spawn_blocking(move || read_trace(&topic)).await.unwrap()
}

fn read_trace(topic: &str) -> String {
    let consumer: BaseConsumer =
        kafka().set("group.id", format!("reader-{topic}")).set("auto.offset.reset", "earliest").create().unwrap();
    consumer.subscribe(&[&format!("{topic}-dlq")]).unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        assert!(Instant::now() < deadline, "no dead letter");
        let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
        let message = message.unwrap();
        let header = message.headers().unwrap().iter().find(|header| header.key == "traceparent");
        return String::from_utf8(header.unwrap().value.unwrap().to_vec()).unwrap();
    }
}

/// The figure of the first line that begins so.
fn figure(text: &str, start: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(start)).unwrap_or_else(|| panic!("no {start} in\n{text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[actix_web::test]
async fn every_documented_metric_is_shown_and_agrees_with_the_traffic() {
    let mut rig = Rig::start().await;
    for id in ["a", "b", "c", "c"] {
        assert_eq!(rig.post("/v1/events", event(id), &[]).await, 202);
    }
    let batch = format!(r#"{{"events": [{}, {{"message": 5}}, {}]}}"#, event("d"), event("e"));
    assert_eq!(rig.post("/v1/events/batch", batch, &[]).await, 202);
    assert_eq!(rig.post("/v1/events", "{\"broken", &[]).await, 400);
    send_garbage(&rig.topic).await;
    assert_eq!(trace_of_dead_letter(rig.topic.clone()).await, TRACE);
    rig.wait_for(r#"signals_events_settled_total{outcome="counted"} 5"#).await;
    rig.wait_for(r#"signals_events_settled_total{outcome="dead_lettered"} 1"#).await;
    let text = rig.wait_for(r#"signals_events_settled_total{outcome="duplicate"} 1"#).await;

    // Those of the summarizers and of the indexers are shown by processes that have some.
    let elsewhere = |name: &str| {
        ["signals_ai_", "signals_index", "signals_event_indexed"].iter().any(|start| name.starts_with(start))
    };
    let all = web::metrics::ALL.iter().chain(actors::metrics::ALL);
    for instrument in all.filter(|instrument| !elsewhere(instrument.name)) {
        let kind = format!("# TYPE {} {}", instrument.name, instrument.kind.as_str());
        let help = format!("# HELP {} {}", instrument.name, instrument.help());
        for line in [kind, help] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        for sample in text.lines().filter(|line| line.starts_with(&format!("{}{{", instrument.name))) {
            for label in instrument.labels {
                assert!(sample.contains(&format!("{label}=\"")), "{sample} lacks {label}");
            }
        }
    }
    for (start, wanted) in [
        ("signals_ingest_accepted_events_total", 6.0),
        (r#"signals_ingest_refused_events_total{reason="invalid"}"#, 1.0),
        (r#"signals_ingest_refused_events_total{reason="malformed"}"#, 1.0),
        (r#"signals_http_requests_total{route="/v1/events",method="POST",status="202"}"#, 4.0),
        (r#"signals_dead_letters_total{stage="decode"}"#, 1.0),
        ("signals_log_append_duration_seconds_count", 5.0),
        (r#"signals_key_lookups_total{source="database"}"#, 1.0),
        (r#"signals_key_lookups_total{source="memory"}"#, 5.0),
        (r#"signals_database_connections{state="most"}"#, 6.0),
    ] {
        assert_eq!(figure(&text, start), wanted, "{start}\n{text}");
    }
    assert!(figure(&text, "signals_event_durable_seconds_count") >= 1.0);
    let late = figure(&text, "signals_event_durable_seconds_sum");
    assert!((0.0..60.0).contains(&late), "{late} s from receipt to durable");
    let routed: f64 = (0..PARTITIONS)
        .map(|partition| figure(&text, &format!(r#"signals_records_routed_total{{partition="{partition}"}}"#)))
        .sum();
    assert_eq!(routed, 7.0);
    for partition in 0..PARTITIONS {
        assert_eq!(figure(&text, &format!(r#"signals_partition_owned{{partition="{partition}"}}"#)), 1.0);
        rig.wait_for(&format!(r#"signals_partition_lag_records{{partition="{partition}"}} 0"#)).await;
    }
    // Both servers show the process as a whole.
    assert!(figure(&rig.scrape(&rig.ingest).await, "signals_flush_size_rows_count") >= 1.0);
    // What this process owns no more, it shows no more.
    rig.engine.take().unwrap().stop().await;
    for partition in 0..PARTITIONS {
        rig.wait_for(&format!(r#"signals_partition_owned{{partition="{partition}"}} 0"#)).await;
    }
    rig.stop().await;
}
