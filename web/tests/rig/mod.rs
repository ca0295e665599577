//! Servers of a test's own in this process, on a real Kafka and a real PostgreSQL. What the rigs share is here.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests, and each test file uses its part"
)]

pub mod ingest;
pub mod watched;

use actix_web::dev::ServerHandle;
use actix_web::middleware::from_fn;
use actix_web::web::ServiceConfig;
use actix_web::{App, HttpServer};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use web::error::problem_defaults;
use web::metrics::requests::measure;
use web::request_id::request_id;

/// The seeded key of the project `proj_demo`, with all scopes.
pub const KEY: &str = "sig_the-key-of-this-test";

pub fn kafka() -> ClientConfig {
    let brokers = std::env::var("KAFKA_BROKERS")
        .unwrap_or_else(|_| panic!("set KAFKA_BROKERS to a real Kafka; infra/test-services.sh starts one"));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

/// Makes a topic of a name that nobody else has, and its dead letters' (see [`dlq_of`]).
pub async fn new_topic(partitions: i32) -> String {
    let topic = format!("test-{}", uuid::Uuid::new_v4().simple());
    let dlq = dlq_of(&topic);
    let both = [
        NewTopic::new(&topic, partitions, TopicReplication::Fixed(1)),
        NewTopic::new(&dlq, 1, TopicReplication::Fixed(1)),
    ];
    let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
    for made in admin.create_topics(&both, &AdminOptions::new()).await.unwrap() {
        made.unwrap();
    }
    topic
}

/// Where a topic's dead letters go.
pub fn dlq_of(topic: &str) -> String {
    format!("{topic}-dlq")
}

/// Serves the routes as `run.rs` does; returns the URL and what ends it.
pub fn serve(routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static) -> (String, ServerHandle) {
    let server = HttpServer::new(move || {
        let app = App::new().configure(problem_defaults).configure(routes.clone());
        app.wrap(from_fn(request_id)).wrap(from_fn(measure))
    });
    let server = server.workers(2).disable_signals().bind(("127.0.0.1", 0)).unwrap();
    let url = format!("http://{}", server.addrs()[0]);
    let running = server.run();
    let handle = running.handle();
    actix_web::rt::spawn(running);
    (url, handle)
}
