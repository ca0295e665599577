//! Jobs, outputs and the budget of summaries: claimed by one worker at a time, written by the present one only.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::ai::budget::{self, Allowance, Refused};
use schema::ai::{self, Baseline, CacheKey, Cause, ClaimedJob, Output, Retry, Summary};
use schema::testing::TestDatabase;
use std::collections::BTreeSet;
use std::time::Duration;

const LEASE: Duration = Duration::from_secs(60);

/// A database with so many incidents `i1`, `i2`, ... of the project `p`, each with a job that is due.
async fn with_jobs(incidents: i32) -> (TestDatabase, AsyncPgConnection) {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    for statement in [
        format!(
            "INSERT INTO incidents (id, org_id, project_id, environment, fingerprint, generation, title, status, severity, \
                 event_count, first_seen, last_seen, partition, applied_through) \
             SELECT 'i' || n, 'o', 'p', 'prod', 'f' || n, 1, 't', 'open', 'error', 1, now(), now(), 0, n \
             FROM generate_series(1, {incidents}) n"
        ),
        "INSERT INTO ai_jobs (id, incident_id, project_id, job_type) \
         SELECT 'summarize:' || id, id, 'p', 'summarize' FROM incidents"
            .to_owned(),
    ] {
        execute(&mut connection, &statement).await;
    }
    (database, connection)
}

async fn execute(connection: &mut AsyncPgConnection, statement: &str) {
    diesel::sql_query(statement).execute(connection).await.unwrap();
}

async fn number(connection: &mut AsyncPgConnection, query: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    diesel::sql_query(query).get_result::<Number>(connection).await.unwrap().n
}

/// `status, attempts, last error` of a job.
async fn state(connection: &mut AsyncPgConnection, id: &str) -> String {
    #[derive(diesel::QueryableByName)]
    struct State {
        #[diesel(sql_type = Text)]
        state: String,
    }
    let query = "SELECT status || ', ' || attempt_count || ', ' || coalesce(last_error, '-') AS state FROM ai_jobs WHERE id = $1";
    diesel::sql_query(query).bind::<Text, _>(id).get_result::<State>(connection).await.unwrap().state
}

async fn claim_one(connection: &mut AsyncPgConnection, worker: &str) -> Option<ClaimedJob> {
    ai::claim(connection, worker, LEASE, 1).await.unwrap().pop()
}

/// As if the lease of every running job had ended.
async fn let_leases_end(connection: &mut AsyncPgConnection) {
    execute(connection, "UPDATE ai_jobs SET leased_until = now() - interval '1 second' WHERE status = 'running'").await;
}

fn output(id: &str) -> Output {
    Output {
        id: id.to_owned(),
        summary: Summary { title: format!("title of {id}"), confidence: 0.5, ..Summary::default() },
        model: "m".into(),
        prompt_version: "1".into(),
        input_hash: "hash".into(),
        asked: "m,n".into(),
        tokens_in: 10,
        tokens_out: 5,
        latency_ms: 7,
        dropped: vec!["a sentence".into()],
    }
}

fn baseline(event_count: i64) -> Baseline {
    Baseline { event_count, severity: "error".into(), status: "open".into(), releases: vec!["v1".into()] }
}

#[tokio::test]
async fn workers_that_claim_at_the_same_time_get_different_jobs() {
    let (database, mut connection) = with_jobs(40).await;
    let workers = (0..8).map(|worker| {
        let database = &database;
        async move {
            let mut connection = database.connect().await;
            let mut mine = Vec::new();
            while let Some(job) = claim_one(&mut connection, &format!("w{worker}")).await {
                mine.push(job.id);
            }
            mine
        }
    });
    let all: Vec<String> = futures_util::future::join_all(workers).await.concat();
    assert_eq!((all.len(), all.iter().collect::<BTreeSet<_>>().len()), (40, 40));
    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM ai_jobs WHERE attempt_count = 1").await, 40);
}

