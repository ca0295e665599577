//! G10: the engine on a real Kafka and PostgreSQL beside summarizers whose model never answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod rig;
mod support;

use actors::config::EngineConfig;
use actors::summarizer::config::PoolConfig;
use actors::summarizer::pool::{JobsQueued, SummarizerPool};
use rig::{COUNTED, FINGERPRINTS, PROJECTS, Rig};
use schema::database::DatabaseConfig;
use std::sync::Arc;
use std::time::Duration;
use support::incidents::model;
use support::model_server::{ModelServer, Reply};

/// What looks for jobs by itself does so never: only the flusher's word can wake a summarizer.
fn sleepy() -> PoolConfig {
    let never = Duration::from_secs(3_600);
    PoolConfig { poll: never, refresh: never, ..PoolConfig::default() }
}

#[actix::test]
async fn g10_detection_never_waits_for_a_model_that_hangs() {
    let server = ModelServer::start(|_| Reply::Never);
    let rig = Rig::new().await;
    let database = schema::database::pool(&DatabaseConfig::at(&rig.database_url), 6).unwrap();
    let jobs_queued = JobsQueued::default();
    let pool = SummarizerPool::start(database, Some(model(&server.base_url())), sleepy(), Arc::clone(&jobs_queued));
    let engine = rig.engine_with(EngineConfig { jobs_queued, ..rig.config() }).await;
    rig.send(0, 500).await;
    rig.wait_for(COUNTED, 500).await;
    // Both summarizers hang now, each on an incident whose facts speak already.
    let running =
        "SELECT count(*) AS n FROM ai_jobs j JOIN ai_summaries s USING (incident_id) WHERE j.status = 'running'";
    rig.wait_for(running, 2).await;
    rig.send(500, 3_000).await;
    rig.wait_for(COUNTED, 3_000).await;
    let incidents = i64::try_from(PROJECTS * FINGERPRINTS).unwrap();
    assert_eq!(rig.sum("SELECT count(*) AS n FROM incidents").await, incidents);
    assert_eq!(
        rig.sum("SELECT count(*) AS n FROM ai_jobs WHERE attempt_count > 0").await,
        2,
        "they hang all the while"
    );
    assert_eq!(rig.sum("SELECT count(*) AS n FROM ai_jobs WHERE status = 'queued'").await, incidents - 2);
    pool.stop().await;
    engine.stop().await;
}

#[actix::test]
async fn each_incident_that_the_engine_opens_is_explained_without_anybody_looking() {
    let rig = Rig::new().await;
    let database = schema::database::pool(&DatabaseConfig::at(&rig.database_url), 6).unwrap();
    let jobs_queued = JobsQueued::default();
    let pool = SummarizerPool::start(database, None, sleepy(), Arc::clone(&jobs_queued));
    let engine = rig.engine_with(EngineConfig { jobs_queued, ..rig.config() }).await;
    rig.send(0, 1_000).await;
    let explained = "SELECT count(*) AS n FROM incidents JOIN ai_summaries ON incident_id = id";
    rig.wait_for(explained, i64::try_from(PROJECTS * FINGERPRINTS).unwrap()).await;
    assert_eq!(rig.sum("SELECT count(*) AS n FROM ai_jobs WHERE attempt_count <> 1").await, 0);
    engine.stop().await;
    pool.stop().await;
}
