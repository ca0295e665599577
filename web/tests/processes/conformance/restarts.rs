//! Ends and starts: in order, and without forgetting anything.

use super::{detail, id, only, settled};
use crate::api::Api;
use crate::load::Load;
use crate::program::Program;
use crate::proof::matches;
use crate::stack::Stack;
use crate::wait::until;
use serde_json::{Value, json};
use std::time::Duration;

/// Under load: so much is acknowledged before the program is asked to end, and so much is there in all.
const BEFORE: u64 = 2_000;
const EVENTS: u64 = 10_000;

/// Everything that is shown of all incidents, but for the moment until which it is complete.
async fn everything(api: &Api) -> Vec<Value> {
    let mut all = Vec::new();
    for incident in api.incidents().await {
        let mut detail = detail(api, id(&incident)).await;
        detail["complete_until"].take();
        all.push(detail);
    }
    all
}

pub async fn a_restart_keeps_everything(stack: &Stack, program: Program) -> Program {
    const TITLE: &str = "before the restart";
    let api = stack.api();
    let event = json!({"event_id": "kept", "event_type": "error", "message": TITLE});
    api.send(&event).await;
    settled(&api).await;
    let before = everything(&api).await;
    program.end().await;
    stack.nothing_is_left().await;
    let program = stack.up().await;
    assert_eq!(everything(&api).await, before);

    api.send(&event).await;
    settled(&api).await;
    assert_eq!(only(&api, TITLE).await["event_count"], 1, "an event from before the restart is known again");
    program
}

pub async fn g1_g2_asked_to_end_under_load_it_ends_in_order(stack: &Stack, program: Program) {
    let api = stack.project("proj_load").await;
    let load = Load::start(&api, EVENTS, None);
    until("acknowledged events", Duration::from_secs(60), || load.acknowledged() >= BEFORE).await;
    assert!(load.acknowledged() < EVENTS, "it is asked to end in the midst of it");
    program.end().await;
    stack.nothing_is_left().await;
    let program = stack.up().await;
    let sent = load.finish().await;
    settled(&api).await;
    matches(&sent, &api.try_counts().await.unwrap());
    program.end().await;
    stack.nothing_is_left().await;
}

pub async fn a_second_start_on_the_same_data_is_refused(stack: &Stack, first: &Program) {
    let mut environment = stack.environment();
    environment.retain(|(name, _)| !name.ends_with("_PORT"));
    environment.extend(["SIGNALS_INGEST_PORT", "SIGNALS_CORE_PORT"].map(|name| (name, "0".to_owned())));
    let output = stack.output(&[], &environment).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{said}");
    assert!(said.contains(&format!("in use by pid {}", first.pid())), "{said}");
    settled(&stack.api()).await;
}
