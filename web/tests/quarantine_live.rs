//! Quarantines over HTTP, and whose part of the engine a key shows: a real engine on a real Kafka and a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod rig;

use actors::failpoint::POISON;
use reqwest::Method;
use rig::KEY;
use rig::watched::{PARTITIONS, Rig};
use schema::keys::{NewKey, Scope, hash_key, shown_prefix};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// An admin of `proj_other`, who does not run the installation.
const ADMIN: &str = "sk_admin_of_the_other_project";
const READER: &str = "sk_reader_of_the_other_project";

async fn rig() -> Rig {
    actors::failpoint::arm();
    let rig = Rig::start().await;
    let mut connection = rig.database.get().await.unwrap();
    let statement = "INSERT INTO projects (id, org_id, name) VALUES ('proj_other', 'org_demo', 'Other')";
    diesel_async::RunQueryDsl::execute(diesel::sql_query(statement), &mut connection).await.unwrap();
    let admin: Vec<Scope> = Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Operator).collect();
    for (id, key, scopes) in [("key_admin", ADMIN, &admin[..]), ("key_reader", READER, &[Scope::Read, Scope::Ingest])] {
        let (prefix, key_hash) = (shown_prefix(key), hash_key(key));
        let new = NewKey { id, project_id: "proj_other", name: id, prefix: &prefix, key_hash: &key_hash, scopes };
        schema::keys::create(&mut connection, &new).await.unwrap();
    }
    drop(connection);
    rig
}

