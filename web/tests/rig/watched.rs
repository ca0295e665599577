//! An ingest server, a core server and an engine in this process, on a real Kafka and a real PostgreSQL, watched as `run.rs`
//! has it.

use super::{KEY, dlq_of, kafka, new_topic, serve};
use actix_web::dev::ServerHandle;
use actors::config::EngineConfig;
use actors::supervision::root::Engine;
use schema::database::{Database, DatabaseConfig, pool};
use schema::seed::seed_demo;
use schema::testing::TestDatabase;
use std::time::{Duration, Instant};
use web::auth::Keys;
use web::core::CoreState;
use web::health::Probes;
use web::ingest::accepted::Accepted;
use web::ingest::{IngestConfig, IngestState};
use web::metrics::exporter::Exporter;
use web::producer::LogWriter;
use web::supervision::{self, SupervisionState};

pub const PARTITIONS: i32 = 3;

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

impl Rig {
    pub async fn start() -> Self {
        let topic = new_topic(PARTITIONS).await;
        let dlq_topic = dlq_of(&topic);
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
