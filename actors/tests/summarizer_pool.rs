//! The pool of summarizers on a real database, with and without a scripted model over real HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use actors::failpoint::{Action, Point, Strike};
use actors::summarizer::config::PoolConfig;
use actors::summarizer::pool::SummarizerPool;
use actors::supervision::kind::ActorId;
use actors::supervision::view::{Observed, State, SummarizersView};
use schema::ai::DETERMINISTIC;
use schema::ai::budget::Allowance;
use schema::event::Severity;
use std::time::{Duration, Instant};
use support::incidents::{Incidents, PATIENCE, config, id, model};
use support::model_server::{ModelServer, Reply};
use tokio::sync::Mutex;

/// The failpoints are one for the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

const ENDED: &str = "SELECT count(*) AS n FROM ai_jobs WHERE status IN ('succeeded', 'failed')";

/// Nobody looks for jobs unless woken.
fn sleepy() -> PoolConfig {
    PoolConfig { poll: Duration::from_secs(3_600), refresh: Duration::from_secs(3_600), ..config() }
}

#[actix_rt::test]
async fn without_a_model_the_facts_speak_at_once_when_the_pool_is_woken() {
    let _alone = ALONE.lock().await;
    let mut incidents = Incidents::new().await;
    let (pool, wake) = incidents.start(None, sleepy());
    incidents.wait_for_number("SELECT count(*) AS n FROM ai_jobs", 0).await;
    incidents.open(1).await;
    wake.notify_one();
    let (row, summary) = incidents.wait_for(1, |_| true).await;
    assert_eq!(row.model, DETERMINISTIC);
    assert_eq!(summary.title, "DB_TIMEOUT_1 on /api/orders/:id in prod: 5 events since 02:57 UTC");
    assert!(summary.impact.contains("At least 5 users are hit"), "{}", summary.impact);
    assert!(summary.likely_causes[0].contains("A deploy to prod at 2026-11-24 02:53 UTC, 4 minutes before"));
    assert!(summary.likely_causes[0].ends_with("name release v2."), "{:?}", summary.likely_causes);
    assert_eq!(summary.cited_event_ids, ["e1-1", "e1-5", "e1-4", "e1-3"]);
    assert_eq!(incidents.jobs().await, format!("summarize:{} succeeded 1 -", id(1)));
    pool.stop().await;
}

#[actix_rt::test]
async fn jobs_that_nobody_tells_of_are_found() {
    let _alone = ALONE.lock().await;
    let mut incidents = Incidents::new().await;
    let (pool, _) = incidents.start(None, config());
    for number in 1..=20 {
        incidents.open(number).await;
    }
    incidents
        .wait_for_number("SELECT count(*) AS n FROM ai_jobs WHERE status = 'succeeded' AND attempt_count = 1", 20)
        .await;
    assert_eq!(incidents.number("SELECT count(*) AS n FROM ai_summaries").await, 20);
    pool.stop().await;
}

#[actix_rt::test]
async fn a_model_is_asked_once_for_the_same_facts_and_sees_no_secret() {
    let _alone = ALONE.lock().await;
    let server = ModelServer::good();
    let mut incidents = Incidents::new().await;
    let (pool, wake) = incidents.start(Some(model(&server.base_url())), sleepy());
    incidents.open(1).await;
    wake.notify_one();
    let (row, summary) = incidents.wait_for(1, |row| row.model != DETERMINISTIC).await;
    assert!(!summary.evidence.is_empty());
    let spent = "SELECT sum(tokens_in + tokens_out)::bigint AS n FROM ai_outputs";
    let tokens = incidents.number(spent).await;
    assert!(tokens > 0);
    assert_eq!(incidents.number("SELECT sum(tokens)::bigint AS n FROM ai_spend WHERE calls = 1").await, tokens);
    let sent = server.seen()[0].document();
    assert_eq!((sent["incident"]["id"].as_str(), sent["counts"]["total"].as_i64()), (Some(id(1).as_str()), Some(5)));
    assert!(!server.seen()[0].body.to_string().contains("hunter2"));

    let mut connection = incidents.pool.get().await.unwrap();
    schema::ai::request(&mut connection, "proj", &id(1), schema::ai::Cause::Requested).await.unwrap().unwrap();
    wake.notify_one();
    incidents.wait_for_number(ENDED, 2).await;
    assert_eq!(server.seen().len(), 1, "nothing had changed");
    assert_eq!(incidents.summary(1).await.unwrap().output_id, row.output_id);
    pool.stop().await;
}

