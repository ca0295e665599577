//! What a 202 promises, on a real Kafka and a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod rig;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use rdkafka::ClientConfig;
use rdkafka::Message;
use rdkafka::message::Headers;
use rig::ingest::{Options, PARTITIONS, Rig, answer};
use rig::{KEY, kafka, new_topic};
use schema::envelope::Envelope;
use schema::fingerprint::{Grouping, fingerprint};
use schema::keys::{Scope, find_by_hash, hash_key, revoke};
use schema::names::{KIND_COMMAND, KIND_HEADER};
use serde_json::{Value, json};
use std::collections::HashSet;
use std::io::Write;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use web::ingest::IngestConfig;
use web::producer::{ANSWERS_WITHIN, AppendError, LogWriter};

const EVENTS: &str = "/v1/events";
const BATCH: &str = "/v1/events/batch";

fn event(id: &str) -> Value {
    json!({"event_type": "error", "message": format!("it broke in {id}"), "event_id": id})
}

fn ids(envelopes: &[Value]) -> Vec<&str> {
    envelopes.iter().map(|envelope| envelope["event_id"].as_str().unwrap()).collect()
}

#[actix_web::test]
async fn g1_a_202_means_that_the_envelope_is_in_the_log() {
    let rig = Rig::start(Options::default()).await;
    let sent = json!({
        "event_id": "my-id", "event_type": "error", "severity": "critical", "environment": "prod",
        "message": "Zeitüberschreitung \"DB\" \u{1f525}\nnext line", "occurred_at": "2026-01-02T03:04:05.678+01:00",
        "attributes": {"error_code": "DB_TIMEOUT", "route": "/api/users/42?x=1", "release": "v2", "nested": {"a": [1.5, null]}},
        "payload": {"user": "u1"},
    });
    let (status, _, told) = answer(rig.post(EVENTS).json(&sent)).await;
    assert_eq!((status, &told["accepted"], &told["event_id"]), (202, &json!(true), &json!("my-id")), "{told}");

    let log = rig.log();
    assert_eq!(log.len(), 1);
    assert_eq!(log[0].key(), Some(&b"proj_demo"[..]));
    assert!(log[0].headers().is_none_or(|headers| headers.count() == 0), "an event carries no header");
    let envelope: Envelope<'_> = serde_json::from_slice(log[0].payload().unwrap()).unwrap();
    assert_eq!(envelope.schema_version, "1.0");
    assert_eq!(envelope.event_id, "my-id");
    assert_eq!(envelope.occurred_at, "2026-01-02T02:04:05.678Z".parse::<DateTime<Utc>>().unwrap());
    assert_eq!(envelope.received_at, told["received_at"].as_str().unwrap().parse::<DateTime<Utc>>().unwrap());
    assert_eq!((envelope.org_id.as_ref(), envelope.project_id.as_ref()), ("org_demo", "proj_demo"));
    assert_eq!(envelope.environment, "prod");
    assert_eq!((envelope.event_type.as_str(), envelope.severity.as_str()), ("error", "critical"));
    assert_eq!(envelope.message, sent["message"].as_str().unwrap());
    let grouping = Grouping {
        error_code: Some("DB_TIMEOUT"),
        route: Some("/api/users/:id"),
        environment: "prod",
        message: "",
        custom: None,
    };
    assert_eq!(envelope.fingerprint, fingerprint(&grouping));
    assert_eq!(serde_json::from_str::<Value>(envelope.attributes.get()).unwrap(), sent["attributes"]);
    assert_eq!(serde_json::from_str::<Value>(envelope.payload.get()).unwrap(), sent["payload"]);
    rig.stop().await;
}

#[actix_web::test]
async fn g1_batches_arrays_and_lines_are_in_the_log_in_their_order() {
    let rig = Rig::start(Options::default()).await;
    let (status, _, told) = answer(rig.post(BATCH).json(&json!({"events": [event("b1"), event("b2")]}))).await;
    assert_eq!(status, 202, "{told}");
    assert_eq!((&told["count"], &told["event_ids"], &told["rejected"]), (&json!(2), &json!(["b1", "b2"]), &json!([])));
    assert_eq!(answer(rig.post(EVENTS).json(&json!([event("a1"), event("a2")]))).await.2["count"], 2);
    let lines = format!("{}\n\n{}\n", event("l1"), event("l2"));
    let typed = rig.post(EVENTS).header("content-type", "application/x-ndjson").body(lines);
    assert_eq!(answer(typed).await.2["event_ids"], json!(["l1", "l2"]));
    let by_shape = rig.post(EVENTS).body(format!("{}\n{}", event("s1"), event("s2")));
    assert_eq!(answer(by_shape).await.2["event_ids"], json!(["s1", "s2"]));
    let envelopes = rig.envelopes();
    assert_eq!(ids(&envelopes), ["b1", "b2", "a1", "a2", "l1", "l2", "s1", "s2"], "one project, one partition");
    rig.stop().await;
}

