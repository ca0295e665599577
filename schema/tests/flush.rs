//! G2 and G3 at the database: a flush counts once, whoever repeats it, and a stale owner changes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::as_conversions)]

use chrono::{DateTime, TimeZone, Utc};
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::checkpoint::{claim, read};
use schema::database::{DatabaseConfig, FROZEN};
use schema::event::{EventType, Severity};
use schema::flush::{CheckpointAdvance, Committed, FlushBatch, FlushError, commit};
use schema::names::{ENGINE_GROUP, RAW_TOPIC};
use schema::snapshot::{
    BucketDelta, Cause, IncidentIdentity, IncidentSnapshot, LedgerDelta, LogGap, Sample, Transition, TrendDelta,
};
use schema::status::IncidentStatus;
use schema::testing::TestDatabase;
use std::sync::Arc;

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

async fn number(connection: &mut AsyncPgConnection, query: &str) -> i64 {
    diesel::sql_query(query).get_result::<Number>(connection).await.unwrap().n
}

fn at(second: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_790_000_000 + second, 0).unwrap()
}

fn incident(count: i64, through: i64) -> IncidentSnapshot {
    let identity = IncidentIdentity {
        id: "01INCIDENT".into(),
        org_id: "org".into(),
        project_id: "proj".into(),
        environment: "prod".into(),
        fingerprint: "f".repeat(64),
        generation: 1,
        title: "it broke".into(),
        error_code: Some("DB_TIMEOUT".into()),
        route: None,
        previous_incident_id: None,
        partition: 0,
    };
    IncidentSnapshot {
        identity: Arc::new(identity),
        status: IncidentStatus::Open,
        severity: Severity::Error,
        event_count: count,
        first_seen: at(0),
        last_seen: at(count),
        resolved_at: None,
        applied_through: through,
    }
}

fn batch(epoch: i64, from: i64, next: i64) -> FlushBatch {
    let image = incident(next, next - 1);
    let trend = TrendDelta { identity: Arc::clone(&image.identity), hour: 497_222, minutes: vec![(13, next - from)] };
    let (opened, changed) = if from == 0 { (vec![image], vec![]) } else { (vec![], vec![image]) };
    FlushBatch {
        checkpoint: CheckpointAdvance {
            group: ENGINE_GROUP.to_owned(),
            topic: RAW_TOPIC.into(),
            partition: 0,
            epoch,
            from_offset: from,
            next_offset: next,
            complete_until: Some(at(next)),
            high_watermark: next,
        },
        opened,
        changed,
        samples: vec![Sample {
            incident_id: "01INCIDENT".into(),
            ordinal: next,
            event_id: format!("e{next}"),
            occurred_at: at(next),
            received_at: at(next),
            event_type: EventType::Error,
            severity: Severity::Error,
            message: "it broke".into(),
            attributes: r#"{"odd":"\u0000 and \ud800"}"#.into(),
            log_offset: next - 1,
        }],
        transitions: vec![Transition {
            incident_id: "01INCIDENT".into(),
            log_offset: 0,
            from_status: None,
            to_status: IncidentStatus::Open,
            cause: Cause::Event { event_id: "e1".into() },
            occurred_at: at(0),
        }],
        outcomes: vec![],
        buckets: vec![BucketDelta {
            bucket_time: at(0),
            metric_name: "errors",
            project_id: "proj".into(),
            environment: "prod".into(),
            value: next - from,
        }],
        trends: vec![trend],
        ledger: vec![LedgerDelta { project_id: "proj".into(), outcome: "counted", events: next - from }],
        gaps: vec![],
        guards: schema::flush::Guards::default(),
    }
}

