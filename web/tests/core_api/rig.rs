//! A database with two tenants, filled as the engine fills it, and the core API on top.

use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{App, test};
use chrono::{DateTime, TimeZone, Utc};
use rdkafka::ClientConfig;
use schema::checkpoint::claim;
use schema::database::{Database, DatabaseConfig, pool};
use schema::event::{EventType, Severity};
use schema::flush::{CheckpointAdvance, Committed, FlushBatch, commit};
use schema::keys::{NewKey, Scope, hash_key, shown_prefix};
use schema::names::{ENGINE_GROUP, RAW_TOPIC};
use schema::snapshot::{BucketDelta, IncidentIdentity, IncidentSnapshot, Sample, TrendDelta};
use schema::status::IncidentStatus;
use schema::testing::TestDatabase;
use serde_json::Value;
use std::sync::Arc;
use web::auth::Keys;
use web::core::{CoreState, routes};
use web::producer::LogWriter;

/// May read and write in `proj`.
pub const KEY: &str = "sk_test_own_0123456789";
/// May only read in `proj`.
pub const READER: &str = "sk_test_reader_0123456789";
/// May only send events to `proj`.
pub const SENDER: &str = "sk_test_sender_0123456789";
/// May do everything in `other`.
pub const OTHER: &str = "sk_test_other_0123456789";

pub struct Rig {
    pub database: TestDatabase,
    pub state: CoreState,
}

/// What the API answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    /// Null if there is no body.
    pub body: Value,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The ids of a list's incidents.
    pub fn ids(&self) -> Vec<String> {
        assert_eq!(self.status, 200, "{:?}", self.body);
        self.body["incidents"].as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
    }
}

pub fn kafka() -> ClientConfig {
    let brokers = std::env::var("KAFKA_BROKERS")
        .unwrap_or_else(|_| panic!("set KAFKA_BROKERS to a real Kafka; infra/test-services.sh starts one"));
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

impl Rig {
    pub async fn new() -> Self {
        Self::on(RAW_TOPIC).await
    }

    /// Commands go to `topic`.
    pub async fn on(topic: &str) -> Self {
        let database = TestDatabase::create().await;
        let mut connection = database.connect().await;
        let pool: Database = pool(&DatabaseConfig::at(database.url()), 8).unwrap();
        for (org, project) in [("org", "proj"), ("org_other", "other")] {
            let statement = format!(
                "WITH o AS (INSERT INTO orgs (id, name) VALUES ('{org}', 'O') RETURNING id) \
                 INSERT INTO projects (id, org_id, name) SELECT '{project}', id, 'P' FROM o"
            );
            execute(&mut connection, &statement).await;
        }
        for (id, project, key, scopes) in [
            ("key_own", "proj", KEY, &[Scope::Read, Scope::Write][..]),
            ("key_reader", "proj", READER, &[Scope::Read]),
            ("key_sender", "proj", SENDER, &[Scope::Ingest]),
            ("key_other", "other", OTHER, Scope::ALL),
        ] {
            let (prefix, key_hash) = (shown_prefix(key), hash_key(key));
            let new = NewKey { id, project_id: project, name: id, prefix: &prefix, key_hash: &key_hash, scopes };
            schema::keys::create(&mut connection, &new).await.unwrap();
        }
        let log = LogWriter::new(kafka(), topic).unwrap();
        let state = CoreState {
            keys: Keys::new(pool.clone()),
            database: pool,
            log,
            jobs_queued: Default::default(),
            search: None,
        };
        Self { database, state }
    }

    pub async fn call(&self, method: Method, uri: &str, key: Option<&str>, headers: &[(&str, &str)]) -> Answer {
        let app = test::init_service(
            App::new()
                .configure(web::error::problem_defaults)
                .configure(routes(self.state.clone()))
                .wrap(from_fn(web::request_id::request_id)),
        )
        .await;
        let mut request = test::TestRequest::default().method(method).uri(uri);
        for header in headers.iter().copied().chain(key.map(|key| ("x-api-key", key))) {
            request = request.insert_header(header);
        }
        let response = test::call_service(&app, request.to_request()).await;
        let status = response.status().as_u16();
        let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap().to_owned();
        let headers = response.headers().iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        let body = test::read_body(response).await;
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        Answer { status, headers, body }
    }

    pub async fn get(&self, uri: &str) -> Answer {
        self.call(Method::GET, uri, Some(KEY), &[]).await
    }

    pub async fn execute(&self, statement: &str) {
        execute(&mut self.database.connect().await, statement).await;
    }

    /// Gives the incident this summary, as the model `m`.
    pub async fn summarize(&self, incident_id: &str, content: &Value) {
        self.execute(&format!(
            "INSERT INTO ai_summaries (incident_id, output_id, model, content, generated_at, event_count, severity, status, \
                 releases) VALUES ('{incident_id}', 'o', 'm', '{content}', '2026-09-21T14:13:22Z', 1, 'error', 'open', '{{}}') \
             ON CONFLICT (incident_id) DO UPDATE SET content = excluded.content"
        ))
        .await;
    }

    pub async fn filler(&self) -> Filler {
        let mut connection = self.database.connect().await;
        let tenure = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
        Filler { connection, epoch: tenure.epoch, next_offset: tenure.next_offset }
    }
}

async fn execute(connection: &mut diesel_async::AsyncPgConnection, statement: &str) {
    use diesel_async::RunQueryDsl;
    diesel::sql_query(statement).execute(connection).await.unwrap();
}

/// The partition's owner: writes as the engine does.
pub struct Filler {
    connection: diesel_async::AsyncPgConnection,
    epoch: i64,
    next_offset: i64,
}

impl Filler {
    /// One transaction with these incidents, each moved on to the record of this flush.
    pub async fn flush(&mut self, incidents: Vec<IncidentSnapshot>) {
        self.flush_with(incidents, |_| ()).await;
    }

    /// As [`Filler::flush`], with whatever `add` adds to it.
    pub async fn flush_with(&mut self, mut incidents: Vec<IncidentSnapshot>, add: impl FnOnce(&mut FlushBatch)) {
        let offset = self.next_offset;
        for incident in &mut incidents {
            incident.applied_through = offset + 1;
        }
        self.next_offset += 1;
        let mut batch = FlushBatch {
            checkpoint: CheckpointAdvance {
                group: ENGINE_GROUP.into(),
                topic: RAW_TOPIC.into(),
                partition: 0,
                epoch: self.epoch,
                from_offset: offset,
                next_offset: self.next_offset,
                complete_until: Some(at(self.next_offset)),
                high_watermark: self.next_offset,
            },
            opened: vec![],
            changed: incidents,
            samples: vec![],
            transitions: vec![],
            outcomes: vec![],
            buckets: vec![],
            trends: vec![],
            ledger: vec![],
            gaps: vec![],
            guards: schema::flush::Guards::default(),
        };
        add(&mut batch);
        assert_eq!(commit(&mut self.connection, &batch).await.unwrap(), Committed::Now);
    }
}

/// A second of event time.
pub fn at(second: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_790_000_000 + second, 0).unwrap()
}

