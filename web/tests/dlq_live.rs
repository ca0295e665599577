//! `signals dlq` and `signals quarantine` on the real servers, with the engine beside them: what was held comes back,
//! and the ledger closes (G6).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use actix_web::{App, test};
use actors::config::EngineConfig;
use actors::supervision::root::Engine;
use clap::Parser;
use diesel_async::RunQueryDsl;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord};
use schema::database::{Database, DatabaseConfig, pool};
use schema::ledger::Report;
use schema::testing::TestDatabase;
use serde_json::Value;
use std::time::{Duration, Instant};
use web::auth::Keys;
use web::core::{CoreState, routes};
use web::dlq::{DeadLetterTopic, DlqCommand};
use web::producer::LogWriter;
use web::quarantine::QuarantineCommand;

const KEY: &str = "sk_test_demo_0123456789";
const FINGERPRINT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

#[derive(Debug, Parser)]
struct Dlq {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Debug, Parser)]
struct Quarantine {
    #[command(subcommand)]
    command: QuarantineCommand,
}

struct Rig {
    server: TestDatabase,
    database: Database,
    kafka: ClientConfig,
    raw: String,
    dlq: DeadLetterTopic,
}

impl Rig {
    async fn new() -> Self {
        let brokers = std::env::var("KAFKA_BROKERS")
            .unwrap_or_else(|_| panic!("set KAFKA_BROKERS to a real Kafka; infra/test-services.sh starts one"));
        let mut kafka = ClientConfig::new();
        kafka.set("bootstrap.servers", brokers);
        let raw = format!("test-{}", uuid::Uuid::new_v4().simple());
        let dlq = format!("{raw}-dlq");
        let admin: AdminClient<DefaultClientContext> = kafka.create().unwrap();
        let new = [&raw, &dlq].map(|topic| NewTopic::new(topic, 1, TopicReplication::Fixed(1)));
        for made in admin.create_topics(&new, &AdminOptions::new()).await.unwrap() {
            made.unwrap();
        }
        let server = TestDatabase::create().await;
        schema::seed::seed_demo(&mut server.connect().await, KEY).await.unwrap();
        let database = pool(&DatabaseConfig::at(server.url()), 6).unwrap();
        Self { server, database, dlq: DeadLetterTopic { kafka: kafka.clone(), topic: dlq }, kafka, raw }
    }

    async fn engine(&self) -> Engine {
        let config = EngineConfig {
            group: format!("group-{}", self.raw),
            topic: self.raw.clone(),
            dlq_topic: self.dlq.topic.clone(),
            ..EngineConfig::default()
        };
        Engine::start(self.kafka.clone(), self.database.clone(), config).await.unwrap()
    }

    async fn dlq(&self, words: &[&str]) -> Result<String, String> {
        let arguments = Dlq::try_parse_from(["dlq"].iter().chain(words)).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        let done = web::dlq::run(arguments.command, &self.dlq, &mut out).await;
        done.map(|()| String::from_utf8(out).unwrap()).map_err(|error| format!("{error:#}"))
    }

    async fn quarantine(&self, words: &[&str]) -> Result<String, String> {
        let arguments = Quarantine::try_parse_from(["quarantine"].iter().chain(words)).unwrap();
        let mut out = Vec::new();
        let log = || Ok(LogWriter::new(self.kafka.clone(), &self.raw)?);
        let done = web::quarantine::run(arguments.command, &self.database, log, &mut out).await;
        done.map(|()| String::from_utf8(out).unwrap()).map_err(|error| format!("{error:#}"))
    }

    /// `GET /v1/ledger` once it is as `until` says.
    async fn ledger(&self, until: impl Fn(&Value) -> bool) -> Value {
        let log = LogWriter::new(self.kafka.clone(), &self.raw).unwrap();
        let state = CoreState {
            keys: Keys::new(self.database.clone()),
            database: self.database.clone(),
            log,
            jobs_queued: std::sync::Arc::default(),
            search: None,
        };
        let app = test::init_service(App::new().configure(routes(state))).await;
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let request = test::TestRequest::get().uri("/v1/ledger").insert_header(("x-api-key", KEY)).to_request();
            let ledger: Value = test::call_and_read_body_json(&app, request).await;
            if until(&ledger) {
                return ledger;
            }
            assert!(Instant::now() < deadline, "{ledger}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn sql(&self, statement: String) {
        diesel::sql_query(statement).execute(&mut self.server.connect().await).await.unwrap();
    }
}

fn figures(ledger: &Value) -> [i64; 3] {
    ["counted", "duplicate", "dead_lettered"].map(|name| ledger[name].as_i64().unwrap())
}

fn event(number: usize, fingerprint: &str) -> String {
    let at = "2026-11-24T05:00:00.000Z";
    format!(
        r#"{{"schema_version":"1.0","event_id":"e{number}","occurred_at":"{at}","received_at":"{at}","org_id":"org_demo",
        "project_id":"proj_demo","environment":"prod","event_type":"error","severity":"error","message":"m",
        "fingerprint":"{fingerprint}","attributes":{{}},"payload":{{}}}}"#
    )
}

