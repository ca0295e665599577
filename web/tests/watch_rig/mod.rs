//! An ingest server, a core server and an engine in this process, on a real Kafka and a real PostgreSQL, watched as `run.rs`
//! has it.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use actors::config::EngineConfig;
use actors::supervision::root::Engine;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use schema::database::{Database, DatabaseConfig, pool};
use schema::seed::seed_demo;
use schema::testing::TestDatabase;
use std::time::{Duration, Instant};
use web::auth::Keys;
use web::core::CoreState;
use web::error::problem_defaults;
use web::health::Probes;
use web::ingest::accepted::Accepted;
use web::ingest::{IngestConfig, IngestState};
use web::metrics::exporter::Exporter;
use web::metrics::requests::measure;
use web::producer::LogWriter;
use web::request_id::request_id;
use web::supervision::{self, SupervisionState};

pub const PARTITIONS: i32 = 3;
/// The seeded key of the project `proj_demo`, with all scopes.
pub const KEY: &str = "sig_the-key-of-this-test";

pub struct Rig {
    pub topic: String,
    pub ingest: String,
    pub core: String,
    pub client: reqwest::Client,
    pub engine: Option<Engine>,
    pub database: Database,
    servers: Vec<ServerHandle>,
    _database: TestDatabase,
}

pub fn kafka() -> ClientConfig {
    let brokers = std::env::var("KAFKA_BROKERS")
        .unwrap_or_else(|_| panic!("set KAFKA_BROKERS to a real Kafka; infra/test-services.sh starts one"));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

async fn make_topics(topic: &str) -> String {
    let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
    let dlq = format!("{topic}-dlq");
    let both = [
        NewTopic::new(topic, PARTITIONS, TopicReplication::Fixed(1)),
        NewTopic::new(&dlq, 1, TopicReplication::Fixed(1)),
    ];
    for made in admin.create_topics(&both, &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
    dlq
}

fn serve(routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> (String, ServerHandle) {
    let server = HttpServer::new(move || {
        let app = App::new().configure(problem_defaults).configure(routes.clone());
        app.wrap(from_fn(request_id)).wrap(from_fn(measure))
    });
    let server = server.workers(1).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", server.addrs()[0]);
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    (url, handle)
}

impl Rig {
    pub async fn start() -> Self {
        let topic = format!("test-{}", uuid::Uuid::new_v4().simple());
        let dlq_topic = make_topics(&topic).await;
        let test_database = TestDatabase::create().await;
        seed_demo(&mut test_database.connect().await, KEY).await.unwrap();
        let database: Database = pool(&DatabaseConfig::at(test_database.url()), 6).unwrap();
        let exporter = Exporter::install().unwrap().sample_database(database.clone());
        let group = format!("group-{topic}");
        let config = EngineConfig { group, topic: topic.clone(), dlq_topic, ..EngineConfig::default() };
        let engine = Engine::start(kafka(), database.clone(), config).await.unwrap();
        let exporter = exporter.sample(engine.sampler());
        let probes = Probes::new().add_database(database.clone()).add_log(&kafka(), &topic).unwrap();
        let probes = supervision::probes(probes, &engine.observer());
        let keys = Keys::new(database.clone());
        let log = LogWriter::new(kafka(), &topic).unwrap();
        let state = IngestState::new(keys.clone(), log.clone(), Accepted::default(), &IngestConfig::default());
        let shown = exporter.clone();
        let (ingest, first) = serve(move |config| {
            config.configure(web::ingest::routes(state.clone()));
            config.configure(web::metrics::exporter::routes(shown.clone()));
        });
        let observer = Some(engine.observer());
        let seen = SupervisionState {
            database: database.clone(),
            keys: keys.clone(),
            observer,
            summarizers: None,
            indexers: None,
        };
        let state =
            CoreState { database: database.clone(), keys, log, jobs_queued: std::sync::Arc::default(), search: None };
        let (core, second) = serve(move |config| {
            config.configure(web::core::routes(state.clone())).configure(web::health::routes(probes.clone()));
            config.configure(supervision::routes(seen.clone()));
            config.configure(web::metrics::exporter::routes(exporter.clone()));
        });
        let client = reqwest::Client::new();
        let servers = vec![first, second];
        Self { topic, ingest, core, client, engine: Some(engine), database, servers, _database: test_database }
    }

    /// Posts to ingest and returns the status.
    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>, headers: &[(&str, &str)]) -> u16 {
        let mut request = self.client.post(format!("{}{path}", self.ingest)).header("x-api-key", KEY);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.header("content-type", "application/json").body(body).send().await.unwrap().status().as_u16()
    }

    /// What the server at `url` says at `/metrics`.
    pub async fn scrape(&self, url: &str) -> String {
        let answer = self.client.get(format!("{url}/metrics")).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/plain; version=0.0.4; charset=utf-8");
        answer.text().await.unwrap()
    }

    /// Waits until a line of the core server's metrics says this.
    pub async fn wait_for(&self, line: &str) -> String {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = self.scrape(&self.core).await;
            if text.lines().any(|found| found == line) {
                return text;
            }
            assert!(Instant::now() < deadline, "no line {line} in\n{text}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub async fn stop(mut self) {
        for server in self.servers {
            server.stop(true).await;
        }
        if let Some(engine) = self.engine.take() {
            engine.stop().await;
        }
    }
}

pub fn event(id: &str) -> String {
    let attributes = r#"{"error_code": "E1", "route": "/pay/7"}"#;
    format!(r#"{{"event_type": "error", "message": "it broke", "event_id": "{id}", "attributes": {attributes}}}"#)
}