/// The `number`-th incident of `proj`: opened and last seen at that second, with as many events.
pub fn incident(number: i64) -> IncidentSnapshot {
    let identity = IncidentIdentity {
        id: format!("01K{number:023}"),
        org_id: "org".into(),
        project_id: "proj".into(),
        environment: "prod".into(),
        fingerprint: format!("{number:064x}"),
        generation: 1,
        title: format!("failure number {number}"),
        error_code: None,
        route: None,
        previous_incident_id: None,
        partition: 0,
    };
    IncidentSnapshot {
        identity: Arc::new(identity),
        status: IncidentStatus::Open,
        severity: Severity::Error,
        event_count: number.max(1),
        first_seen: at(number),
        last_seen: at(number),
        resolved_at: None,
        applied_through: 0,
    }
}

/// What never changes of it, to be changed by a test.
pub fn named(incident: &mut IncidentSnapshot) -> &mut IncidentIdentity {
    Arc::make_mut(&mut incident.identity)
}

/// The incident's `ordinal`-th event.
pub fn sample(incident: &IncidentSnapshot, ordinal: i64, attributes: &str) -> Sample {
    Sample {
        incident_id: incident.id.clone(),
        ordinal,
        event_id: format!("e{ordinal}"),
        occurred_at: at(ordinal),
        received_at: at(ordinal),
        event_type: EventType::Error,
        severity: Severity::Error,
        message: format!("it broke {ordinal} times"),
        attributes: attributes.into(),
        log_offset: ordinal,
    }
}

/// Errors of one minute of an incident's fingerprint.
pub fn trend(incident: &IncidentSnapshot, minute: DateTime<Utc>, errors: i64) -> TrendDelta {
    let minutes = minute.timestamp().div_euclid(60);
    TrendDelta {
        identity: Arc::clone(&incident.identity),
        hour: minutes.div_euclid(60),
        minutes: vec![(u8::try_from(minutes.rem_euclid(60)).unwrap(), errors)],
    }
}

/// Events of one minute of the project.
pub fn bucket(metric_name: &'static str, bucket_time: DateTime<Utc>, value: i64) -> BucketDelta {
    BucketDelta { bucket_time, metric_name, project_id: "proj".into(), environment: "prod".into(), value }
}