#[actix_web::test]
async fn g1_a_bad_item_does_not_sink_the_good_ones() {
    let rig = Rig::start(Options::default()).await;
    let events = json!({"events": [event("1"), {"message": 5}, event("3"), {"event_type": "error", "message": "m",
        "attributes": {"a": {"b": {"c": {"d": {"e": {"f": {"g": {"h": {}}}}}}}}}}]});
    let (status, _, told) = answer(rig.post(BATCH).json(&events)).await;
    assert_eq!((status, &told["count"], &told["event_ids"]), (202, &json!(2), &json!(["1", "3"])), "{told}");
    let rejected: Vec<_> = told["rejected"].as_array().unwrap().iter().map(|r| (&r["index"], &r["code"])).collect();
    assert_eq!(rejected, [(&json!(1), &json!("invalid")), (&json!(3), &json!("invalid"))]);
    assert!(told["rejected"][0]["detail"].as_str().unwrap().contains("/message must be a string"), "{told}");

    let mut lines = format!("{}\nbroken\n", event("4")).into_bytes();
    lines.extend_from_slice(b"{\"event_type\":\"error\",\"message\":\"\xff\"}\n");
    lines.extend_from_slice(event("5").to_string().as_bytes());
    let (status, _, told) = answer(rig.post(EVENTS).header("content-type", "application/x-ndjson").body(lines)).await;
    assert_eq!((status, &told["event_ids"]), (202, &json!(["4", "5"])), "{told}");
    assert_eq!(told["rejected"].as_array().unwrap().iter().map(|r| &r["code"]).collect::<Vec<_>>(), ["malformed"; 2]);
    assert_eq!(ids(&rig.envelopes()), ["1", "3", "4", "5"]);
    rig.stop().await;
}

#[actix_web::test]
async fn g1_a_body_in_any_encoding_is_read() {
    let rig = Rig::start(Options::default()).await;
    let plain = |id: &str| event(id).to_string().into_bytes();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain("gzip")).unwrap();
    let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    zlib.write_all(&plain("deflate")).unwrap();
    let mut br = Vec::new();
    brotli::CompressorWriter::new(&mut br, 4_096, 5, 22).write_all(&plain("br")).unwrap();
    let bodies = [
        ("gzip", gzip.finish().unwrap()),
        ("deflate", zlib.finish().unwrap()),
        ("br", br),
        ("zstd", zstd::encode_all(&plain("zstd")[..], 3).unwrap()),
        ("identity", plain("identity")),
    ];
    for (encoding, body) in bodies {
        let (status, _, told) = answer(rig.post(EVENTS).header("content-encoding", encoding).body(body)).await;
        assert_eq!((status, &told["event_id"]), (202, &json!(encoding)), "{told}");
    }
    // A body in several pieces, and one that is prepared on a thread of its own.
    let long = json!({"events": (0..900).map(|n| event(&format!("n{n}"))).collect::<Vec<_>>(), "padding": "x".repeat(3 << 20)});
    assert_eq!(answer(rig.post(BATCH).json(&long)).await.2["count"], 900);
    assert_eq!(rig.envelopes().len(), 905);
    rig.stop().await;
}

#[actix_web::test]
async fn g1_every_acknowledged_event_of_many_clients_is_in_the_log_once() {
    let rig = Rig::start(Options::default()).await;
    let clients = (0..50).map(|client| {
        let rig = &rig;
        async move {
            for number in 0..40 {
                let (status, _, told) = answer(rig.post(EVENTS).json(&event(&format!("{client}-{number}")))).await;
                assert_eq!(status, 202, "{told}");
            }
        }
    });
    join_all(clients).await;
    let envelopes = rig.envelopes();
    let distinct: HashSet<&str> = ids(&envelopes).into_iter().collect();
    assert_eq!((envelopes.len(), distinct.len()), (2_000, 2_000));
    rig.stop().await;
}