#[tokio::test]
async fn a_lease_that_ended_is_taken_over_and_the_late_worker_changes_nothing() {
    let (_database, mut connection) = with_jobs(1).await;
    let late = claim_one(&mut connection, "late").await.unwrap();
    assert_eq!(claim_one(&mut connection, "other").await, None, "it has a lease");
    assert!(ai::renew(&mut connection, &late, LEASE).await.unwrap());
    let_leases_end(&mut connection).await;
    let present = claim_one(&mut connection, "present").await.unwrap();
    assert_eq!((present.attempt_count, present.claims), (2, 2));
    assert_eq!(state(&mut connection, &late.id).await, "running, 2, attempt 1: its worker vanished");

    let before = state(&mut connection, &late.id).await;
    assert!(!ai::renew(&mut connection, &late, LEASE).await.unwrap());
    assert!(!ai::draft(&mut connection, &late, &output("late"), &baseline(1)).await.unwrap());
    assert!(!ai::finish(&mut connection, &late, &output("late"), &baseline(1)).await.unwrap());
    assert!(!ai::give_back(&mut connection, &late, "late", Retry::Never).await.unwrap());
    assert_eq!(state(&mut connection, &late.id).await, before);
    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM ai_outputs").await, 0);

    assert!(ai::finish(&mut connection, &present, &output("present"), &baseline(1)).await.unwrap());
    assert_eq!(state(&mut connection, &late.id).await, "succeeded, 2, -");
    assert!(!ai::finish(&mut connection, &present, &output("again"), &baseline(1)).await.unwrap(), "it ends once");
    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM ai_outputs").await, 1);
    let summary = ai::summary_of(&mut connection, "i1").await.unwrap().unwrap();
    assert_eq!((summary.output_id.as_str(), summary.content["title"].as_str()), ("present", Some("title of present")));
}

#[tokio::test]
async fn attempts_are_bounded_whether_workers_fail_or_vanish() {
    let (_database, mut connection) = with_jobs(2).await;
    for attempt in 1..=3 {
        let job = claim_one(&mut connection, "w").await.unwrap();
        assert_eq!((job.id.as_str(), job.attempt_count), ("summarize:i1", attempt));
        assert!(ai::give_back(&mut connection, &job, "no answer", Retry::After(Duration::ZERO)).await.unwrap());
        // The other one would be next.
        execute(&mut connection, "UPDATE ai_jobs SET run_after = '2000-01-01' WHERE id = 'summarize:i1'").await;
    }
    assert_eq!(state(&mut connection, "summarize:i1").await, "failed, 3, no answer");
    for attempt in 1..=3 {
        assert_eq!(claim_one(&mut connection, "w").await.unwrap().attempt_count, attempt);
        assert_eq!(ai::bury(&mut connection).await.unwrap(), 0, "its lease holds");
        let_leases_end(&mut connection).await;
    }
    assert_eq!(claim_one(&mut connection, "w").await, None);
    assert_eq!(ai::bury(&mut connection).await.unwrap(), 1);
    assert_eq!(state(&mut connection, "summarize:i2").await, "failed, 3, attempt 3, its last: its worker vanished");
}

#[tokio::test]
async fn what_was_not_tried_is_not_counted_and_is_fenced_all_the_same() {
    let (_database, mut connection) = with_jobs(1).await;
    let first = claim_one(&mut connection, "w").await.unwrap();
    assert!(ai::give_back(&mut connection, &first, "breaker", Retry::NotCounted(Duration::ZERO)).await.unwrap());
    assert_eq!(state(&mut connection, &first.id).await, "queued, 0, breaker");
    let second = claim_one(&mut connection, "w").await.unwrap();
    assert_eq!((second.attempt_count, second.claims), (1, 2));
    assert!(!ai::finish(&mut connection, &first, &output("o"), &baseline(1)).await.unwrap());
    let later = Retry::After(Duration::from_secs(3_600));
    assert!(ai::give_back(&mut connection, &second, "rate", later).await.unwrap());
    assert_eq!(claim_one(&mut connection, "w").await, None, "it is not due");
}