#[tokio::test]
async fn g2_the_same_flush_applied_twice_counts_once() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let tenure = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
    let flush = batch(tenure.epoch, 0, 10);
    assert_eq!(commit(&mut connection, &flush).await.unwrap(), Committed::Now);
    assert_eq!(commit(&mut connection, &flush).await.unwrap(), Committed::Before);
    assert_eq!(number(&mut connection, "SELECT event_count AS n FROM incidents").await, 10);
    assert_eq!(number(&mut connection, "SELECT sum(value)::bigint AS n FROM metrics_bucket").await, 10);
    assert_eq!(number(&mut connection, "SELECT sum(value)::bigint AS n FROM trend_minutes").await, 10);
    assert_eq!(number(&mut connection, "SELECT events AS n FROM ledger").await, 10);
    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM ai_jobs").await, 1);
    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM incident_transitions").await, 1);
}

#[tokio::test]
async fn g3_a_stale_owners_flush_changes_nothing() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let old = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
    let new = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
    assert!(new.epoch > old.epoch);
    let refused = commit(&mut connection, &batch(old.epoch, 0, 10)).await.unwrap_err();
    assert!(matches!(refused, FlushError::StaleTenure { .. }));
    for table in ["incidents", "incident_events", "incident_transitions", "metrics_bucket", "trend_hours", "ledger"] {
        assert_eq!(number(&mut connection, &format!("SELECT count(*) AS n FROM {table}")).await, 0, "{table}");
    }
    assert_eq!(commit(&mut connection, &batch(new.epoch, 0, 4)).await.unwrap(), Committed::Now);
    let refused = commit(&mut connection, &batch(new.epoch, 0, 10)).await.unwrap_err();
    assert!(matches!(refused, FlushError::StaleTenure { .. }), "an offset that is not the expected one is refused");
    assert_eq!(read(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap().unwrap().next_offset, 4);
}

#[tokio::test]
async fn g3_an_owner_that_freezes_in_its_transaction_does_not_hold_up_the_next_one() {
    let database = TestDatabase::create().await;
    let connection =
        async || schema::database::connect_once(&DatabaseConfig::at(database.url())).await.unwrap().unwrap();
    let mut frozen = connection().await;
    let old = claim(&mut frozen, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
    // As a process that is stopped, or whose machine is cut off, in the midst of a flush.
    diesel::sql_query("BEGIN").execute(&mut frozen).await.unwrap();
    diesel::sql_query("UPDATE partition_checkpoints SET next_offset = 10").execute(&mut frozen).await.unwrap();
    let mut next = connection().await;
    let claimed = tokio::time::timeout(2 * FROZEN, claim(&mut next, ENGINE_GROUP, RAW_TOPIC, 0)).await;
    let new = claimed.expect("the lock of the frozen owner is taken away").unwrap();
    assert_eq!((new.next_offset, new.epoch), (0, old.epoch + 1), "what it had not committed is undone");
    assert!(diesel::sql_query("COMMIT").execute(&mut frozen).await.is_err(), "it finds its connection closed");
}

#[tokio::test]
async fn g3_half_a_batch_is_never_visible() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let tenure = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
    let mut broken = batch(tenure.epoch, 0, 10);
    broken.samples[0].attributes = "no json".into();
    assert!(matches!(commit(&mut connection, &broken).await.unwrap_err(), FlushError::Database(_)));
    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM incidents").await, 0);
    assert_eq!(read(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap().unwrap().next_offset, 0);
}

#[tokio::test]
async fn a_regression_and_its_resolved_predecessor_fit_in_one_flush() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let tenure = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
    commit(&mut connection, &batch(tenure.epoch, 0, 10)).await.unwrap();
    let mut next = batch(tenure.epoch, 10, 12);
    let mut resolved = incident(10, 10);
    resolved.status = IncidentStatus::Resolved;
    resolved.resolved_at = Some(at(20));
    let mut again = incident(1, 11);
    let identity = Arc::make_mut(&mut again.identity);
    identity.id = "02INCIDENT".into();
    identity.generation = 2;
    identity.previous_incident_id = Some(resolved.id.clone());
    (next.opened, next.changed) = (vec![again], vec![resolved]);
    next.gaps = vec![LogGap { from_offset: 10, to_offset: 11 }];
    commit(&mut connection, &next).await.unwrap();
    let newest = schema::wake::newest_incidents(&mut connection, &["proj", "proj"], &[&"f".repeat(64), "unknown"])
        .await
        .unwrap();
    assert_eq!(newest.len(), 1);
    assert_eq!((newest[0].generation, newest[0].event_count), (2, 1));
    assert_eq!(number(&mut connection, "SELECT to_offset AS n FROM log_gaps").await, 11);
}

