//! The embedded PostgreSQL: durable through `kill -9`, alone in its folder, never left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test ends loudly"
)]

mod support;

use embedded::data_dir::{DataDir, DataDirError};
use embedded::postgres::{EmbeddedPostgres, PostgresConfig, Source};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};
use support::{Process, eventually, is_alive, passable_folder, processes_with};
use tokio_postgres::{Client, NoTls};

const ROUNDS: usize = 4;

async fn start(folder: &Path) -> EmbeddedPostgres {
    let data_dir = DataDir::open(folder).unwrap();
    EmbeddedPostgres::start(&data_dir, &PostgresConfig::default()).await.unwrap()
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

async fn ids(client: &Client) -> BTreeSet<i64> {
    let rows = client.query("SELECT id FROM rows", &[]).await.unwrap();
    rows.iter().map(|row| row.get(0)).collect()
}

fn server_pid(folder: &Path) -> Option<u32> {
    std::fs::read_to_string(folder.join("postgres/data/postmaster.pid")).ok()?.lines().next()?.parse().ok()
}

/// The child: starts the database and inserts as fast as commits go, naming each acknowledged row.
#[tokio::test]
#[ignore = "run by the other tests as a process of its own"]
async fn child_inserts_rows() {
    let begun = Instant::now();
    let postgres = start(&support::folder()).await;
    println!("\nstarted {} ms", begun.elapsed().as_millis());
    let client = connect(postgres.url()).await;
    client.batch_execute("CREATE TABLE IF NOT EXISTS rows (id bigint PRIMARY KEY)").await.unwrap();
    let first: i64 = client.query_one("SELECT coalesce(max(id), 0) FROM rows", &[]).await.unwrap().get(0);
    println!("inserting");
    for id in first + 1.. {
        client.execute("INSERT INTO rows VALUES ($1)", &[&id]).await.unwrap();
        println!("row {id}.");
    }
}

#[tokio::test]
async fn rows_survive_kill_9_and_the_server_does_not() {
    let parent = passable_folder();
    let folder = parent.path().join("data");
    let mut acknowledged = BTreeSet::new();
    for round in 0..ROUNDS {
        let mut process = Process::start("child_inserts_rows", &folder);
        println!("round {round}: start took {}", process.says("started"));
        process.says("inserting");
        // A different point in the stream of commits in each round.
        for _ in 0..=round * 150 {
            acknowledged.insert(process.says("row").trim_end_matches('.').parse().unwrap());
        }
        let server = server_pid(&folder).unwrap();
        assert!(is_alive(server) && server != process.pid());
        acknowledged.extend(process.kill("row").iter().map(|id| id.parse::<i64>().unwrap()));
        let gone = eventually("the end of the server", || !is_alive(server));
        println!("round {round}: {} rows, server gone after {gone:?}", acknowledged.len());
    }
    let begun = Instant::now();
    let postgres = start(&folder).await;
    println!("last start took {:?}", begun.elapsed());
    let found = ids(&connect(postgres.url()).await).await;
    assert!(acknowledged.is_subset(&found), "lost: {:?}", acknowledged.difference(&found).collect::<Vec<_>>());
    // At most the one row of each round whose acknowledgement the kill cut off.
    assert!(found.len() <= acknowledged.len() + ROUNDS, "{} found, {} acknowledged", found.len(), acknowledged.len());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn an_orderly_stop_leaves_no_process_and_no_lock() {
    let parent = passable_folder();
    let folder = parent.path().join("data");
    let postgres = start(&folder).await;
    let server = server_pid(&folder).unwrap();
    assert!(processes_with(&folder.display().to_string()).len() >= 2, "the server and its watcher");
    postgres.stop().await.unwrap();
    assert!(!is_alive(server));
    assert!(!folder.join("postgres/data/postmaster.pid").exists());
    eventually("the end of the watcher", || processes_with(&folder.display().to_string()).is_empty());
    let begun = Instant::now();
    let postgres = start(&folder).await;
    println!("second start took {:?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(3));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_folder() {
    let parent = passable_folder();
    let folder = parent.path().join("data");
    let mut process = Process::start("child_inserts_rows", &folder);
    process.says("inserting");
    let refusal = DataDir::open(&folder).unwrap_err();
    assert!(matches!(refusal, DataDirError::InUse { .. }));
    assert!(refusal.to_string().contains(&format!("in use by pid {};", process.pid())), "{refusal}");
    process.kill("row");
}

#[tokio::test]
async fn a_server_that_dies_alone_is_started_again_at_the_same_address() {
    let parent = passable_folder();
    let folder = parent.path().join("data");
    let postgres = start(&folder).await;
    let client = connect(postgres.url()).await;
    client.batch_execute("CREATE TABLE rows (id bigint PRIMARY KEY); INSERT INTO rows VALUES (7)").await.unwrap();
    let first = server_pid(&folder).unwrap();
    kill(first);
    eventually("the end of the first server", || !is_alive(first));
    let deadline = Instant::now() + Duration::from_secs(30);
    let client = loop {
        match tokio_postgres::connect(postgres.url(), NoTls).await {
            Ok((client, connection)) => {
                tokio::spawn(connection);
                break client;
            }
            Err(error) => assert!(Instant::now() < deadline, "not started again: {error}"),
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(ids(&client).await, BTreeSet::from([7]));
    assert_ne!(server_pid(&folder), Some(first));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn an_orphan_is_ended_before_its_folder_is_used() {
    let parent = passable_folder();
    let folder = parent.path().join("data");
    let mut process = Process::start("child_inserts_rows", &folder);
    process.says("inserting");
    let server = server_pid(&folder).unwrap();
    // Without its watcher the server outlives its owner.
    for watcher in watchers(server) {
        kill(watcher);
        eventually("the end of the watcher", || !is_alive(watcher));
    }
    process.kill("row");
    assert!(is_alive(server));
    let begun = Instant::now();
    let postgres = start(&folder).await;
    println!("start beside an orphan took {:?}", begun.elapsed());
    assert!(!is_alive(server));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_server_is_durable_and_asks_for_the_password() {
    let parent = passable_folder();
    let folder = parent.path().join("data");
    let postgres = start(&folder).await;
    println!("running {}", postgres.source());
    let client = connect(postgres.url()).await;
    for (setting, value) in [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")] {
        let found: String = client.query_one(&format!("SHOW {setting}"), &[]).await.unwrap().get(0);
        assert_eq!(found, value, "{setting}");
    }
    let upper: String = client.query_one("SELECT upper('ä')", &[]).await.unwrap().get(0);
    assert!(!matches!(postgres.source(), Source::Fetched { .. }) || upper == "Ä");
    let (before, after) = postgres.url().split_once('@').unwrap();
    let (scheme_and_user, password) = before.rsplit_once(':').unwrap();
    assert!(tokio_postgres::connect(&format!("{scheme_and_user}:wrong@{after}"), NoTls).await.is_err());
    assert!(!format!("{postgres:?}").contains(password));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn dropping_it_ends_the_server_too() {
    let parent = passable_folder();
    let folder = parent.path().join("data");
    let postgres = start(&folder).await;
    let server = server_pid(&folder).unwrap();
    drop(postgres);
    let deadline = Instant::now() + Duration::from_secs(20);
    while is_alive(server) {
        assert!(Instant::now() < deadline, "the server outlived its handle");
        tokio::task::yield_now().await;
    }
}

fn kill(pid: u32) {
    let status = std::process::Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    assert!(status.success());
}

/// The shells that wait for the end of the owner of this server: in its process group, and not its children.
fn watchers(server: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        let group: u32 = fields[2].parse().unwrap();
        if group == server && pid != server && stat.contains("(sh)") {
            found.push(pid);
        }
    }
    found
}
