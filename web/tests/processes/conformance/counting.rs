//! What comes in is counted, each event once.

use super::{SHOWS_WITHIN, detail, id, only, settled};
use crate::api::Api;
use crate::wait::eventually;
use futures_util::future::join_all;
use serde_json::{Value, json};

const TIMEOUT: &str = "the database timed out";

/// Errors of one kind, whatever the numbers in their routes.
fn timeout(number: u64) -> Value {
    json!({
        "event_id": format!("timeout-{number}"),
        "event_type": "error",
        "severity": if number == 3 { "critical" } else { "error" },
        "environment": "prod",
        "message": TIMEOUT,
        "attributes": {"error_code": "DB_TIMEOUT", "route": format!("/users/{number}?page={number}")},
    })
}

pub async fn every_form_of_a_post_is_counted(api: &Api) {
    let answer = api.post("/v1/events", &timeout(0)).await;
    assert_eq!((answer.status, &answer.body["event_id"]), (202, &json!("timeout-0")), "{answer:?}");

    let bad = json!({"event_type": "earthquake", "message": "no such type"});
    let answer = api.post("/v1/events/batch", &json!({"events": [timeout(1), bad, timeout(2)]})).await;
    assert_eq!((answer.status, &answer.body["count"]), (202, &json!(2)), "{answer:?}");
    assert_eq!(answer.body["event_ids"], json!(["timeout-1", "timeout-2"]));
    assert_eq!((&answer.body["rejected"][0]["index"], &answer.body["rejected"][1]), (&json!(1), &Value::Null));

    let answer = api.post("/v1/events", &json!([timeout(3), timeout(4)])).await;
    assert_eq!((answer.status, &answer.body["count"]), (202, &json!(2)), "{answer:?}");

    let lines = format!("{}\n\n{}\n{}", timeout(5), timeout(6), timeout(7));
    let answer = api.try_post("/v1/events", "application/x-ndjson", lines).await.unwrap();
    assert_eq!((answer.status, &answer.body["count"]), (202, &json!(3)), "{answer:?}");

    api.send(&json!({"event_type": "signup", "message": "a new user"})).await;
    api.send(&json!({"event_type": "error", "message": "another failure of user 17"})).await;
    api.send(&json!({"event_type": "error", "message": "another failure of user 18"})).await;
    settled(api).await;

    let incident = only(api, TIMEOUT).await;
    let shown =
        ["event_count", "status", "severity", "environment", "project_id", "regression"].map(|name| &incident[name]);
    assert_eq!(
        shown,
        [&json!(8), &json!("open"), &json!("critical"), &json!("prod"), &json!("proj_demo"), &json!(false)]
    );
    let detail = detail(api, id(&incident)).await;
    assert_eq!(detail["incident"], incident);
    let newest: Vec<&str> =
        detail["events"].as_array().unwrap().iter().map(|event| event["event_id"].as_str().unwrap()).collect();
    let sent: Vec<String> = (0..8).rev().map(|number| format!("timeout-{number}")).collect();
    assert_eq!(newest, sent, "newest first");
    let minutes = detail["trend"].as_array().unwrap().iter().map(|minute| minute["value"].as_i64().unwrap());
    assert_eq!(minutes.sum::<i64>(), 8, "{}", detail["trend"]);
    let opened = &detail["transitions"][0];
    assert_eq!(
        (&opened["from"], &opened["to"], &opened["event_id"]),
        (&Value::Null, &json!("open"), &json!("timeout-0"))
    );
    // Of a partition that nothing has come to it is known within about a second.
    eventually("the moment up to which all is counted", SHOWS_WITHIN, async || {
        let until = super::detail(api, id(&incident)).await["complete_until"].clone();
        if until.is_string() { Ok(()) } else { Err(until.to_string()) }
    })
    .await;

    assert_eq!(only(api, "another failure of user 17").await["event_count"], 2, "grouped by what they have in common");
    assert!(api.titled("a new user").await.is_empty(), "only errors open incidents");
}

pub async fn g2_an_event_sent_a_thousand_times_at_once_counts_once(api: &Api) {
    let event = json!({"event_id": "the-same", "event_type": "error", "message": "sent a thousand times"});
    let clients = (0..50).map(|_| async {
        for _ in 0..20 {
            api.send(&event).await;
        }
    });
    join_all(clients).await;
    settled(api).await;
    assert_eq!(only(api, "sent a thousand times").await["event_count"], 1);
}

pub async fn g6_what_went_in_is_what_became_of_it(api: &Api) {
    // Ingest reports once a second.
    let ledger = eventually("a closed ledger", SHOWS_WITHIN, async || {
        let ledger = api.get("/v1/ledger").await.body;
        if ledger["is_closed"] == true { Ok(ledger) } else { Err(ledger.to_string()) }
    })
    .await;
    let number = |name: &str| ledger[name].as_i64().unwrap();
    assert_eq!(number("accepted"), number("counted") + number("duplicate"), "{ledger}");
    assert_eq!(number("duplicate"), 999, "{ledger}");
}
