//! `signals ai-worker` processes, killed at random moments: each job ends once, none is lost, attempts are bounded. And a whole
//! Signals whose model never answers.

use crate::chance::Chance;
use crate::model_server::{ModelServer, Reply};
use crate::program::{Environment, Program};
use crate::stack::Stack;
use crate::wait::eventually;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::testing::TestDatabase;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const JOBS: i64 = 60;
const KILLS: u64 = 12;
/// Nobody waits longer for a vanished worker.
const LEASE_SECONDS: u64 = 2;
const PATIENCE: Duration = Duration::from_secs(180);

async fn number(connection: &mut AsyncPgConnection, query: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    diesel::sql_query(query).get_result::<Number>(connection).await.unwrap().n
}

async fn fill(connection: &mut AsyncPgConnection) {
    let incidents = format!(
        "INSERT INTO incidents (id, org_id, project_id, environment, fingerprint, generation, title, status, severity, \
             event_count, first_seen, last_seen, partition, applied_through) \
         SELECT 'i' || n, 'o', 'p', 'prod', 'f' || n, 1, 'it broke', 'open', 'error', n, now(), now(), 0, n \
         FROM generate_series(1, {JOBS}) n"
    );
    let jobs = "INSERT INTO ai_jobs (id, incident_id, project_id, job_type) \
         SELECT 'summarize:' || id, id, 'p', 'summarize' FROM incidents";
    for statement in [incidents.as_str(), jobs] {
        diesel::sql_query(statement).execute(connection).await.unwrap();
    }
}