async fn call(rig: &Rig, method: Method, path: &str, key: &str) -> (u16, Value) {
    let answer =
        rig.client.request(method, format!("{}{path}", rig.core)).header("x-api-key", key).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

async fn get(rig: &Rig, path: &str, key: &str) -> Value {
    let (status, body) = call(rig, Method::GET, path, key).await;
    assert_eq!(status, 200, "{path}: {body}");
    body
}

async fn until(rig: &Rig, path: &str, key: &str, is_so: impl Fn(&Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let body = get(rig, path, key).await;
        if is_so(&body) {
            return body;
        }
        assert!(Instant::now() < deadline, "{path}: {body:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// One error for the project of the key, grouped by `code`.
async fn send(rig: &Rig, key: &str, id: &str, code: &str, message: &str) {
    let event = json!({"event_type": "error", "message": message, "event_id": id, "attributes": {"error_code": code}});
    let post = rig.client.post(format!("{}/v1/events", rig.ingest)).header("x-api-key", key).json(&event);
    assert_eq!(post.send().await.unwrap().status(), 202);
}

/// Five records that kill: the fingerprint is quarantined. Another incident of the project is well. Returns the fingerprint.
async fn poison(rig: &Rig, key: &str) -> String {
    send(rig, key, "well", "WELL", "it broke").await;
    for number in 0..5 {
        send(rig, key, &format!("e{number}"), "DEADLY", POISON).await;
    }
    let list = until(rig, "/v1/quarantine", key, |list| list["pagination"]["total"] == 1).await;
    list["quarantines"][0]["fingerprint"].as_str().unwrap().to_owned()
}

fn ids<'a>(tree: &'a Value, found: &mut Vec<&'a str>) {
    match tree {
        Value::Object(members) => {
            found.extend(["id", "actor"].iter().filter_map(|name| members.get(*name)?.as_str()));
            members.values().for_each(|member| ids(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| ids(item, found)),
        _ => {}
    }
}

#[actix_web::test]
async fn an_admin_sees_the_engine_and_his_own_project_and_an_operator_sees_all() {
    let rig = rig().await;
    let (demo, other) = (poison(&rig, KEY).await, poison(&rig, ADMIN).await);
    assert_eq!(demo, other, "the same fingerprint, each in its own project");
    let whole = get(&rig, "/v1/supervision?limit=100", KEY).await;
    let part = get(&rig, "/v1/supervision?limit=100", ADMIN).await;
    let (mut all, mut some) = (Vec::new(), Vec::new());
    ids(&whole, &mut all);
    ids(&part, &mut some);
    for seen in ["ProjectActor proj_demo", "ProjectActor proj_other", &format!("IncidentActor proj_demo/{demo}")] {
        assert!(all.contains(&seen), "an operator sees {seen}: {all:?}");
    }
    assert!(some.contains(&format!("IncidentActor proj_other/{other}").as_str()), "its own deaths: {some:?}");
    assert!(some.iter().all(|id| !id.contains("proj_demo")), "{some:?}");
    let routers = |ids: &[&str]| ids.iter().filter(|id| id.starts_with("PartitionRouter")).count();
    assert_eq!(routers(&all), routers(&some), "the engine itself is everyone's");
    assert_eq!((&whole["quarantine"]["total"], &part["quarantine"]["total"]), (&json!(2), &json!(1)));
    assert_eq!(part["quarantine"]["items"][0]["project_id"], "proj_other");
    assert!(!part.to_string().contains("proj_demo"), "nowhere else either: {part:#}");
    for partition in 0..PARTITIONS {
        let page = get(&rig, &format!("/v1/supervision/PartitionRouter/{partition}?limit=100"), ADMIN).await;
        assert!(!page.to_string().contains("proj_demo"), "{page:#}");
        let page = &page["residents"][0];
        assert_eq!(page["total"], page["items"].as_array().unwrap().len(), "the total is of what is seen");
    }
    let name = "/v1/supervision/ProjectActor/proj_demo";
    assert_eq!(call(&rig, Method::GET, name, ADMIN).await.0, 404);
    assert_eq!(call(&rig, Method::GET, name, KEY).await.0, 200);
    assert_eq!(call(&rig, Method::GET, "/v1/supervision/ProjectActor/proj_other", ADMIN).await.0, 200);
    rig.stop().await;
}

#[actix_web::test]
async fn a_quarantine_is_listed_and_lifted_by_whoever_may_and_the_lift_bears_his_name() {
    let rig = rig().await;
    let (demo, other) = (poison(&rig, KEY).await, poison(&rig, ADMIN).await);
    let lift = |fingerprint: &str, query: &str| format!("/v1/quarantine/{fingerprint}/lift{query}");
    send(&rig, ADMIN, "held", "DEADLY", "well again").await;
    let held = until(&rig, "/v1/quarantine", READER, |list| list["quarantines"][0]["records"] == 1).await;
    assert!(held["quarantines"][0]["reason"].as_str().unwrap().contains(POISON), "{held}");

    for (path, key, status, code) in [
        (lift(&other, ""), READER, 403, "missing_scope"),
        (lift(&demo, "?project_id=proj_demo"), ADMIN, 403, "other_project"),
        (lift(&"0".repeat(64), ""), ADMIN, 404, "not_found"),
        (lift("a%00b", ""), ADMIN, 404, "not_found"),
        (lift(&other, "?all=1"), ADMIN, 400, "invalid_query"),
        (lift(&demo, ""), "sk_of_nobody", 401, "unknown_key"),
    ] {
        let (found, refused) = call(&rig, Method::POST, &path, key).await;
        assert_eq!((found, &refused["code"]), (status, &json!(code)), "{path}: {refused}");
    }
    assert_eq!(call(&rig, Method::GET, "/v1/quarantine?project_id=proj_demo", ADMIN).await.0, 403);
    assert_eq!(call(&rig, Method::GET, &lift(&other, ""), ADMIN).await.0, 405);
    assert_eq!(call(&rig, Method::GET, "/v1/quarantine?lifted=perhaps", ADMIN).await.0, 400);

    let (status, lifted) = call(&rig, Method::POST, &lift(&other, ""), ADMIN).await;
    assert_eq!((status, &lifted["lifted"]), (200, &json!(true)), "{lifted}");
    assert_eq!(lifted["quarantine"]["lifted_by"], "key_admin");
    let (status, again) = call(&rig, Method::POST, &lift(&other, ""), ADMIN).await;
    assert_eq!((status, &again["code"]), (409, &json!("conflict")), "{again}");
    send(&rig, ADMIN, "after", "DEADLY", "well again").await;
    until(&rig, "/v1/incidents?sort=last_seen_at", ADMIN, |list| list["pagination"]["total"] == 2).await;

    let list = get(&rig, "/v1/quarantine?lifted=true&limit=1", ADMIN).await;
    assert_eq!((&list["pagination"]["total"], &list["quarantines"][0]["lifted_by"]), (&json!(1), &json!("key_admin")));
    assert_eq!(get(&rig, "/v1/quarantine", ADMIN).await["quarantines"], json!([]));
    let (status, lifted) = call(&rig, Method::POST, &lift(&demo, "?project_id=proj_demo"), KEY).await;
    assert_eq!((status, &lifted["quarantine"]["project_id"]), (200, &json!("proj_demo")), "{lifted}");
    rig.stop().await;
}
