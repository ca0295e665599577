//! A real ingest server between real clients, a real Kafka and a real PostgreSQL.

use super::{KEY, kafka, new_topic, serve};
use actix_web::dev::ServerHandle;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, OwnedMessage};
use rdkafka::{Message, Offset, TopicPartitionList};
use reqwest::RequestBuilder;
use schema::database::{Database, DatabaseConfig, pool};
use schema::keys::{NewKey, Scope, create, hash_key};
use schema::seed::{DEMO_PROJECT, seed_demo};
use schema::testing::TestDatabase;
use serde_json::Value;
use std::time::{Duration, Instant};
use web::auth::Keys;
use web::ingest::accepted::Accepted;
use web::ingest::{IngestConfig, IngestState, routes};
use web::producer::LogWriter;

pub const PARTITIONS: i32 = 4;

pub struct Rig {
    pub database: TestDatabase,
    pub topic: String,
    pub url: String,
    pub client: reqwest::Client,
    server: ServerHandle,
}

/// Another way to the database that a URL names.
pub type Detour = Box<dyn Fn(&str) -> String>;

/// What differs from one test to the next.
pub struct Options {
    pub kafka: ClientConfig,
    pub config: IngestConfig,
    /// Leads to the test's database; the database itself if none.
    pub database_url: Option<Detour>,
}

impl Default for Options {
    fn default() -> Self {
        Self { kafka: kafka(), config: IngestConfig::default(), database_url: None }
    }
}

pub fn database(url: &str) -> Database {
    pool(&DatabaseConfig::at(url), 4).unwrap()
}

impl Rig {
    pub async fn start(options: Options) -> Self {
        let topic = new_topic(PARTITIONS).await;
        let test_database = TestDatabase::create().await;
        seed_demo(&mut test_database.connect().await, KEY).await.unwrap();
        let url = options.database_url.map_or(test_database.url().to_owned(), |route| route(test_database.url()));
        let log = LogWriter::new(options.kafka, &topic).unwrap();
        let state = IngestState::new(Keys::new(database(&url)), log, Accepted::default(), &options.config);
        let (url, server) = serve(move |config| {
            config.configure(routes(state.clone()));
        });
        Self { database: test_database, topic, url, client: reqwest::Client::new(), server }
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(format!("{}{path}", self.url)).header("x-api-key", KEY)
    }

    /// Makes a key with these scopes and returns its id.
    pub async fn make_key(&self, key: &str, scopes: &[Scope]) -> String {
        let id = format!("key_{}", uuid::Uuid::new_v4().simple());
        let new = NewKey { id: &id, project_id: DEMO_PROJECT, name: "", prefix: "", key_hash: &hash_key(key), scopes };
        create(&mut self.database.connect().await, &new).await.unwrap();
        id
    }

    /// All that the topic holds at this moment, partition by partition.
    pub fn log(&self) -> Vec<OwnedMessage> {
        let consumer: BaseConsumer = kafka().set("group.id", "nobody").create().unwrap();
        let mut wanted = 0;
        let mut assignment = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            let (low, high) = consumer.fetch_watermarks(&self.topic, partition, Duration::from_secs(10)).unwrap();
            wanted += usize::try_from(high - low).unwrap();
            assignment.add_partition_offset(&self.topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let mut records = Vec::new();
        while records.len() < wanted {
            assert!(Instant::now() < deadline, "{} of {wanted} records", records.len());
            let polled = consumer.poll(Duration::from_millis(200));
            records.extend(polled.map(|record| BorrowedMessage::detach(&record.unwrap())));
        }
        records.sort_by_key(|record| (record.partition(), record.offset()));
        records
    }

    /// The envelopes in the topic.
    pub fn envelopes(&self) -> Vec<Value> {
        self.log().iter().map(|record| serde_json::from_slice(record.payload().unwrap()).unwrap()).collect()
    }

    pub async fn stop(self) {
        self.server.stop(true).await;
    }
}

/// Status, `Retry-After`, body.
pub async fn answer(request: RequestBuilder) -> (u16, Option<u64>, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().parse().unwrap());
    let text = response.text().await.unwrap();
    (status, retry, serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}")))
}
