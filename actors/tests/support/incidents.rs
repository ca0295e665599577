//! Incidents in a database, written as the engine writes them, and a pool of summarizers on top.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use actors::summarizer::config::PoolConfig;
use actors::summarizer::model::{ModelClient, ModelConfig};
use actors::summarizer::pool::{JobsQueued, SummarizerPool};
use chrono::{DateTime, TimeDelta, TimeZone, Utc};
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::ai::{Summary, SummaryRow};
use schema::checkpoint::claim;
use schema::database::{Database, DatabaseConfig, pool};
use schema::event::{EventType, Severity};
use schema::flush::{CheckpointAdvance, FlushBatch, Guards, commit};
use schema::names::{ENGINE_GROUP, RAW_TOPIC};
use schema::snapshot::{BucketDelta, Cause, IncidentIdentity, IncidentSnapshot, Sample, Transition, TrendDelta};
use schema::status::IncidentStatus;
use schema::testing::TestDatabase;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(90);

/// 02:57 of the night.
pub fn at(second: i64) -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 11, 24, 2, 57, 0).unwrap() + TimeDelta::seconds(second)
}

pub struct Incidents {
    pub database: TestDatabase,
    pub pool: Database,
    connection: AsyncPgConnection,
    epoch: i64,
    next_offset: i64,
}

impl Incidents {
    pub async fn new() -> Self {
        let database = TestDatabase::create().await;
        let mut connection = database.connect().await;
        let tenure = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
        let pool = pool(&DatabaseConfig::at(database.url()), 8).unwrap();
        Self { database, pool, connection, epoch: tenure.epoch, next_offset: tenure.next_offset }
    }

    /// One transaction of the engine.
    pub async fn flush(&mut self, change: impl FnOnce(&mut FlushBatch)) {
        let from_offset = self.next_offset;
        self.next_offset += 1;
        let mut batch = FlushBatch {
            checkpoint: CheckpointAdvance {
                group: ENGINE_GROUP.into(),
                topic: RAW_TOPIC.into(),
                partition: 0,
                epoch: self.epoch,
                from_offset,
                next_offset: self.next_offset,
                complete_until: None,
                high_watermark: self.next_offset,
            },
            opened: vec![],
            changed: vec![],
            samples: vec![],
            transitions: vec![],
            outcomes: vec![],
            buckets: vec![],
            trends: vec![],
            ledger: vec![],
            gaps: vec![],
            guards: Guards::default(),
        };
        change(&mut batch);
        commit(&mut self.connection, &batch).await.unwrap();
    }

    /// Opens the `number`-th incident: five time-outs within five minutes, after a deploy.
    pub async fn open(&mut self, number: i64) {
        let image = incident(number, 5);
        self.flush(|batch| {
            batch.samples = (1..=5).map(|n| sample(number, n, "v2")).collect();
            batch.transitions = vec![Transition {
                incident_id: image.id.clone(),
                log_offset: number,
                from_status: None,
                to_status: IncidentStatus::Open,
                cause: Cause::Event { event_id: format!("e{number}-1") },
                occurred_at: at(0),
            }];
            batch.trends = vec![TrendDelta {
                identity: Arc::clone(&image.identity),
                hour: at(0).timestamp() / 3_600,
                minutes: vec![(57, 2), (58, 2), (59, 1)],
            }];
            batch.buckets = vec![BucketDelta {
                bucket_time: at(-240),
                metric_name: "events.deploy",
                project_id: "proj".into(),
                environment: "prod".into(),
                value: 1,
            }];
            batch.opened = vec![image];
        })
        .await;
    }

    /// The incident as it has grown.
    pub async fn grow(&mut self, number: i64, events: i64, severity: Severity, release: &str) {
        self.flush(|batch| {
            batch.changed = vec![IncidentSnapshot { severity, ..incident(number, events) }];
            batch.samples = vec![sample(number, events, release)];
        })
        .await;
    }

    pub async fn summary(&self, number: i64) -> Option<SummaryRow> {
        let mut connection = self.pool.get().await.unwrap();
        schema::ai::summary_of(&mut connection, &id(number)).await.unwrap()
    }