fn worker(environment: &Environment, folder: &Path, number: usize) -> Program {
    Program::start(&["ai-worker"], environment, &folder.join(format!("worker-{number}.log")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_workers_lose_no_job_and_end_none_twice() {
    let mut chance = Chance::new("ai workers");
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    fill(&mut connection).await;
    let server = ModelServer::start(|seen| Reply::After(Duration::from_millis(150), Box::new(Reply::good(seen))));
    let folder = tempfile::tempdir().unwrap();
    let environment: Environment = vec![
        ("DATABASE_URL", database.url().to_owned()),
        ("GRADIENT_BASE_URL", server.base_url()),
        ("GRADIENT_MODEL", "m".to_owned()),
        ("SIGNALS_AI_LEASE_SECONDS", LEASE_SECONDS.to_string()),
        ("SIGNALS_AI_POLL_SECONDS", "1".to_owned()),
        ("SIGNALS_AI_REFRESH_SECONDS", "1".to_owned()),
        ("SIGNALS_METRICS_PORT", "0".to_owned()),
        ("SIGNALS_DATA_DIR", folder.path().display().to_string()),
    ];
    let mut workers: Vec<Program> = (0..2).map(|number| worker(&environment, folder.path(), number)).collect();
    for kill in 0..KILLS {
        // Somebody is at work again, and then a moment that nobody chose.
        let asked = server.seen().len();
        eventually("a question to the model", PATIENCE, async || {
            let is_over = server.seen().len() > asked || server.seen().len() as i64 >= 3 * JOBS;
            if is_over { Ok(()) } else { Err(format!("kill {kill}: {asked} questions so far")) }
        })
        .await;
        chance.moment(Duration::from_millis(300)).await;
        let victim = usize::from(chance.coin());
        workers.remove(victim).kill9();
        workers.insert(victim, worker(&environment, folder.path(), victim));
    }
    eventually("the end of all jobs", PATIENCE, async || {
        let ended = "SELECT count(*) AS n FROM ai_jobs WHERE status IN ('succeeded', 'failed')";
        let ended = number(&mut connection, ended).await;
        if ended == JOBS { Ok(()) } else { Err(format!("{ended} of {JOBS}")) }
    })
    .await;
    for worker in workers {
        worker.end().await;
    }

    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM ai_jobs").await, JOBS);
    let attempts = "SELECT count(*) AS n FROM ai_jobs WHERE attempt_count NOT BETWEEN 1 AND 3";
    assert_eq!(number(&mut connection, attempts).await, 0);
    let twice_or_never = "SELECT count(*) AS n FROM ai_jobs j WHERE \
         (SELECT count(*) FROM ai_outputs o WHERE o.job_id = j.id AND o.asked <> '') \
             <> CASE j.status WHEN 'succeeded' THEN 1 ELSE 0 END";
    assert_eq!(number(&mut connection, twice_or_never).await, 0);
    let of_the_dead = "SELECT count(*) AS n FROM ai_jobs WHERE status = 'failed' AND \
         (attempt_count < 3 OR last_error NOT LIKE '%its worker vanished')";
    assert_eq!(number(&mut connection, of_the_dead).await, 0, "only vanished workers made a job fail");
    let explained = "SELECT count(*) AS n FROM incidents i JOIN ai_summaries s ON s.incident_id = i.id";
    assert_eq!(
        number(&mut connection, explained).await,
        JOBS,
        "every incident has a summary, of a model or of the facts"
    );
    let taken_over = number(&mut connection, "SELECT count(*) AS n FROM ai_jobs WHERE attempt_count > 1").await;
    println!("{taken_over} of {JOBS} jobs were taken over from a dead worker");
    assert!(taken_over > 0, "a kill must have met a job");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_with_a_model_that_hangs_events_count_and_core_answers() {
    let server = ModelServer::start(|_| Reply::Never);
    let stack = Stack::embedded();
    let (url, model) = (server.base_url(), "m");
    let mut program = stack.run_with("signals", &[], &[("GRADIENT_BASE_URL", &url), ("GRADIENT_MODEL", model)]);
    stack.ready(&mut program).await;
    let api = stack.api();
    for number in 0..5 {
        // Five incidents for two summarizers.
        let attributes = json!({"error_code": format!("CODE_{number}"), "route": "/checkout/7", "release": "v2"});
        for event in 0..10 {
            let id = format!("{number}-{event}");
            let error = json!({"event_type": "error", "message": "card declined", "event_id": id, "environment": "prod",
                "attributes": attributes});
            api.send(&error).await;
        }
    }
    let counted = |incidents: &[Value]| incidents.iter().map(|row| row["event_count"].as_i64().unwrap()).sum::<i64>();
    let incidents = eventually("the counts", PATIENCE, async || {
        let incidents = api.try_incidents().await?;
        if counted(&incidents) == 50 { Ok(incidents) } else { Err(format!("{incidents:?}")) }
    })
    .await;
    assert_eq!(incidents.len(), 5);
    let explained = eventually("what the facts say", PATIENCE, async || {
        for incident in &incidents {
            let detail = api.try_get(&format!("/v1/incidents/{}", incident["id"].as_str().unwrap())).await?.body;
            if detail["ai_summary"]["model"] == "deterministic" {
                return Ok(detail["ai_summary"].clone());
            }
        }
        Err("no summary yet".to_owned())
    })
    .await;
    assert!(explained["title"].as_str().unwrap().contains(" on /checkout/:id in prod"), "{explained}");
    let tree = eventually("summarizers at work", PATIENCE, async || {
        let tree = api.try_get("/v1/supervision").await?.body;
        let parts = tree["engine"]["children"].as_array().unwrap();
        let pool = parts.iter().find(|part| part["kind"] == "SummarizerPool").unwrap();
        let is_asking = |one: &Value| one["observed"]["calls"] == 1;
        let is_busy = pool["observed"]["busy"] == 2 && pool["children"].as_array().unwrap().iter().all(is_asking);
        if is_busy { Ok(pool.clone()) } else { Err(pool.to_string()) }
    })
    .await;
    assert_eq!(tree["observed"]["models"], json!(["m"]));
    let one = api.get("/v1/supervision/AiSummarizer/1").await.body;
    assert_eq!((&one["state"], &one["observed"]["calls"]), (&json!("running"), &json!(1)), "{one}");
    let stats = api.get("/v1/ai/stats").await.body;
    assert_eq!(stats["jobs_by_status"], json!({"queued": 3, "running": 2, "succeeded": 0, "failed": 0}), "{stats}");
    // Asked to end, it gives the jobs back and ends in time.
    program.end().await;
}
