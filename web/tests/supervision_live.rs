//! The operator's view over HTTP and in a terminal, of a real engine on a real Kafka and a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod rig;

use actix_web::{App, test};
use actors::failpoint::{BLOCK, Gate};
use actors::supervision::observer::Observer;
use rig::KEY;
use rig::watched::{PARTITIONS, Rig, event};
use schema::database::{Database, DatabaseConfig, pool};
use schema::keys::{NewKey, Scope, hash_key, shown_prefix};
use schema::names::{ENGINE_GROUP, RAW_TOPIC};
use schema::seed::seed_demo;
use schema::testing::TestDatabase;
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};
use web::auth::Keys;
use web::error::problem_defaults;
use web::supervision::{SupervisionState, routes};

async fn get(rig: &Rig, path: &str, key: &str) -> (u16, Value) {
    let asked = rig.client.get(format!("{}{path}", rig.core)).header("x-api-key", key);
    let answer = asked.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

/// Asks until the answer is as it should be.
async fn until(rig: &Rig, path: &str, what: &str, is_so: impl Fn(u16, &Value) -> bool) -> Value {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let (status, body) = get(rig, path, KEY).await;
        if is_so(status, &body) {
            return body;
        }
        assert!(Instant::now() < deadline, "{path} is not {what}: {status} {body:#}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn children(tree: &Value) -> impl Iterator<Item = &Value> {
    tree["engine"]["children"].as_array().into_iter().flatten()
}

/// `count` errors, each of another kind.
async fn send_errors(rig: &Rig, count: usize) {
    let one = |number: usize| event(&format!("e{number}")).replace("E1", &format!("E{number}"));
    let batch = (0..count).map(one).collect::<Vec<_>>().join(",");
    assert_eq!(rig.post("/v1/events", format!("[{batch}]"), &[]).await, 202);
}

fn is_durable(tree: &Value, records: i64) -> bool {
    let sum = |member: &str| children(tree).filter_map(|child| child["observed"][member].as_i64()).sum::<i64>();
    sum("next_offset") == records && sum("position") == records
}

#[actix_web::test]
async fn the_tree_is_shown_and_each_actor_by_its_name() {
    let rig = Rig::start().await;
    send_errors(&rig, 12).await;
    let tree = until(&rig, "/v1/supervision", "durable", |_, tree| is_durable(tree, 12)).await;
    assert_eq!((&tree["engine"]["kind"], &tree["engine"]["state"]), (&json!("RootSupervisor"), &json!("running")));
    assert_eq!((&tree["database_answers"], &tree["log_gaps"]["total"]), (&json!(true), &json!(0)));
    assert_eq!(tree["quarantine"], json!({"total": 0, "records": 0, "items": []}));
    let partitions = tree["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), usize::try_from(PARTITIONS).unwrap());
    assert!(partitions.iter().all(|partition| partition["is_here"] == true), "{partitions:?}");
    let names: Vec<&str> = children(&tree).map(|child| child["id"].as_str().unwrap()).collect();
    assert_eq!(names, ["Flusher", "KafkaConsumer", "PartitionRouter 0", "PartitionRouter 1", "PartitionRouter 2"]);

    // The demo project lives in one partition; the tree shows ten of its incidents, the router's own page the rest.
    let router = children(&tree).find(|child| child["observed"]["incidents"] == 12).unwrap();
    let shown = &router["residents"][0];
    assert_eq!((&shown["kind"], &shown["total"]), (&json!("IncidentActor"), &json!(12)));
    assert_eq!(shown["items"].as_array().unwrap().len(), 10);
    assert_eq!(router["residents"][1]["items"][0]["id"], "ProjectActor proj_demo");
    let address = format!("/v1/supervision/{}", router["id"].as_str().unwrap().replace(' ', "%20"));
    let mut walked = Vec::new();
    let mut cursor = String::new();
    loop {
        let (status, page) = get(&rig, &format!("{address}?limit=5&sort=letters&cursor={cursor}"), KEY).await;
        assert_eq!(status, 200, "{page}");
        assert_eq!(page["residents"].as_array().unwrap().len(), 1, "one kind at a time");
        let page = &page["residents"][0];
        walked.extend(page["items"].as_array().unwrap().iter().map(|child| child["id"].as_str().unwrap().to_owned()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        next.clone_into(&mut cursor);
    }
    walked.sort();
    walked.dedup();
    assert_eq!(walked.len(), 12);
    let (status, refused) = get(&rig, &format!("{address}?sort=restarts&cursor={cursor}"), KEY).await;
    assert_eq!((status, &refused["errors"][0]["pointer"]), (400, &json!("/cursor")), "a cursor of another sort");

    for name in
        names.into_iter().chain(walked.iter().map(String::as_str)).chain(["RootSupervisor", "ProjectActor proj_demo"])
    {
        for spelt in [name.replace(' ', "%20"), name.replacen(' ', "/", 1)] {
            let (status, actor) = get(&rig, &format!("/v1/supervision/{spelt}"), KEY).await;
            assert_eq!((status, &actor["id"]), (200, &json!(name)), "{spelt}: {actor}");
        }
    }
    let (_, incident) = get(&rig, &format!("/v1/supervision/{}", walked[0].replace(' ', "/")), KEY).await;
    let observed = &incident["observed"];
    assert_eq!(
        (&observed["type"], &observed["status"], &observed["event_count"]),
        (&json!("incident"), &json!("open"), &json!(1))
    );
    assert_eq!((&observed["generation"], &observed["is_dirty"]), (&json!(1), &json!(false)));
    rig.stop().await;
}

#[actix_web::test]
async fn only_an_admin_sees_it_and_what_is_no_actor_is_not_found() {
    let rig = Rig::start().await;
    let reader = "sk_reader_of_this_test";
    let (prefix, hash, scopes) =
        (shown_prefix(reader), hash_key(reader), &[Scope::Read, Scope::Write, Scope::Ingest][..]);
    let new = NewKey { id: "reader", project_id: "proj_demo", name: "r", prefix: &prefix, key_hash: &hash, scopes };
    schema::keys::create(&mut rig.database.get().await.unwrap(), &new).await.unwrap();
    for path in ["/v1/supervision", "/v1/supervision/Flusher"] {
        assert_eq!(get(&rig, path, "").await.1["code"], "missing_key");
        let (status, refused) = get(&rig, path, reader).await;
        assert_eq!((status, &refused["code"]), (403, &json!("missing_scope")));
        let posted = rig.client.post(format!("{}{path}", rig.core)).header("x-api-key", KEY).send().await.unwrap();
        assert_eq!(posted.status(), 405, "{path}");
    }
    for name in [
        "nobody",
        "flusher",
        "PartitionRouter",
        "PartitionRouter%2077",
        "PartitionRouter/x",
        "ProjectActor/nobody",
        "IncidentActor/proj_demo/nothing",
        "IncidentActor",
        "%ff",
        "Flusher/1",
    ] {
        let (status, refused) = get(&rig, &format!("/v1/supervision/{name}"), KEY).await;
        assert_eq!((status, &refused["code"]), (404, &json!("not_found")), "{name}: {refused}");
        assert!(refused["request_id"].is_string());
    }
    for (query, name) in [
        ("limit=101", "limit"),
        ("limit=-1", "limit"),
        ("sort=name", "sort"),
        ("cursor=x", "cursor"),
        ("cursor=letters.1.1", "cursor"),
        ("children=all", "children"),
        ("page=2", "page"),
    ] {
        let (status, refused) = get(&rig, &format!("/v1/supervision/PartitionRouter/0?{query}"), KEY).await;
        assert_eq!((status, &refused["errors"][0]["pointer"]), (400, &json!(format!("/{name}"))), "{query}: {refused}");
    }
    rig.stop().await;
}

#[actix_web::test]
async fn a_blocked_thread_fails_the_liveness_probe_and_hides_nothing_from_the_tree() {
    actors::failpoint::arm();
    let rig = Rig::start().await;
    send_errors(&rig, 3).await;
    until(&rig, "/v1/supervision", "durable", |_, tree| is_durable(tree, 3)).await;
    for path in ["/livez", "/readyz"] {
        until(&rig, path, "content", |status, _| status == 200).await;
    }
    let names = |body: &Value| {
        body["checks"]
            .as_array()
            .unwrap()
            .iter()
            .map(|check| check["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&get(&rig, "/livez", "").await.1), ["poll_thread", "arbiters"]);
    assert_eq!(names(&get(&rig, "/readyz", "").await.1), ["postgres", "log", "engine"]);

    let gate = Gate::close();
    assert_eq!(rig.post("/v1/events", event("block").replace("it broke", BLOCK), &[]).await, 202);
    let dead = until(&rig, "/livez", "dead", |status, _| status == 503).await;
    assert!(dead["checks"][1]["detail"].as_str().unwrap().starts_with("routers "), "{dead}");
    let asked = Instant::now();
    let (status, tree) = get(&rig, "/v1/supervision", KEY).await;
    assert!(status == 200 && asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    assert!(children(&tree).any(|child| child["state"] == "stuck"), "{tree:#}");
    assert!(children(&tree).any(|child| child["kind"] == "PartitionRouter" && child["state"] == "running"));
    drop(gate);
    until(&rig, "/livez", "alive", |status, _| status == 200).await;
    until(&rig, "/v1/supervision", "durable", |_, tree| is_durable(tree, 4)).await;
    rig.stop().await;
}

#[actix_web::test]
async fn a_terminal_shows_the_same_tree() {
    let rig = Rig::start().await;
    send_errors(&rig, 3).await;
    until(&rig, "/v1/supervision", "durable", |_, tree| is_durable(tree, 3)).await;
    let top = |url: String, key: &'static str| async move {
        let run = move || {
            let mut top = Command::new(env!("CARGO_BIN_EXE_signals"));
            top.args(["top", "--once", "--url", &url, "--key", key]).output().unwrap()
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    let once = top(rig.core.clone(), KEY).await;
    let text = String::from_utf8(once.stdout).unwrap();
    assert!(once.status.success(), "{text}");
    for shown in
        ["RootSupervisor", "├ Flusher", "KafkaConsumer", "└ PartitionRouter 2", "complete until 20", "quarantined 0"]
    {
        assert!(text.contains(shown), "`{shown}` is not in\n{text}");
    }
    for (url, key, said) in [
        (rig.core.clone(), "sk_of_nobody", "401: this API key is not known"),
        ("http://127.0.0.1:9/".to_owned(), KEY, "refused"),
    ] {
        let failed = top(url, key).await;
        let text = String::from_utf8(failed.stderr).unwrap();
        assert!(!failed.status.success() && failed.stdout.is_empty() && text.contains(said), "{text}");
        assert!(!text.contains(key), "the key is not shown");
    }
    rig.stop().await;
}

/// The view's routes alone, asked for one path.
async fn ask(database: &Database, keys: &Keys, observer: Option<Observer>, path: &str) -> (u16, Value) {
    let state = SupervisionState {
        database: database.clone(),
        keys: keys.clone(),
        observer,
        summarizers: None,
        indexers: None,
    };
    let app = test::init_service(App::new().configure(problem_defaults).configure(routes(state))).await;
    let request = test::TestRequest::get().uri(path).insert_header(("x-api-key", KEY)).to_request();
    let response = test::call_service(&app, request).await;
    (response.status().as_u16(), serde_json::from_slice(&test::read_body(response).await).unwrap())
}

async fn execute(database: &TestDatabase, statement: &str) {
    use diesel_async::RunQueryDsl;
    diesel::sql_query(statement).execute(&mut database.connect().await).await.unwrap();
}

#[actix_web::test]
async fn without_an_engine_the_database_tells_what_it_knows() {
    let test_database = TestDatabase::create().await;
    let mut connection = test_database.connect().await;
    seed_demo(&mut connection, KEY).await.unwrap();
    for partition in 0..2 {
        schema::checkpoint::claim(&mut connection, ENGINE_GROUP, RAW_TOPIC, partition).await.unwrap();
    }
    schema::checkpoint::claim(&mut connection, "another-group", RAW_TOPIC, 5).await.unwrap();
    for statement in [
        "UPDATE partition_checkpoints SET next_offset = 70, high_watermark = 100, complete_until = '2026-11-24T05:00:00Z' WHERE partition = 1",
        "INSERT INTO log_gaps (topic, partition, from_offset, to_offset, reason) VALUES ('signals.raw.v1', 1, 10, 25, 'retention'), ('other', 1, 0, 9, 'x')",
        "INSERT INTO quarantine (project_id, fingerprint, reason, records, since_at, lifted_at) VALUES ('p', 'f', 'it kills', 7, now(), NULL), ('p', 'g', 'it killed', 9, now(), now())",
    ] {
        execute(&test_database, statement).await;
    }
    let database: Database = pool(&DatabaseConfig::at(test_database.url()), 2).unwrap();
    let keys = Keys::new(database.clone());
    let (status, seen) = ask(&database, &keys, None, "/v1/supervision").await;
    assert_eq!((status, &seen["engine"], &seen["database_answers"]), (200, &Value::Null, &json!(true)), "{seen}");
    let partitions = seen["partitions"].as_array().unwrap();
    assert_eq!(partitions.len(), 2);
    assert_eq!(
        (&partitions[1]["lag"], &partitions[1]["epoch"], &partitions[1]["is_here"]),
        (&json!(30), &json!(1), &json!(false))
    );
    assert_eq!(seen["complete_until"], "2026-11-24T05:00:00Z");
    assert_eq!((&seen["log_gaps"]["total"], &seen["log_gaps"]["records"]), (&json!(1), &json!(15)));
    assert_eq!(
        (&seen["log_gaps"]["items"][0]["size"], &seen["log_gaps"]["items"][0]["reason"]),
        (&json!(15), &json!("retention"))
    );
    assert_eq!(
        (&seen["quarantine"]["total"], &seen["quarantine"]["items"][0]["fingerprint"]),
        (&json!(1), &json!("f"))
    );
    let (status, router) = ask(&database, &keys, None, "/v1/supervision/PartitionRouter/1").await;
    assert_eq!((status, &router["state"], &router["observed"]["lag"]), (200, &json!("elsewhere"), &json!(30)));
    for name in ["PartitionRouter/2", "Flusher", "ProjectActor/proj_demo"] {
        let (status, refused) = ask(&database, &keys, None, &format!("/v1/supervision/{name}")).await;
        assert!(status == 404 && refused["detail"].as_str().unwrap().contains("no engine"), "{name}: {refused}");
    }
}

#[actix_web::test]
async fn without_the_database_the_engine_is_shown_alone() {
    let rig = Rig::start().await;
    let keys = Keys::new(rig.database.clone());
    let observer = rig.engine.as_ref().map(actors::supervision::root::Engine::observer);
    // A pool without its database.
    let closed: Database = pool(&DatabaseConfig::at("postgres://nobody@127.0.0.1:9/none"), 1).unwrap();
    let (status, seen) = ask(&closed, &keys, observer, "/v1/supervision").await;
    assert_eq!((status, &seen["database_answers"], &seen["partitions"]), (200, &json!(false), &json!([])));
    assert_eq!(seen["engine"]["state"], "running");
    let (status, refused) = ask(&closed, &keys, None, "/v1/supervision").await;
    assert_eq!((status, &refused["code"]), (503, &json!("database_unavailable")));
    rig.stop().await;
}