#[tokio::test]
async fn migrations_run_again_without_harm() {
    let database = TestDatabase::create().await;
    let (first, second) =
        tokio::join!(schema::migrate::migrate(database.url()), schema::migrate::migrate(database.url()));
    first.unwrap();
    second.unwrap();
    let mut connection = database.connect().await;
    for table in ["metrics_bucket", "trend_hours"] {
        let days = format!("SELECT count(*) AS n FROM pg_inherits WHERE inhparent = '{table}'::regclass");
        assert_eq!(number(&mut connection, &days).await, 6, "{table}: five days and the catch-all");
    }
}

#[tokio::test]
async fn minutes_of_several_flushes_add_up_in_their_hours() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let tenure = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
    for (from, minutes) in (0..).zip([vec![(0, 1), (5, 2)], vec![(59, 4)], vec![(5, 8), (6, 16)]]) {
        let mut next = batch(tenure.epoch, from, from + 1);
        next.trends[0].minutes = minutes;
        let mut later = next.trends[0].clone();
        later.hour += 1;
        next.trends.push(later);
        commit(&mut connection, &next).await.unwrap();
    }
    for (minute, errors) in [(0, 1), (5, 10), (6, 16), (59, 4), (60, 1), (119, 4)] {
        let start = DateTime::from_timestamp(497_222 * 3_600 + minute * 60, 0).unwrap();
        let found = format!("SELECT value AS n FROM trend_minutes WHERE bucket_time = '{start}'");
        assert_eq!(number(&mut connection, &found).await, errors, "minute {minute}");
    }
    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM trend_minutes").await, 8);
}

#[tokio::test]
async fn an_incident_whose_row_has_disappeared_is_written_whole_again() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let tenure = claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, 0).await.unwrap();
    commit(&mut connection, &batch(tenure.epoch, 0, 10)).await.unwrap();
    diesel::sql_query("DELETE FROM incidents").execute(&mut connection).await.unwrap();
    commit(&mut connection, &batch(tenure.epoch, 10, 12)).await.unwrap();
    assert_eq!(number(&mut connection, "SELECT event_count AS n FROM incidents WHERE title = 'it broke'").await, 12);
}

#[tokio::test]
async fn old_days_of_the_minutes_go_and_the_others_stay() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    let mut run = async |statement: &str| diesel::sql_query(statement).execute(&mut connection).await.unwrap();
    run("CREATE TABLE metrics_bucket_20200101 PARTITION OF metrics_bucket FOR VALUES FROM ('2020-01-01 00:00Z') TO ('2020-01-02 00:00Z')").await;
    for time in ["'2019-05-05 10:00Z'", "'2020-01-01 10:00Z'", "now()"] {
        run(&format!("INSERT INTO metrics_bucket (bucket_time, metric_name, value, project_id, environment) VALUES ({time}, 'm', 1, 'p', 'e')")).await;
        run(&format!("INSERT INTO trend_hours VALUES ({time}, 'p', 'e', 'f', '{{1}}')")).await;
    }
    schema::retention::drop_old_days(&mut connection, 30).await.unwrap();
    schema::retention::ensure_days(&mut connection).await.unwrap();
    for table in ["metrics_bucket", "trend_hours"] {
        assert_eq!(number(&mut connection, &format!("SELECT count(*) AS n FROM {table}")).await, 1, "{table}");
        let days = format!("SELECT count(*) AS n FROM pg_inherits WHERE inhparent = '{table}'::regclass");
        assert_eq!(number(&mut connection, &days).await, 6, "{table}: five days and the catch-all");
    }
}