#[actix_web::test]
async fn g6_what_was_quarantined_is_lifted_put_back_twice_and_counted_once() {
    let rig = Rig::new().await;
    rig.sql(format!(
        "INSERT INTO quarantine (project_id, fingerprint, reason, since_at, topic, partition) \
         VALUES ('proj_demo', '{FINGERPRINT}', 'five of its records killed', '2026-11-24 05:00Z', '{}', 0)",
        rig.raw
    ))
    .await;
    let engine = rig.engine().await;
    let log = LogWriter::new(rig.kafka.clone(), &rig.raw).unwrap();
    for number in 0..10 {
        let fingerprint = if number < 4 { FINGERPRINT } else { &FINGERPRINT.replace('a', "b") };
        log.append("proj_demo", event(number, fingerprint).as_bytes(), false).await.unwrap();
    }
    let report = Report { project_id: "proj_demo".into(), accepted: 10 };
    schema::ledger::report(&mut rig.server.connect().await, "ingest-1", &[report], true).await.unwrap();
    let ledger = rig.ledger(|ledger| ledger["in_flight"] == 0).await;
    assert_eq!((figures(&ledger), ledger["is_closed"].as_bool()), ([6, 0, 4], Some(true)));

    let list = rig.dlq(&["list", "--json", "--project", "proj_demo", "--stage", "quarantine"]).await.unwrap();
    let letters: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(letters.len(), 4);
    assert_eq!(letters[0]["origin"]["topic"], rig.raw);
    assert!(rig.dlq(&["list", "--stage", "decode"]).await.unwrap().contains("0 of 0 dead letters"));
    let place = letters[0]["place"].as_str().unwrap();
    let shown = rig.dlq(&["show", place]).await.unwrap();
    assert!(shown.contains("__connect.errors.stage: quarantine") && shown.contains("\"event_id\": \"e0\""), "{shown}");

    // Put back while it is quarantined it dies again, with one attempt more.
    assert!(rig.dlq(&["retry", place]).await.unwrap().contains("attempt 1"));
    let again = rig.dlq(&["retry", place]).await.unwrap_err();
    assert!(again.contains("has been put back already"), "{again}");
    let is_back = async || rig.dlq(&["list"]).await.unwrap().contains("5 of 5 dead letters");
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_back().await {
        assert!(Instant::now() < deadline, "the letter that was put back did not come again");
    }

    assert!(rig.quarantine(&["list"]).await.unwrap().contains(FINGERPRINT));
    assert!(rig.quarantine(&["lift", "proj_demo", FINGERPRINT, "--by", "me"]).await.unwrap().contains("is lifted"));
    let twice = rig.quarantine(&["lift", "proj_demo", FINGERPRINT]).await.unwrap_err();
    assert!(twice.contains("not quarantined"), "{twice}");
    assert!(rig.quarantine(&["list", "--all"]).await.unwrap().contains("by me"));

    // All that wait; then, by force, everything once more: the same attempts change nothing.
    assert!(rig.dlq(&["retry", "--all"]).await.unwrap().contains("4 of 4 dead letters"));
    let ledger = rig.ledger(|ledger| ledger["counted"] == 10).await;
    assert_eq!((figures(&ledger), ledger["is_closed"].as_bool()), ([10, 0, 0], Some(true)));
    assert!(rig.dlq(&["retry", "--all"]).await.unwrap().contains("0 of 0 dead letters"));
    assert!(rig.dlq(&["retry", "--all", "--force"]).await.unwrap().contains("5 of 5 dead letters"));
    log.append("proj_demo", event(10, FINGERPRINT).as_bytes(), false).await.unwrap();
    let ledger = rig.ledger(|ledger| ledger["counted"].as_i64() >= Some(11)).await;
    engine.stop().await;
    assert_eq!(figures(&ledger), [11, 0, 0]);
}

#[actix_web::test]
async fn copies_are_one_and_a_letter_that_keeps_dying_stays() {
    let rig = Rig::new().await;
    let producer: FutureProducer = rig.kafka.create().unwrap();
    // Two copies of one origin, as a crash leaves them, and one that was put back five times.
    for (offset, retries) in [("7", "0"), ("7", "0"), ("8", "5")] {
        let headers = [
            ("__connect.errors.topic", rig.raw.as_str()),
            ("__connect.errors.partition", "0"),
            ("__connect.errors.offset", offset),
            ("__connect.errors.stage", "incident"),
            ("__connect.errors.exception.message", "boom"),
            ("signals-retries", retries),
        ];
        let headers = headers
            .iter()
            .fold(OwnedHeaders::new(), |all, (key, value)| all.insert(Header { key, value: Some(*value) }));
        let record = FutureRecord::to(&rig.dlq.topic).key("proj_demo").payload("{}").headers(headers);
        producer.send(record, Duration::from_secs(30)).await.unwrap();
    }
    let list = rig.dlq(&["list"]).await.unwrap();
    assert!(list.contains("2 of 2 dead letters") && list.contains("boom"), "{list}");
    let tired = rig.dlq(&["retry", "0:2"]).await.unwrap_err();
    assert!(tired.contains("put back 5 times"), "{tired}");
    let all = rig.dlq(&["retry", "--all"]).await.unwrap();
    assert!(all.contains("1 of 1 dead letters") && all.contains("1 letters were put back 5 times"), "{all}");
    assert!(rig.dlq(&["list"]).await.unwrap().contains("put back"));
    assert!(rig.dlq(&["retry", "0:2", "--force"]).await.unwrap().contains("attempt 6"));
    assert!(rig.dlq(&["show", "0:99"]).await.unwrap_err().contains("holds nothing at 0:99"));
    assert!(rig.dlq(&["retry"]).await.unwrap_err().contains("required"));
}