#[tokio::test]
async fn a_draft_stands_until_a_model_has_written_and_never_replaces_it() {
    let (_database, mut connection) = with_jobs(1).await;
    let job = claim_one(&mut connection, "w").await.unwrap();
    let draft = |id: &str| Output { model: ai::DETERMINISTIC.into(), asked: String::new(), ..output(id) };
    assert!(ai::draft(&mut connection, &job, &draft("d1"), &baseline(1)).await.unwrap());
    assert_eq!(ai::summary_of(&mut connection, "i1").await.unwrap().unwrap().output_id, "d1");
    assert!(ai::draft(&mut connection, &job, &draft("same"), &baseline(1)).await.unwrap());
    assert_eq!(ai::summary_of(&mut connection, "i1").await.unwrap().unwrap().output_id, "d1", "the facts are the same");
    let version = ai::summary_version(&mut connection, "i1").await.unwrap();
    assert!(ai::finish(&mut connection, &job, &output("m1"), &baseline(1)).await.unwrap());
    assert_ne!(ai::summary_version(&mut connection, "i1").await.unwrap(), version);
    ai::request(&mut connection, "p", "i1", Cause::CountGrew).await.unwrap().unwrap();
    let again = claim_one(&mut connection, "w").await.unwrap();
    assert_eq!(again.cause, "count_grew");
    assert!(ai::draft(&mut connection, &again, &draft("d2"), &baseline(10)).await.unwrap());
    assert_eq!(ai::summary_of(&mut connection, "i1").await.unwrap().unwrap().output_id, "m1");

    let key = CacheKey { input_hash: "hash", prompt_version: "1", asked: "m,n" };
    assert_eq!(ai::cached(&mut connection, "i1", key).await.unwrap().as_deref(), Some("m1"));
    for other in
        [CacheKey { input_hash: "x", ..key }, CacheKey { prompt_version: "2", ..key }, CacheKey { asked: "m", ..key }]
    {
        assert_eq!(ai::cached(&mut connection, "i1", other).await.unwrap(), None);
    }
    let newer = Baseline { releases: vec!["v2".into()], ..baseline(10) };
    assert!(ai::finish_with(&mut connection, &again, "m1", &newer).await.unwrap());
    let known = "SELECT count(*) AS n FROM ai_summaries WHERE event_count = 10 AND releases @> '{v1,v2}'";
    assert_eq!(number(&mut connection, known).await, 1, "a release that was known stays known");
}

#[tokio::test]
async fn one_job_of_an_incident_waits_at_a_time_however_many_ask() {
    let (database, mut connection) = with_jobs(1).await;
    let pending = ai::request(&mut connection, "p", "i1", Cause::Requested).await.unwrap();
    assert_eq!(pending.as_deref(), Some("summarize:i1"));
    assert_eq!(ai::request(&mut connection, "other", "i1", Cause::Requested).await.unwrap(), None);
    let job = claim_one(&mut connection, "w").await.unwrap();
    let later = Retry::After(Duration::from_secs(3_600));
    assert!(ai::give_back(&mut connection, &job, "no answer", later).await.unwrap());
    ai::request(&mut connection, "p", "i1", Cause::CountGrew).await.unwrap();
    assert_eq!(claim_one(&mut connection, "w").await, None, "only a person makes it due at once");
    ai::request(&mut connection, "p", "i1", Cause::Requested).await.unwrap();
    let job = claim_one(&mut connection, "w").await.unwrap();
    assert!(ai::finish(&mut connection, &job, &output("o"), &baseline(1)).await.unwrap());

    let asking = (0..8).map(|_| async {
        let mut connection = database.connect().await;
        ai::request(&mut connection, "p", "i1", Cause::Requested).await.unwrap().unwrap()
    });
    let ids: BTreeSet<String> = futures_util::future::join_all(asking).await.into_iter().collect();
    assert_eq!(ids.into_iter().collect::<Vec<_>>(), ["summarize:i1:1"]);
    assert_eq!(number(&mut connection, "SELECT count(*) AS n FROM ai_jobs").await, 2);
}