#[actix_rt::test]
async fn while_a_model_hangs_the_facts_speak_and_at_the_end_the_job_goes_back() {
    let _alone = ALONE.lock().await;
    let server = ModelServer::start(|_| Reply::Never);
    let mut incidents = Incidents::new().await;
    let (pool, _) = incidents.start(Some(model(&server.base_url())), PoolConfig { workers: 1, ..config() });
    incidents.open(1).await;
    let (row, _) = incidents.wait_for(1, |_| true).await;
    assert_eq!(row.model, DETERMINISTIC);
    let deadline = Instant::now() + PATIENCE;
    let busy = loop {
        let view = pool.observer().actor(&ActorId::Summarizer(1)).unwrap();
        let Observed::Summarizer(seen) = &view.observed else { panic!("{view:?}") };
        if seen.calls == 1 {
            break seen.clone();
        }
        assert!(Instant::now() < deadline, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((busy.incident_id, busy.attempt), (Some(id(1)), Some(1)));
    assert!(incidents.jobs().await.contains("running 1"));
    pool.stop().await;
    assert_eq!(incidents.jobs().await, format!("summarize:{} queued 0 its worker ended in order", id(1)));
}

#[actix_rt::test]
async fn a_panic_costs_one_attempt_of_one_job() {
    let _alone = ALONE.lock().await;
    let mut incidents = Incidents::new().await;
    for number in 1..=3 {
        incidents.open(number).await;
    }
    let strike = Strike::at(Point::Summarize, 2, Action::Panic);
    let (pool, _) = incidents.start(None, config());
    incidents.wait_for_number(ENDED, 3).await;
    assert_eq!(strike.fired(), 1);
    drop(strike);
    assert_eq!(incidents.number("SELECT count(*) AS n FROM ai_jobs WHERE status = 'succeeded'").await, 3);
    assert_eq!(incidents.number("SELECT sum(attempt_count)::bigint AS n FROM ai_jobs").await, 4);
    assert_eq!(incidents.number("SELECT count(*) AS n FROM ai_outputs").await, 3);
    let view = pool.observer().view();
    assert_eq!((view.state, view.children.len()), (State::Running, 2));
    assert_eq!(view.children.iter().map(|child| child.restarts.count).sum::<u64>(), 1);
    let died = view.children.iter().flat_map(|child| &child.restarts.deaths).next().unwrap();
    assert!(died.message.contains("Summarize"), "{died:?}");
    pool.stop().await;
}

#[actix_rt::test]
async fn a_job_that_always_panics_fails_after_three_attempts_and_the_others_go_on() {
    let _alone = ALONE.lock().await;
    let mut incidents = Incidents::new().await;
    incidents.open(1).await;
    let strike = Strike::times(Point::Summarize, 1, 3, Action::Panic);
    let (pool, _) = incidents.start(None, config());
    incidents.wait_for_number(ENDED, 1).await;
    assert_eq!(strike.fired(), 3);
    drop(strike);
    let jobs = incidents.jobs().await;
    assert!(jobs.starts_with(&format!("summarize:{} failed 3 attempt 3: ", id(1))), "{jobs}");
    incidents.open(2).await;
    incidents.wait_for(2, |_| true).await;
    pool.stop().await;
}

#[actix_rt::test]
async fn a_model_that_fails_is_asked_three_times_and_the_facts_speak() {
    let _alone = ALONE.lock().await;
    let server = ModelServer::replies(vec![Reply::error(401, "no")]);
    let mut incidents = Incidents::new().await;
    let (pool, _) = incidents.start(Some(model(&server.base_url())), config());
    incidents.open(1).await;
    incidents.wait_for_number(ENDED, 1).await;
    let jobs = incidents.jobs().await;
    assert!(jobs.starts_with(&format!("summarize:{} failed 1 ", id(1))), "a key that is refused stays refused: {jobs}");
    assert_eq!(incidents.summary(1).await.unwrap().model, DETERMINISTIC);
    pool.stop().await;
}

#[actix_rt::test]
async fn spent_tokens_ask_no_model() {
    let _alone = ALONE.lock().await;
    let server = ModelServer::good();
    let client = model(&server.base_url());
    let call = i64::from(client.estimate(12_000));
    for (allowance, said) in [
        (Allowance { per_day: 10, per_incident: call }, "the day's tokens are spent"),
        (Allowance { per_day: call, per_incident: 10 }, "the incident's tokens are spent"),
    ] {
        let mut incidents = Incidents::new().await;
        let (pool, _) = incidents.start(Some(client.clone()), PoolConfig { allowance, ..config() });
        incidents.open(1).await;
        incidents.wait_for_number(ENDED, 1).await;
        assert_eq!(incidents.summary(1).await.unwrap().model, DETERMINISTIC);
        let dropped = incidents.text("SELECT string_agg(dropped::text, '') AS t FROM ai_outputs").await;
        assert!(dropped.contains(said), "{dropped}");
        pool.stop().await;
    }
    assert!(server.seen().is_empty());
}

fn looked_through(pool: &SummarizerPool) -> SummarizersView {
    let Observed::Summarizers(seen) = pool.observer().view().observed else { panic!("the pool shows another state") };
    seen
}

#[actix_rt::test]
async fn facts_that_changed_enough_are_told_again() {
    let _alone = ALONE.lock().await;
    let mut incidents = Incidents::new().await;
    let (pool, _) = incidents.start(None, config());
    incidents.open(1).await;
    let (first, _) = incidents.wait_for(1, |_| true).await;
    incidents.grow(1, 6, Severity::Error, "v2").await;
    let (second, _) = {
        incidents.grow(1, 50, Severity::Error, "v2").await;
        incidents.wait_for(1, |row| row.output_id != first.output_id).await
    };
    assert!(second.content["title"].as_str().unwrap().contains("50 events"), "{second:?}");
    incidents.grow(1, 51, Severity::Error, "v3").await;
    let (third, _) = incidents.wait_for(1, |row| row.output_id != second.output_id).await;
    incidents.grow(1, 52, Severity::Critical, "v3").await;
    let (fourth, summary) = incidents.wait_for(1, |row| row.output_id != third.output_id).await;
    assert!(summary.impact.contains("the highest severity is critical"), "{}", summary.impact);
    // Rounds in which nothing is due: the third from now has begun after this growth.
    incidents.grow(1, 53, Severity::Critical, "v3").await;
    let last = looked_through(&pool).rounds + 3;
    let deadline = Instant::now() + PATIENCE;
    while looked_through(&pool).rounds < last {
        assert!(Instant::now() < deadline, "the summaries are no longer looked through");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(incidents.summary(1).await.unwrap().output_id, fourth.output_id);
    let causes = "SELECT string_agg(cause, ' ' ORDER BY created_at) AS t FROM ai_jobs";
    assert_eq!(incidents.text(causes).await, "opened count_grew new_release severity_raised");
    let seen = looked_through(&pool);
    assert_eq!((seen.refreshed, seen.last_error), (3, None));
    pool.stop().await;
}

#[actix_rt::test]
async fn a_lease_that_is_lost_ends_the_work_and_its_result_changes_nothing() {
    let _alone = ALONE.lock().await;
    let server = ModelServer::start(|seen| Reply::After(Duration::from_secs(4), Box::new(Reply::good(seen))));
    let mut incidents = Incidents::new().await;
    let short = PoolConfig { workers: 1, lease: Duration::from_secs(2), poll: Duration::from_secs(3_600), ..config() };
    incidents.open(1).await;
    let (pool, _) = incidents.start(Some(model(&server.base_url())), short);
    incidents.wait_for(1, |_| true).await;
    // Another worker claims it, as if this one had been frozen beyond its lease.
    let mut connection = incidents.pool.get().await.unwrap();
    use diesel_async::RunQueryDsl;
    diesel::sql_query("UPDATE ai_jobs SET claims = claims + 1, attempt_count = attempt_count + 1, leased_until = now() + interval '1 hour'")
        .execute(&mut connection)
        .await
        .unwrap();
    let deadline = Instant::now() + PATIENCE;
    loop {
        let view = pool.observer().actor(&ActorId::Summarizer(1)).unwrap();
        let Observed::Summarizer(seen) = view.observed else { panic!() };
        if seen.failed == 1 {
            assert_eq!(seen.last_error.as_deref(), Some("the job was claimed by another worker"));
            break;
        }
        assert!(Instant::now() < deadline, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(incidents.number("SELECT count(*) AS n FROM ai_outputs WHERE model <> 'deterministic'").await, 0);
    assert!(incidents.jobs().await.contains("running 2"));
    pool.stop().await;
}