#[actix_web::test]
async fn a_key_is_known_by_its_hash_may_only_what_its_scopes_say_and_is_noted_as_used() {
    let rig = Rig::start(Options::default()).await;
    let with = |key: &str| rig.client.post(format!("{}{EVENTS}", rig.url)).header("x-api-key", key).json(&event("e"));
    rig.make_key("reader", &[Scope::Read, Scope::Write, Scope::Admin]).await;
    rig.make_key("sender", &[Scope::Ingest]).await;
    assert_eq!(answer(with("sender")).await.0, 202);
    let (status, _, told) = answer(with("reader")).await;
    assert_eq!((status, &told["code"]), (403, &json!("missing_scope")));
    let (status, _, told) = answer(with("nobody")).await;
    assert_eq!((status, &told["code"]), (401, &json!("unknown_key")));
    let bearer = rig.client.post(format!("{}{EVENTS}", rig.url)).bearer_auth("sender").json(&event("f"));
    assert_eq!(answer(bearer).await.0, 202);

    // A key that was tried before it was made is good soon after.
    rig.make_key("nobody", &[Scope::Ingest]).await;
    let deadline = Instant::now() + Duration::from_secs(5);
    while answer(with("nobody")).await.0 != 202 {
        assert!(Instant::now() < deadline, "the new key is still unknown");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }

    let mut connection = rig.database.connect().await;
    let deadline = Instant::now() + Duration::from_secs(20);
    while find_by_hash(&mut connection, &hash_key("sender")).await.unwrap().unwrap().last_used_at.is_none() {
        assert!(Instant::now() < deadline, "the use of the key was not noted");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rig.stop().await;
}

#[actix_web::test]
async fn a_revocation_is_effective_within_five_seconds_however_busy_the_key_is() {
    let rig = Rig::start(Options::default()).await;
    let id = rig.make_key("leaked", &[Scope::Ingest]).await;
    let with = || rig.client.post(format!("{}{EVENTS}", rig.url)).header("x-api-key", "leaked").json(&event("e"));
    assert_eq!(answer(with()).await.0, 202);
    assert!(revoke(&mut rig.database.connect().await, &id).await.unwrap());
    let revoked = Instant::now();
    let told = loop {
        let (status, _, told) = answer(with()).await;
        if status != 202 {
            break (status, told["code"].clone());
        }
        assert!(revoked.elapsed() < Duration::from_secs(5), "the key still works");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(told, (401, json!("revoked_key")));
    rig.stop().await;
}

#[actix_web::test]
async fn while_the_database_is_away_known_keys_are_served_and_unknown_ones_are_told_to_come_back() {
    let link = std::rc::Rc::new(proxy::Link::default());
    let route = std::rc::Rc::clone(&link);
    let options = Options { database_url: Some(Box::new(move |url| route.to(url))), ..Options::default() };
    let rig = Rig::start(options).await;
    let with = |key: &str| rig.client.post(format!("{}{EVENTS}", rig.url)).header("x-api-key", key).json(&event("e"));
    rig.make_key("late", &[Scope::Ingest]).await;
    assert_eq!(answer(with(KEY)).await.0, 202);

    link.cut();
    let cut = Instant::now();
    // Longer than a key is trusted while the database answers.
    while cut.elapsed() < Duration::from_secs(8) {
        let asked = Instant::now();
        assert_eq!(answer(with(KEY)).await.0, 202);
        assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let (status, retry, told) = answer(with("late")).await;
    assert_eq!((status, &told["code"]), (503, &json!("keys_unavailable")), "never 401");
    assert!(retry.is_some_and(|seconds| seconds > 0));

    link.mend();
    let deadline = Instant::now() + Duration::from_secs(20);
    while answer(with("late")).await.0 != 202 {
        assert!(Instant::now() < deadline, "the database is back and the key still unknown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rig.stop().await;
}

#[actix_web::test]
async fn g1_a_log_that_does_not_answer_is_said_so_within_the_bound() {
    // One address that refuses, one that takes the connection and never says a word.
    let silent = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let refusing = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    for broker in [refusing, silent.local_addr().unwrap()] {
        let mut kafka = ClientConfig::new();
        kafka.set("bootstrap.servers", broker.to_string());
        let rig = Rig::start(Options { kafka, ..Options::default() }).await;
        let asked = Instant::now();
        let requests = (0..20).map(|n| answer(rig.post(EVENTS).json(&event(&format!("{n}")))));
        for (status, retry, told) in join_all(requests).await {
            assert_eq!((status, &told["code"]), (503, &json!("log_unavailable")), "{told}");
            assert!(retry.is_some_and(|seconds| seconds > 0));
        }
        let took = asked.elapsed();
        assert!(took < ANSWERS_WITHIN + Duration::from_secs(3), "{took:?}");
        rig.stop().await;
    }
}

#[actix_web::test]
async fn a_key_that_sends_too_much_is_told_when_to_come_back() {
    let config = IngestConfig { ingest_rate: NonZeroU32::new(10) };
    let rig = Rig::start(Options { config, ..Options::default() }).await;
    let batch = json!({"events": (0..1_000).map(|n| event(&format!("{n}"))).collect::<Vec<_>>()});
    assert_eq!(answer(rig.post(BATCH).json(&batch)).await.0, 202);
    let (status, retry, told) = answer(rig.post(BATCH).json(&json!({"events": vec![event("x"); 500]}))).await;
    assert_eq!((status, &told["code"]), (429, &json!("rate_limited")));
    assert!(retry.is_some_and(|seconds| (30..=60).contains(&seconds)), "{retry:?}");
    rig.make_key("other", &[Scope::Ingest]).await;
    let other = rig.client.post(format!("{}{EVENTS}", rig.url)).header("x-api-key", "other").json(&event("y"));
    assert_eq!(answer(other).await.0, 202, "another key has its own measure");
    assert_eq!(rig.envelopes().len(), 1_001, "what was refused is not in the log");
    rig.stop().await;
}

#[actix_web::test]
async fn g4_a_command_goes_to_the_partition_of_its_projects_events_and_says_what_it_is() {
    let rig = Rig::start(Options::default()).await;
    assert_eq!(answer(rig.post(EVENTS).json(&event("before"))).await.0, 202);
    let log = LogWriter::new(kafka(), &rig.topic).unwrap();
    let position = log.append("proj_demo", b"{\"command\":1}", true).await.unwrap();
    let records = rig.log();
    assert_eq!((records[1].partition(), records[1].offset()), (position.partition, position.offset));
    assert_eq!(records[0].partition(), position.partition);
    let header = records[1].headers().unwrap().get(0);
    assert_eq!((header.key, header.value), (KIND_HEADER, Some(KIND_COMMAND)));
    rig.stop().await;
}

#[actix_web::test]
async fn what_no_broker_takes_is_refused_at_once() {
    let topic = new_topic(PARTITIONS).await;
    let log = LogWriter::new(kafka(), &topic).unwrap();
    assert_eq!(log.append("p", &vec![b'x'; 2 << 20], false).await, Err(AppendError::TooLarge));
    let mut small = kafka();
    small
        .set("queue.buffering.max.messages", "1")
        .set("bootstrap.servers", "127.0.0.1:1")
        .set("message.timeout.ms", "500");
    let log = LogWriter::new(small, &topic).unwrap();
    let answers = join_all((0..3).map(|_| log.append("p", b"x", false))).await;
    assert!(answers.contains(&Err(AppendError::Full)), "{answers:?}");
    assert!(answers.iter().all(Result::is_err), "{answers:?}");
}

mod proxy {
    //! A wire to the database that can be cut.

    use std::cell::RefCell;
    use std::io;
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::sync::{Arc, Mutex};
    use std::thread;

    #[derive(Default)]
    pub struct Link {
        wire: RefCell<Option<Arc<Wire>>>,
    }

    struct Wire {
        target: SocketAddr,
        cut: Mutex<bool>,
        open: Mutex<Vec<TcpStream>>,
    }

    impl Link {
        /// The same URL, through this wire.
        pub fn to(&self, url: &str) -> String {
            let (before, rest) = url.split_once('@').unwrap();
            let (host, path) = rest.split_once('/').unwrap();
            let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
            let local = listener.local_addr().unwrap();
            let wire =
                Arc::new(Wire { target: host.parse().unwrap(), cut: Mutex::new(false), open: Mutex::new(Vec::new()) });
            *self.wire.borrow_mut() = Some(Arc::clone(&wire));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if !*wire.cut.lock().unwrap() {
                        wire.join(stream).unwrap();
                    }
                }
            });
            format!("{before}@{local}/{path}")
        }

        pub fn cut(&self) {
            let wire = self.wire.borrow();
            let wire = wire.as_ref().unwrap();
            *wire.cut.lock().unwrap() = true;
            for stream in wire.open.lock().unwrap().drain(..) {
                // A stream that its end closed before is cut already.
                let _ = stream.shutdown(std::net::Shutdown::Both);
            }
        }

        pub fn mend(&self) {
            *self.wire.borrow().as_ref().unwrap().cut.lock().unwrap() = false;
        }
    }

    impl Wire {
        fn join(&self, client: TcpStream) -> io::Result<()> {
            let server = TcpStream::connect(self.target)?;
            self.open.lock().unwrap().extend([client.try_clone()?, server.try_clone()?]);
            for (mut from, mut to) in [(client.try_clone()?, server.try_clone()?), (server, client)] {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(std::net::Shutdown::Both);
                });
            }
            Ok(())
        }
    }
}
