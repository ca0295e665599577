//! The engine on a real Kafka and a real PostgreSQL: exact counts over restarts, duplicates and hand-overs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::as_conversions)]

use actors::config::EngineConfig;
use actors::supervision::root::Engine;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use schema::database::DatabaseConfig;
use schema::testing::TestDatabase;
use std::time::{Duration, Instant};

const FINGERPRINTS: usize = 20;

fn kafka() -> ClientConfig {
    let brokers = std::env::var("KAFKA_BROKERS")
        .unwrap_or_else(|_| panic!("set KAFKA_BROKERS to a real Kafka; infra/test-services.sh starts one"));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

struct Rig {
    database: TestDatabase,
    topic: String,
}

impl Rig {
    async fn new() -> Self {
        let topic = format!("test-{}", uuid::Uuid::new_v4().simple());
        let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
        let new = NewTopic::new(&topic, 4, TopicReplication::Fixed(1));
        admin.create_topics([&new], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
        Self { database: TestDatabase::create().await, topic }
    }

    async fn engine(&self) -> Engine {
        let database = schema::database::pool(&DatabaseConfig::at(self.database.url()), 6).unwrap();
        let config = EngineConfig {
            topic: self.topic.clone(),
            dlq_topic: format!("{}-dlq", self.topic),
            batch_records: 100,
            ..EngineConfig::default()
        };
        Engine::start(kafka(), database, config).await.unwrap()
    }

    /// Sends events [from, to), each twice if its number divides by ten; returns when all are acknowledged.
    async fn send(&self, from: usize, to: usize) {
        let producer: FutureProducer = kafka().set("enable.idempotence", "true").create().unwrap();
        for number in from..to {
            let project = format!("proj_{}", number % 7);
            let record = event(number, &project);
            for _ in 0..if number % 10 == 0 { 2 } else { 1 } {
                drop(producer.send_result(FutureRecord::to(&self.topic).key(&project).payload(&record)).unwrap());
            }
        }
        producer.flush(Duration::from_secs(30)).unwrap();
    }

    async fn sum(&self, query: &str) -> i64 {
        #[derive(diesel::QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let mut connection = self.database.connect().await;
        diesel::sql_query(query).get_result::<Number>(&mut connection).await.unwrap().n
    }

    async fn wait_for(&self, query: &str, wanted: i64) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let found = self.sum(query).await;
            assert!(found <= wanted, "{query}: {found} is more than {wanted}");
            if found == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{query}: {found} of {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

fn event(number: usize, project: &str) -> String {
    let fingerprint = format!("{:064x}", number % FINGERPRINTS);
    let at = "2026-11-24T05:00:00.000Z";
    format!(
        r#"{{"schema_version":"1.0","event_id":"e{number}","occurred_at":"{at}","received_at":"{at}","org_id":"org",
        "project_id":"{project}","environment":"prod","event_type":"error","severity":"error","message":"it \"broke\"",
        "fingerprint":"{fingerprint}","attributes":{{"error_code":"E{number}","route":"/a"}},"payload":{{}}}}"#
    )
}

const COUNTED: &str = "SELECT coalesce(sum(event_count), 0)::bigint AS n FROM incidents";
const DUPLICATES: &str = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger WHERE outcome = 'duplicate'";

#[actix::test]
async fn g2_g3_counts_are_exact_over_restarts_duplicates_and_hand_overs() {
    let rig = Rig::new().await;
    rig.send(0, 1_000).await;
    let first = rig.engine().await;
    rig.wait_for(COUNTED, 1_000).await;
    rig.wait_for(DUPLICATES, 100).await;
    first.stop().await;

    // What was counted before the restart is sent again: the window is read from the log, so nothing is counted twice.
    rig.send(500, 2_000).await;
    let second = rig.engine().await;
    rig.wait_for(COUNTED, 2_000).await;

    // Another engine joins under load, then the one that was there first leaves.
    rig.send(2_000, 3_000).await;
    let third = rig.engine().await;
    rig.send(3_000, 5_000).await;
    second.stop().await;
    rig.send(5_000, 6_000).await;
    rig.wait_for(COUNTED, 6_000).await;
    third.stop().await;

    assert_eq!(rig.sum("SELECT count(*) AS n FROM incidents").await, 7 * FINGERPRINTS as i64);
    let exact = "SELECT count(*) AS n FROM incidents WHERE event_count NOT BETWEEN 42 AND 43";
    assert_eq!(rig.sum(exact).await, 0, "6,000 events over 140 incidents");
    let minutes = "SELECT sum(value)::bigint AS n FROM metrics_bucket WHERE metric_name = 'errors'";
    assert_eq!(rig.sum(minutes).await, 6_000);
    let ring = "SELECT count(*) AS n FROM incident_events WHERE attributes ->> 'error_code' IS NULL";
    assert_eq!(rig.sum(ring).await, 0);
    assert_eq!(rig.sum("SELECT count(*) AS n FROM log_gaps").await, 0);
}
