//! What a person does when an actor panics, from the panic to the closed ledger, with the tools that a person has (G5, G6).
//! CONTRIBUTING tells the same steps as commands.

use crate::api::Api;
use crate::program::Environment;
use crate::stack::{KEY, Stack};
use crate::terminal::Terminal;
use crate::wait::eventually;
use actors::failpoint::POISON;
use serde_json::{Value, json};
use std::time::Duration;

const WITHIN: Duration = Duration::from_secs(60);

async fn send(api: &Api, number: u64, message: &str) {
    let attributes = json!({"error_code": "CARD", "route": format!("/pay/{number}")});
    let id = format!("e{number}");
    api.send(&json!({"event_type": "error", "message": message, "event_id": id, "attributes": attributes})).await;
}

/// The lines of `signals dlq list --json`, once there are so many.
async fn dead_letters(stack: &Stack, wanted: usize) -> Vec<Value> {
    eventually("the dead letters", WITHIN, async || {
        let said = stack.say_here(&["dlq", "list", "--json"]).await;
        let letters: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        if letters.len() == wanted { Ok(letters) } else { Err(said) }
    })
    .await
}

/// Waits until the ledger is closed with these sums.
async fn ledger(api: &Api, counted: i64, dead: i64) {
    eventually("the ledger", WITHIN, async || {
        let ledger = api.get("/v1/ledger").await.body;
        let is_so = ledger["is_closed"] == true && ledger["counted"] == counted && ledger["dead_lettered"] == dead;
        if is_so && ledger["accepted"] == counted + dead { Ok(()) } else { Err(ledger.to_string()) }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g5_g6_a_person_sees_an_actor_panic_finds_its_record_lifts_the_quarantine_and_the_ledger_closes() {
    let stack = Stack::embedded();
    let mut program = stack.run_with("signals", &[], &[("SIGNALS_FAILPOINTS", "1")]);
    stack.ready(&mut program).await;
    let api = stack.api();
    // It finds the demo project's key in the environment, as it would in the data folder.
    let environment: Environment =
        stack.environment().into_iter().chain([("SIGNALS_CORE_URL", stack.core_url())]).collect();
    let mut top = Terminal::start(&["top", "--interval", "0.2"], &environment);
    top.shows(&["signals top", "RootSupervisor", "├ Flusher", "└ PartitionRouter 0", "quarantined 0 (0 records)"])
        .await;

    send(&api, 1, "card declined").await;
    send(&api, 2, POISON).await;
    let panicked = format!("panicked at offset 1: the record says {POISON}");
    let screen = top.shows(&[&panicked, "IncidentActor proj_demo/"]).await;
    println!("{screen}");
    let letters = dead_letters(&stack, 1).await;
    assert_eq!((&letters[0]["stage"], &letters[0]["key"]), (&json!("incident"), &json!("proj_demo")));
    let shown = stack.say_here(&["dlq", "show", letters[0]["place"].as_str().unwrap()]).await;
    for said in ["__connect.errors.stage: incident", "__connect.errors.offset: 1", "\"event_id\": \"e2\"", POISON] {
        assert!(shown.contains(said), "`{said}` is not in\n{shown}");
    }
    ledger(&api, 1, 1).await;

    for number in 3..7 {
        send(&api, number, POISON).await;
    }
    top.shows(&["quarantined 1 (0 records)", "in quarantine  proj_demo/"]).await;
    send(&api, 7, "card declined").await;
    top.shows(&["quarantined 1 (1 records)"]).await;
    let letters = dead_letters(&stack, 6).await;
    assert_eq!((&letters[5]["stage"], &letters[5]["retries"]), (&json!("quarantine"), &json!(0)));
    ledger(&api, 1, 6).await;

    let listed = stack.say_here(&["quarantine", "list"]).await;
    let fingerprint = listed.lines().nth(1).unwrap().split_whitespace().nth(1).unwrap();
    let lifted = api.order(&format!("/v1/quarantine/{fingerprint}/lift")).await;
    assert_eq!((lifted.status, &lifted.body["lifted"]), (200, &json!(true)), "{lifted:?}");
    top.shows(&["quarantined 0 (0 records)"]).await;
    let said = stack.say_here(&["dlq", "retry", "--all", "--stage", "quarantine"]).await;
    assert!(said.ends_with("1 of 1 dead letters are back in the log\n"), "{said}");
    // The event that was held is counted now; those that kill stay where they are.
    ledger(&api, 2, 5).await;
    let incidents = api.incidents().await;
    assert_eq!((incidents.len(), &incidents[0]["event_count"]), (1, &json!(2)), "{incidents:?}");

    top.press("q");
    let (status, left) = top.ended().await;
    assert!(status.success() && !left.contains("RootSupervisor"), "{status}: the terminal is given back\n{left}");
    assert!(!screen.contains(KEY), "the key is nowhere on the screen");
    program.end().await;
    stack.nothing_is_left().await;
}