    /// Waits for a summary that is as wanted.
    pub async fn wait_for(&self, number: i64, is_wanted: impl Fn(&SummaryRow) -> bool) -> (SummaryRow, Summary) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.summary(number).await;
            if let Some(row) = found.as_ref().filter(|row| is_wanted(row)) {
                return (row.clone(), serde_json::from_value(row.content.clone()).unwrap());
            }
            assert!(Instant::now() < deadline, "incident {number}: {found:?}; jobs {}", self.jobs().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All jobs: `id status attempts error` in lines.
    pub async fn jobs(&self) -> String {
        self.text(
            "SELECT coalesce(string_agg(id || ' ' || status || ' ' || attempt_count || ' ' || coalesce(last_error, '-'), \
             E'\\n' ORDER BY id), '') AS t FROM ai_jobs",
        )
        .await
    }

    pub async fn text(&self, query: &str) -> String {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = Text)]
            t: String,
        }
        let mut connection = self.pool.get().await.unwrap();
        diesel::sql_query(query).get_result::<Row>(&mut connection).await.unwrap().t
    }

    pub async fn number(&self, query: &str) -> i64 {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = BigInt)]
            n: i64,
        }
        let mut connection = self.pool.get().await.unwrap();
        diesel::sql_query(query).get_result::<Row>(&mut connection).await.unwrap().n
    }

    /// Waits until the query gives this number.
    pub async fn wait_for_number(&self, query: &str, wanted: i64) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.number(query).await;
            if found == wanted {
                return;
            }
            assert!(Instant::now() < deadline, "{query}: {found} of {wanted}; jobs {}", self.jobs().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub fn start(&self, model: Option<ModelClient>, config: PoolConfig) -> (SummarizerPool, JobsQueued) {
        let wake = JobsQueued::default();
        (SummarizerPool::start(self.pool.clone(), model, config, Arc::clone(&wake)), wake)
    }
}

pub fn id(number: i64) -> String {
    format!("01K{number:023}")
}

pub fn incident(number: i64, events: i64) -> IncidentSnapshot {
    let identity = IncidentIdentity {
        id: id(number),
        org_id: "org".into(),
        project_id: "proj".into(),
        environment: "prod".into(),
        fingerprint: format!("{number:064x}"),
        generation: 1,
        title: "timeout after 3000 ms".into(),
        error_code: Some(format!("DB_TIMEOUT_{number}")),
        route: Some("/api/orders/:id".into()),
        previous_incident_id: None,
        partition: 0,
    };
    IncidentSnapshot {
        identity: Arc::new(identity),
        status: IncidentStatus::Open,
        severity: Severity::Error,
        event_count: events,
        first_seen: at(0),
        last_seen: at(150),
        resolved_at: None,
        applied_through: number,
    }
}

fn sample(number: i64, ordinal: i64, release: &str) -> Sample {
    Sample {
        incident_id: id(number),
        ordinal,
        event_id: format!("e{number}-{ordinal}"),
        occurred_at: at(ordinal),
        received_at: at(ordinal),
        event_type: EventType::Error,
        severity: Severity::Error,
        message: format!("timeout after {} ms", 3_000 + ordinal),
        attributes: format!(
            r#"{{"route":"/api/orders/{ordinal}","release":"{release}","user_id":"u{ordinal}","password":"hunter2"}}"#
        ),
        log_offset: ordinal,
    }
}

/// Waits are short and a summary may be written again at once.
pub fn config() -> PoolConfig {
    PoolConfig {
        poll: Duration::from_millis(200),
        first_delay: Duration::from_millis(20),
        refresh: Duration::from_millis(200),
        rest: Duration::ZERO,
        ..PoolConfig::default()
    }
}

/// A client of the model `m` there.
pub fn model(base_url: &str) -> ModelClient {
    let config = ModelConfig {
        base_url: base_url.parse().unwrap(),
        api_key: None,
        models: vec!["m".to_owned()],
        timeout: Duration::from_secs(60),
        max_tokens: 900,
    };
    ModelClient::new(&config).unwrap()
}
