//! One suite of behaviours for every stack: what Signals promises does not depend on what it stands on.

mod counting;
mod lifecycle;
mod restarts;
mod tenants;

use crate::api::Api;
use crate::stack::Stack;
use crate::wait::eventually;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// From the acknowledgement to the incident; generous, because other tests run beside.
const SHOWS_WITHIN: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance_on_embedded_servers() {
    let stack = Stack::embedded();
    conforms(&stack).await;
    let program = stack.up().await;
    restarts::a_second_start_on_the_same_data_is_refused(&stack, &program).await;
    program.end().await;
    stack.nothing_is_left().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conformance_on_real_servers() {
    conforms(&Stack::real().await).await;
}

async fn conforms(stack: &Stack) {
    let begun = Instant::now();
    let say = |what: &str| println!("{:?} {what}", begun.elapsed());
    let program = stack.up().await;
    let api = stack.api();
    counting::every_form_of_a_post_is_counted(&api).await;
    say("every form of a post is counted");
    counting::g2_an_event_sent_a_thousand_times_at_once_counts_once(&api).await;
    say("g2 an event sent 1,000 times at once counts once");
    counting::g6_what_went_in_is_what_became_of_it(&api).await;
    say("g6 what went in is what became of it");
    lifecycle::g4_a_late_event_leaves_it_resolved_and_a_new_one_is_a_regression(&api).await;
    say("g4 a late event leaves it resolved and a new one is a regression");
    lifecycle::people_investigate_resolve_and_reopen(&api).await;
    say("people investigate, resolve and reopen");
    tenants::projects_do_not_see_each_other(stack).await;
    say("projects do not see each other");
    let program = restarts::a_restart_keeps_everything(stack, program).await;
    say("a restart keeps everything");
    restarts::g1_g2_asked_to_end_under_load_it_ends_in_order(stack, program).await;
    say("g1 g2 asked to end under load it ends in order");
}

/// Sends an event behind all others of the project and waits until it shows: so do the others then, because
/// events of one project are applied in the order of the log.
async fn settled(api: &Api) {
    let title = format!("marker {}", uuid::Uuid::new_v4());
    let event = json!({"event_type": "error", "message": title, "attributes": {"error_code": title}});
    api.send(&event).await;
    eventually("the marker's incident", SHOWS_WITHIN, async || {
        let counts = api.try_counts().await?;
        counts.get(&title).map(drop).ok_or_else(|| format!("{} others are there", counts.len()))
    })
    .await;
}

/// The only incident of this title.
async fn only(api: &Api, title: &str) -> Value {
    let mut found = api.titled(title).await;
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

fn id(incident: &Value) -> &str {
    incident["id"].as_str().unwrap()
}

async fn detail(api: &Api, id: &str) -> Value {
    let answer = api.get(&format!("/v1/incidents/{id}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}
