//! `signals keys` on a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use clap::Parser;
use schema::database::{Database, DatabaseConfig, pool};
use schema::keys::{Scope, find_by_hash, hash_key};
use schema::seed::seed_demo;
use schema::testing::TestDatabase;
use web::keys::{KeysCommand, run};

#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    command: KeysCommand,
}

async fn say(database: &Database, arguments: &[&str]) -> anyhow::Result<String> {
    let arguments = Arguments::try_parse_from(["keys"].iter().chain(arguments))?;
    let mut out = Vec::new();
    run(arguments.command, database, &mut out).await?;
    Ok(String::from_utf8(out)?)
}

#[tokio::test]
async fn a_key_is_shown_once_kept_as_its_hash_and_can_be_revoked() {
    let server = TestDatabase::create().await;
    let mut connection = server.connect().await;
    seed_demo(&mut connection, "the-demo-key").await.unwrap();
    let database = pool(&DatabaseConfig::at(server.url()), 2).unwrap();

    let shown = say(&database, &["create", "--project", "proj_demo", "--name", "ci", "--scopes", "ingest,read"]).await;
    let shown = shown.unwrap();
    let key = shown.lines().next().unwrap();
    assert!(key.starts_with("sig_") && key.len() == 44 && key[4..].bytes().all(|b| b.is_ascii_alphanumeric()), "{key}");
    let kept = find_by_hash(&mut connection, &hash_key(key)).await.unwrap().unwrap();
    assert_eq!((kept.scopes.as_slice(), kept.name.as_str()), (&[Scope::Ingest, Scope::Read][..], "ci"));

    let list = say(&database, &["list", "--project", "proj_demo"]).await.unwrap();
    assert!(list.contains(&kept.id) && list.contains("ingest,read") && !list.contains(key), "{list}");
    assert_eq!(list.lines().count(), 3, "a heading and two keys:\n{list}");

    assert!(say(&database, &["revoke", &kept.id]).await.unwrap().contains("is revoked"));
    assert!(say(&database, &["list"]).await.unwrap().contains("revoked 2"));
    assert!(find_by_hash(&mut connection, &hash_key(key)).await.unwrap().unwrap().revoked_at.is_some());
}

#[tokio::test]
async fn what_cannot_be_done_is_said_in_a_sentence() {
    let server = TestDatabase::create().await;
    let database = pool(&DatabaseConfig::at(server.url()), 2).unwrap();
    let words = |error: anyhow::Error| error.to_string();
    let nowhere = say(&database, &["create", "--project", "proj_nowhere"]).await.map_err(words);
    assert_eq!(nowhere, Err("there is no project proj_nowhere".into()));
    assert_eq!(say(&database, &["revoke", "key_x"]).await.map_err(words), Err("there is no key key_x".into()));
    let scope = say(&database, &["create", "--project", "p", "--scopes", "root"]).await.map_err(words).unwrap_err();
    assert!(scope.contains("must be one of ingest, read, write, admin"), "{scope}");
}
