//! What people tell incidents, through the real log and the real engine.

use crate::rig::{Answer, KEY, OTHER, READER, Rig, SENDER, kafka};
use actix_web::http::Method;
use actors::config::EngineConfig;
use actors::supervision::root::Engine;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn topic() -> String {
    let topic = format!("test-{}", uuid::Uuid::new_v4().simple());
    let admin: AdminClient<DefaultClientContext> = kafka().create().unwrap();
    let new = NewTopic::new(&topic, 2, TopicReplication::Fixed(1));
    admin.create_topics([&new], &AdminOptions::new()).await.unwrap().remove(0).unwrap();
    topic
}

/// In a group of its own: an engine of another test that joined the same one would move its partitions.
async fn engine(rig: &Rig, topic: &str) -> Engine {
    let config = EngineConfig { group: topic.to_owned(), topic: topic.to_owned(), ..EngineConfig::default() };
    Engine::start(kafka(), rig.state.database.clone(), config).await.unwrap()
}

async fn send_error(rig: &Rig, id: &str, at: &str) {
    let event = json!({
        "schema_version": "1.0", "event_id": id, "occurred_at": at, "received_at": at, "org_id": "org",
        "project_id": "proj", "environment": "prod", "event_type": "error", "severity": "error",
        "message": "it broke", "fingerprint": "a".repeat(64), "attributes": {}, "payload": {},
    });
    rig.state.log.append("proj", event.to_string().as_bytes(), false).await.unwrap();
}

/// Asks until the answer is as wanted.
async fn wait_for(rig: &Rig, uri: &str, is_wanted: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let answer = rig.get(uri).await;
        if is_wanted(&answer.body) {
            return answer.body;
        }
        assert!(Instant::now() < deadline, "{uri}: {:?}", answer.body);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn tell(rig: &Rig, id: &str, step: &str, key: &str) -> Answer {
    rig.call(Method::POST, &format!("/v1/incidents/{id}/{step}"), Some(key), &[]).await
}

#[actix_web::test]
async fn g4_commands_are_obeyed_in_order_or_refused_with_the_reason() {
    let topic = topic().await;
    let rig = Rig::on(&topic).await;
    let running = engine(&rig, &topic).await;
    send_error(&rig, "e1", "2026-11-24T05:00:00Z").await;
    let list = wait_for(&rig, "/v1/incidents", |body| body["pagination"]["total"] == 1).await;
    let id = list["incidents"][0]["id"].as_str().unwrap().to_owned();

    for (key, status, code) in
        [(READER, 403, "missing_scope"), (SENDER, 403, "missing_scope"), (OTHER, 404, "not_found")]
    {
        let refused = tell(&rig, &id, "resolve", key).await;
        assert_eq!((refused.status, &refused.body["code"]), (status, &json!(code)), "{key}");
    }
    assert_eq!(tell(&rig, "01KNOBODY", "resolve", KEY).await.status, 404);
    assert_eq!(tell(&rig, "%00", "reopen", KEY).await.status, 404);
    assert_eq!(
        rig.get(&format!("/v1/incidents/{id}")).await.body["incident"]["status"],
        "open",
        "nothing has happened"
    );

    let taken = tell(&rig, &id, "investigate", KEY).await;
    assert_eq!((taken.status, &taken.body["incident"]["status"]), (200, &json!("investigating")), "{:?}", taken.body);
    let resolved = tell(&rig, &id, "resolve", KEY).await;
    assert_eq!((resolved.status, &resolved.body["incident"]["status"]), (200, &json!("resolved")));
    assert!(resolved.body["incident"]["resolved_at"].is_string());
    let again = tell(&rig, &id, "resolve", KEY).await;
    assert_eq!((again.status, &again.body["code"]), (409, &json!("conflict")));
    assert_eq!(again.body["detail"], "cannot resolve an incident that is resolved");
    assert_eq!(tell(&rig, &id, "investigate", KEY).await.status, 409);
    let reopened = tell(&rig, &id, "reopen", KEY).await;
    assert_eq!((reopened.status, &reopened.body["incident"]["status"]), (200, &json!("open")));
    assert_eq!(reopened.body["incident"]["resolved_at"], Value::Null);

    let detail = rig.get(&format!("/v1/incidents/{id}")).await.body;
    let steps: Vec<_> = detail["transitions"].as_array().unwrap().iter().map(|step| step["to"].clone()).collect();
    assert_eq!(steps, ["open", "investigating", "resolved", "open"]);
    let by_command = &detail["transitions"][1];
    assert_eq!((&by_command["command_id"], &by_command["principal"]), (&taken.body["command_id"], &json!("key_own")));
    assert_eq!(detail["incident"]["event_count"], 1);

    // A regression: the old incident can no longer be reopened.
    assert_eq!(tell(&rig, &id, "resolve", KEY).await.status, 200);
    send_error(&rig, "e2", "2126-11-24T05:00:00Z").await;
    let list = wait_for(&rig, "/v1/incidents?sort=opened_at:asc", |body| body["pagination"]["total"] == 2).await;
    assert_eq!(
        (&list["incidents"][1]["previous_incident_id"], &list["incidents"][1]["regression"]),
        (&json!(id), &json!(true))
    );
    let late = tell(&rig, &id, "reopen", KEY).await;
    assert_eq!(late.status, 409);
    assert!(late.body["detail"].as_str().unwrap().contains(list["incidents"][1]["id"].as_str().unwrap()));
    running.stop().await;
}

#[actix_web::test]
async fn a_command_that_the_engine_does_not_answer_in_time_is_promised_and_kept() {
    let topic = topic().await;
    let rig = Rig::on(&topic).await;
    let running = engine(&rig, &topic).await;
    send_error(&rig, "e1", "2026-11-24T05:00:00Z").await;
    let list = wait_for(&rig, "/v1/incidents", |body| body["pagination"]["total"] == 1).await;
    let id = list["incidents"][0]["id"].as_str().unwrap().to_owned();
    running.stop().await;

    let asked = Instant::now();
    let promised = tell(&rig, &id, "resolve", KEY).await;
    let took = asked.elapsed();
    assert_eq!((promised.status, &promised.body["accepted"]), (202, &json!(true)), "{:?}", promised.body);
    assert!((2_000..4_000).contains(&took.as_millis()), "{took:?}");
    let location = promised.header("location").unwrap().to_owned();
    assert_eq!(location, format!("/v1/incidents/{id}"));
    assert_eq!(rig.get(&location).await.body["incident"]["status"], "open");

    let restarted = engine(&rig, &topic).await;
    let kept = wait_for(&rig, &location, |body| body["incident"]["status"] == "resolved").await;
    assert_eq!(kept["transitions"][1]["command_id"], promised.body["command_id"]);
    restarted.stop().await;
}
