//! `signals ai-worker` processes, killed at random moments: each job ends once, none is lost, attempts are bounded.

use crate::chance::Chance;
use crate::model_server::{ModelServer, Reply};
use crate::program::{Environment, Program};
use crate::wait::eventually;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::testing::TestDatabase;
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
