//! What the live tests of the engine share: a topic and a database of their own, events to send, sums to wait for.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::as_conversions, dead_code)]

#[path = "../../../infra/own_servers.rs"]
pub mod servers;

use actors::config::EngineConfig;
use actors::supervision::root::Engine;
use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use schema::database::DatabaseConfig;
use schema::names::{ORIGIN_OFFSET_HEADER, ORIGIN_PARTITION_HEADER};
use schema::testing::TestDatabase;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

pub const FINGERPRINTS: usize = 20;
pub const PROJECTS: usize = 7;
pub const PARTITIONS: i32 = 4;

pub const COUNTED: &str = "SELECT coalesce(sum(event_count), 0)::bigint AS n FROM incidents";
pub const DUPLICATES: &str = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger WHERE outcome = 'duplicate'";
pub const BURIED: &str = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger WHERE outcome = 'dead_lettered'";

pub fn brokers() -> String {
    std::env::var("KAFKA_BROKERS")
        .unwrap_or_else(|_| panic!("set KAFKA_BROKERS to a real Kafka; infra/test-services.sh starts one"))
}

pub struct Rig {
    pub database: Option<TestDatabase>,
    pub database_url: String,
    pub brokers: String,
    pub topic: String,
}

impl Rig {
    pub async fn new() -> Self {
        let database = TestDatabase::create().await;
        let url = database.url().to_owned();
        Self { database: Some(database), ..Self::on(brokers(), url).await }
    }

    /// On servers of the test's own; the database must be migrated.
    pub async fn on(brokers: String, database_url: String) -> Self {
        show_logs();
        let topic = format!("test-{}", uuid::Uuid::new_v4().simple());
        let rig = Self { database: None, database_url, brokers, topic };
        rig.create_topic(&rig.topic, PARTITIONS).await;
        rig.create_topic(&rig.dlq(), 1).await;
        rig
    }

    /// On a database server of the test's own, fresh from its start.
    pub async fn on_own(brokers: String, postgres: &servers::Server) -> Self {
        migrate(&postgres.database_url()).await;
        Self::on(brokers, postgres.database_url()).await
    }

    pub fn dlq(&self) -> String {
        format!("{}-dlq", self.topic)
    }

    pub fn kafka(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config
    }

