//! The servers go away under load and come back: no loss, no double count, no manual step.

use crate::api::{Answer, Api};
use crate::load::{Load, acknowledged};
use crate::program::{Program, send_signal};
use crate::proof::{PROBE, SETTLED, grown, prove};
use crate::stack::Stack;
use crate::wait::{eventually, until};
use serde_json::json;
use std::time::{Duration, Instant};

/// As good as endless: such a load is stopped.
const ENDLESS: u64 = 10_000_000;
/// Events a second.
const RATE: f64 = 1_000.0;
/// Events that must get through, or be settled, to show that a part works.
const SOME: u64 = 3_000;
const WITHIN: Duration = Duration::from_secs(120);
/// Ingest waits ten seconds for the log.
const REFUSES_WITHIN: Duration = Duration::from_secs(15);

async fn more_is_acknowledged(loads: &[Load]) {
    let before = acknowledged(loads);
    until("more acknowledged events", WITHIN, || acknowledged(loads) > before + SOME).await;
}

/// The engine works, and so does the whole way from ingest to it.
async fn it_flows(stack: &Stack, loads: &[Load]) {
    more_is_acknowledged(loads).await;
    // The database may have been away when the last look was made.
    let before = eventually("the ledger", WITHIN, async || stack.try_number(SETTLED).await).await;
    grown(stack, SETTLED, before).await;
}

async fn refusal(api: &Api, path: &str) -> Answer {
    let asked = Instant::now();
    let body = json!({"event_type": "signup", "message": "is anybody there?", "event_id": "outage"}).to_string();
    let answer = match path {
        "/v1/events" => api.try_post(path, "application/json", body).await.unwrap(),
        _ => api.get(path).await,
    };
    assert!(asked.elapsed() < REFUSES_WITHIN, "{path} took {:?}", asked.elapsed());
    answer
}

fn assert_come_back(answer: &Answer, code: &str) {
    assert_eq!((answer.status, answer.body["code"].as_str()), (503, Some(code)), "{answer:?}");
    assert!(answer.retry_after.is_some_and(|seconds| seconds > 0), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g2_g3_postgres_and_the_broker_go_away_and_come_back_under_load() {
    let stack = Stack::real().await;
    let (kafka, postgres) = stack.servers();
    let mut program = stack.up().await;
    let (begun, say) = (Instant::now(), |what: &str, begun: Instant| println!("outages: {:?} {what}", begun.elapsed()));
    let api = stack.api();
    let probe = stack.project(PROBE).await;
    let loads = [Load::start(&api, ENDLESS, Some(RATE))];
    it_flows(&stack, &loads).await;

    postgres.kill();
    say("PostgreSQL is killed", begun);
    more_is_acknowledged(&loads).await;
    assert_come_back(&refusal(&probe, "/v1/events").await, "keys_unavailable");
    assert_come_back(&refusal(&api, "/v1/incidents").await, "database_unavailable");
    assert!(api.readiness().await.is_err(), "without its database the program is not ready");
    postgres.start();
    say("PostgreSQL is back", begun);
    it_flows(&stack, &loads).await;

    kafka.stop();
    say("the broker is stopped", begun);
    assert_come_back(&refusal(&probe, "/v1/events").await, "log_unavailable");
    assert_eq!(api.get("/v1/incidents").await.status, 200, "what is durable can be read without the log");
    kafka.start();
    say("the broker is back", begun);
    it_flows(&stack, &loads).await;

    kafka.kill();
    postgres.stop();
    say("both are away", begun);
    assert_come_back(&refusal(&probe, "/v1/events").await, "log_unavailable");
    kafka.start();
    more_is_acknowledged(&loads).await;
    postgres.start();
    say("both are back", begun);
    it_flows(&stack, &loads).await;

    conclude(&stack, &mut program, loads).await;
    program.end().await;
    say("exact", begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_g3_the_embedded_postgres_dies_alone_under_load_and_is_started_again() {
    let stack = Stack::embedded();
    let mut program = stack.up().await;
    let loads = [Load::start(&stack.api(), ENDLESS, Some(RATE))];
    for _ in 0..3 {
        it_flows(&stack, &loads).await;
        let postgres = stack.embedded_postgres_pid().unwrap();
        send_signal(postgres, "KILL");
        let is_new = || stack.embedded_postgres_pid().is_some_and(|pid| pid != postgres);
        until("another server", WITHIN, is_new).await;
    }
    it_flows(&stack, &loads).await;
    conclude(&stack, &mut program, loads).await;
    program.end().await;
    stack.nothing_is_left().await;
}

/// Everything is acknowledged and counted, by the program that was there from the beginning.
async fn conclude<const PROJECTS: usize>(stack: &Stack, program: &mut Program, loads: [Load; PROJECTS]) {
    let mut sent = Vec::new();
    for load in loads {
        sent.push(load.stop().await);
    }
    stack.ready(program).await;
    prove(stack, &sent).await;
}
