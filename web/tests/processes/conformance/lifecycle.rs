//! What people and later events do to an incident.

use super::{SHOWS_WITHIN, detail, id, only, settled};
use crate::api::Api;
use crate::wait::eventually;
use serde_json::{Value, json};

/// Gives a command and waits until it is obeyed: the answer usually says so at once.
async fn obeyed(api: &Api, id: &str, step: &str, status: &str) {
    let answer = api.command(id, step).await;
    assert!(matches!(answer.status, 200 | 202), "{answer:?}");
    if answer.status == 200 {
        assert_eq!(answer.body["incident"]["status"], status, "{answer:?}");
    }
    eventually(status, SHOWS_WITHIN, async || {
        let shown = &detail(api, id).await["incident"]["status"];
        if shown == status { Ok(()) } else { Err(shown.to_string()) }
    })
    .await;
}

async fn forbidden(api: &Api, id: &str, step: &str) {
    eventually("the refusal", SHOWS_WITHIN, async || {
        let answer = api.command(id, step).await;
        match answer.status {
            409 => Ok(()),
            202 => Err("the engine has not answered in time".to_owned()),
            _ => panic!("{answer:?}"),
        }
    })
    .await;
}

pub async fn g4_a_late_event_leaves_it_resolved_and_a_new_one_is_a_regression(api: &Api) {
    const TITLE: &str = "the card was declined";
    let event = |id: &str| json!({"event_id": id, "event_type": "error", "message": TITLE});
    api.send(&event("declined-1")).await;
    settled(api).await;
    let first = only(api, TITLE).await;
    obeyed(api, id(&first), "resolve", "resolved").await;
    let resolved_at = detail(api, id(&first)).await["incident"]["resolved_at"].clone();
    assert!(resolved_at.is_string());

    // It happened before the resolution and comes after it.
    let mut late = event("declined-2");
    late["occurred_at"] = first["opened_at"].clone();
    api.send(&late).await;
    settled(api).await;
    let still = only(api, TITLE).await;
    assert_eq!((&still["id"], &still["status"], &still["event_count"]), (&first["id"], &json!("resolved"), &json!(2)));
    assert_eq!(still["resolved_at"], resolved_at);

    api.send(&event("declined-3")).await;
    api.send(&event("declined-4")).await;
    settled(api).await;
    let both = api.titled(TITLE).await;
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!((&both[0]["status"], &both[0]["event_count"]), (&json!("resolved"), &json!(2)), "history stays");
    let again = &both[1];
    assert_eq!((&again["status"], &again["event_count"]), (&json!("open"), &json!(2)));
    assert_eq!((&again["regression"], &again["previous_incident_id"]), (&json!(true), &first["id"]));
    assert_eq!(again["fingerprint"], first["fingerprint"]);
    forbidden(api, id(&first), "reopen").await;
}

pub async fn people_investigate_resolve_and_reopen(api: &Api) {
    const TITLE: &str = "the mail server refuses";
    api.send(&json!({"event_id": "mail-1", "event_type": "error", "message": TITLE})).await;
    settled(api).await;
    let incident = only(api, TITLE).await;
    let id = id(&incident);
    forbidden(api, id, "reopen").await;
    obeyed(api, id, "investigate", "investigating").await;
    forbidden(api, id, "investigate").await;
    obeyed(api, id, "resolve", "resolved").await;
    forbidden(api, id, "resolve").await;
    forbidden(api, id, "investigate").await;
    obeyed(api, id, "reopen", "open").await;

    let detail = detail(api, id).await;
    assert_eq!(detail["incident"]["resolved_at"], Value::Null);
    let transitions = detail["transitions"].as_array().unwrap();
    let steps: Vec<[&Value; 3]> = transitions.iter().map(|step| [&step["from"], &step["to"], &step["cause"]]).collect();
    let wanted = [
        [Value::Null, json!("open"), json!("event")],
        [json!("open"), json!("investigating"), json!("command")],
        [json!("investigating"), json!("resolved"), json!("command")],
        [json!("resolved"), json!("open"), json!("command")],
    ];
    assert_eq!(steps, wanted.each_ref().map(|step| step.each_ref()));
    for step in &transitions[1..] {
        assert!(step["command_id"].is_string() && step["principal"].as_str().unwrap().starts_with("key_"), "{step}");
    }
    let nobody = api.command("01K00000000000000000000000", "resolve").await;
    assert_eq!(nobody.status, 404, "{nobody:?}");
}