    pub fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.kafka().create().unwrap()
    }

    pub async fn create_topic(&self, topic: &str, partitions: i32) {
        let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(1));
        self.admin().create_topics([&new], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    }

    /// Creates a topic that was just deleted; the broker needs a moment to let it go.
    pub async fn create_topic_when_gone(&self, topic: &str) {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let new = NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1));
            match self.admin().create_topics([&new], &AdminOptions::new()).await.unwrap().remove(0) {
                Ok(_) => return,
                Err(error) => assert!(Instant::now() < deadline, "{error:?}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn config(&self) -> EngineConfig {
        EngineConfig {
            group: format!("group-{}", self.topic),
            topic: self.topic.clone(),
            dlq_topic: self.dlq(),
            batch_records: 100,
            ..EngineConfig::default()
        }
    }

    pub async fn engine(&self) -> Engine {
        self.engine_with(self.config()).await
    }

    pub async fn engine_with(&self, config: EngineConfig) -> Engine {
        let database = schema::database::pool(&DatabaseConfig::at(&self.database_url), 6).unwrap();
        Engine::start(self.kafka(), database, config).await.unwrap()
    }

    /// Sends events [from, to), each twice if its number divides by ten; returns when all are acknowledged.
    pub async fn send(&self, from: usize, to: usize) {
        let numbers = (from..to).flat_map(|number| std::iter::repeat_n(number, if number % 10 == 0 { 2 } else { 1 }));
        self.send_records(numbers.map(|number| (project(number), event(number, "it \\\"broke\\\"")))).await;
    }

    /// Sends (key, value) records; returns when all are acknowledged, however long the broker is away.
    pub async fn send_records(&self, records: impl IntoIterator<Item = (String, String)>) {
        let producer: FutureProducer = self.kafka().set("enable.idempotence", "true").create().unwrap();
        let mut sent = Vec::new();
        for (key, value) in records {
            sent.push(producer.send_result(FutureRecord::to(&self.topic).key(&key).payload(&value)).unwrap());
        }
        producer.flush(Duration::from_secs(60)).unwrap();
        for acknowledged in sent {
            acknowledged.await.unwrap().unwrap();
        }
    }

    pub async fn try_sum(&self, query: &str) -> Result<i64, String> {
        #[derive(diesel::QueryableByName)]
        struct Number {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let mut connection = schema::database::connect_once(&DatabaseConfig::at(&self.database_url))
            .await
            .unwrap()
            .map_err(|error| error.to_string())?;
        let row = diesel::sql_query(query).get_result::<Number>(&mut connection).await;
        row.map(|row| row.n).map_err(|error| error.to_string())
    }

    /// Rows of a query for `a` and `b`, texts, and `n`, a number.
    pub async fn rows(&self, query: &str) -> BTreeMap<(String, String), i64> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            a: String,
            #[diesel(sql_type = Text)]
            b: String,
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let config = DatabaseConfig::at(&self.database_url);
        let mut connection = schema::database::connect_once(&config).await.unwrap().unwrap();
        let rows: Vec<Row> = diesel::sql_query(query).load(&mut connection).await.unwrap();
        rows.into_iter().map(|row| ((row.a, row.b), row.n)).collect()
    }

    /// (partition, offset) that the dead letters say they come from, and how often they do.
    pub fn dead_letter_origins(&self) -> BTreeMap<(i32, i64), usize> {
        let consumer: BaseConsumer = self.kafka().set("group.id", "reader").create().unwrap();
        let (low, high) = consumer.fetch_watermarks(&self.dlq(), 0, Duration::from_secs(30)).unwrap();
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.dlq(), 0, Offset::Beginning).unwrap();
        consumer.assign(&list).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let (mut next, mut origins) = (low, BTreeMap::new());
        while next < high {
            assert!(Instant::now() < deadline, "the dead letters end at {high}, and {next} does not come");
            let Some(message) = consumer.poll(Duration::from_millis(200)) else { continue };
            let message = message.unwrap();
            next = message.offset() + 1;
            let headers = message.headers().unwrap();
            let number = |name: &str| -> i64 {
                let header = headers.iter().find(|header| header.key == name).unwrap();
                std::str::from_utf8(header.value.unwrap()).unwrap().parse().unwrap()
            };
            let origin = (number(ORIGIN_PARTITION_HEADER) as i32, number(ORIGIN_OFFSET_HEADER));
            *origins.entry(origin).or_insert(0) += 1;
        }
        origins
    }

    pub async fn sum(&self, query: &str) -> i64 {
        self.try_sum(query).await.unwrap()
    }

    /// Waits for the sum, through outages of the database; a sum that grows beyond is an error at once.
    pub async fn wait_for(&self, query: &str, wanted: i64) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let found = self.try_sum(query).await;
            if let Ok(found) = found {
                assert!(found <= wanted, "{query}: {found} is more than {wanted}");
                if found == wanted {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "{query}: {found:?} of {wanted}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// On a runtime of its own: diesel's migrations need one with several threads.
async fn migrate(url: &str) {
    let url = url.to_owned();
    let migration = move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(schema::migrate::migrate(&url)).unwrap();
    };
    tokio::task::spawn_blocking(migration).await.unwrap();
}

pub fn project(number: usize) -> String {
    format!("proj_{}", number % PROJECTS)
}

/// An error event; its number decides project and fingerprint. `message` is put into JSON as it is.
pub fn event(number: usize, message: &str) -> String {
    let (project, fingerprint) = (project(number), format!("{:064x}", number % FINGERPRINTS));
    let at = "2026-11-24T05:00:00.000Z";
    format!(
        r#"{{"schema_version":"1.0","event_id":"e{number}","occurred_at":"{at}","received_at":"{at}","org_id":"org",
        "project_id":"{project}","environment":"prod","event_type":"error","severity":"error","message":"{message}",
        "fingerprint":"{fingerprint}","attributes":{{"error_code":"E{number}","route":"/a"}},"payload":{{}}}}"#
    )
}

/// What the engine logs, for `cargo test -- --nocapture` with `SIGNALS_LOG` set.
pub fn show_logs() {
    let filter = std::env::var("SIGNALS_LOG").unwrap_or_else(|_| "off".to_owned());
    // Another test of this process may have done so already.
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
}