#[tokio::test]
async fn changed_incidents_are_found_page_by_page() {
    let (_database, mut connection) = with_jobs(5).await;
    while let Some(job) = claim_one(&mut connection, "w").await {
        assert!(ai::finish(&mut connection, &job, &output(&job.incident_id), &baseline(1)).await.unwrap());
    }
    for statement in [
        "UPDATE incidents SET event_count = 10 WHERE id IN ('i2', 'i5')",
        "UPDATE incidents SET severity = 'critical' WHERE id = 'i3'",
        "UPDATE incidents SET event_count = 10, status = 'resolved' WHERE id = 'i4'",
    ] {
        execute(&mut connection, statement).await;
    }
    let mut found = Vec::new();
    let mut after = String::new();
    loop {
        let (changed, last) = ai::changed(&mut connection, &after, 2, Duration::ZERO).await.unwrap();
        found.extend(changed.into_iter().map(|changed| changed.incident_id));
        match last {
            Some(last) => after = last,
            None => break,
        }
    }
    assert_eq!(found, ["i2", "i3", "i5"]);
    let (rested, _) = ai::changed(&mut connection, "", 100, Duration::from_secs(3_600)).await.unwrap();
    assert!(rested.is_empty(), "a summary rests before it is looked at");
}

#[tokio::test]
async fn a_refresh_that_failed_for_good_is_not_asked_for_again_at_once() {
    let (_database, mut connection) = with_jobs(1).await;
    let job = claim_one(&mut connection, "w").await.unwrap();
    assert!(ai::finish(&mut connection, &job, &output("o"), &baseline(1)).await.unwrap());
    execute(&mut connection, "UPDATE incidents SET event_count = 10 WHERE id = 'i1'").await;
    // (minutes since the last failure, whether it is asked for) after one failure, two, and so on.
    for waits in [[(14, false), (16, true)], [(29, false), (31, true)], [(59, false), (61, true)]] {
        ai::request(&mut connection, "p", "i1", Cause::CountGrew).await.unwrap();
        let job = claim_one(&mut connection, "w").await.unwrap();
        assert!(ai::give_back(&mut connection, &job, "401", Retry::Never).await.unwrap());
        for (minutes, is_due) in waits {
            execute(&mut connection, "UPDATE ai_summaries SET written_at = now() - interval '1 week'").await;
            let ago =
                format!("UPDATE ai_jobs SET updated_at = now() - interval '{minutes} minutes' WHERE status = 'failed'");
            execute(&mut connection, &ago).await;
            let (changed, _) = ai::changed(&mut connection, "", 100, Duration::ZERO).await.unwrap();
            assert_eq!(changed.len(), usize::from(is_due), "{minutes} minutes after a failure");
        }
    }
}

#[tokio::test]
async fn workers_that_reserve_at_the_same_time_never_overspend() {
    let (database, mut connection) = with_jobs(1).await;
    let allowance = Allowance { per_day: 1_000, per_incident: 500 };
    let reserving = (0..12).map(|n| {
        let database = &database;
        async move {
            let mut connection = database.connect().await;
            budget::reserve(&mut connection, &format!("i{}", n % 4), 200, allowance).await.unwrap()
        }
    });
    let taken = futures_util::future::join_all(reserving).await;
    assert_eq!(taken.iter().filter(|taken| taken.is_ok()).count(), 5);
    assert_eq!(budget::spent_today(&mut connection).await.unwrap(), 1_000);
    // Calls that cost less than was reserved give the rest back.
    budget::settle(&mut connection, "i0", -300).await.unwrap();
    let refused = budget::reserve(&mut connection, "other", 301, allowance).await.unwrap();
    assert_eq!(refused, Err(Refused::Day));
    let refused = budget::reserve(&mut connection, "other", 501, Allowance { per_day: 10_000, ..allowance }).await;
    assert_eq!(refused.unwrap(), Err(Refused::Incident));
    assert_eq!(budget::reserve(&mut connection, "other", 300, allowance).await.unwrap(), Ok(()));
}
