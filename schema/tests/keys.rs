//! API keys and the demo seed on a real PostgreSQL.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use diesel::result::{DatabaseErrorKind, Error};
use schema::keys::{ApiKey, NewKey, Scope, create, find_by_hash, hash_key, list, revoke, touch};
use schema::seed::{DEMO_ORG, DEMO_PROJECT, seed_demo};
use schema::testing::TestDatabase;

fn key<'a>(id: &'a str, hash: &'a str, project_id: &'a str) -> NewKey<'a> {
    NewKey { id, project_id, name: "a test's", prefix: "sig_", key_hash: hash, scopes: &[Scope::Ingest, Scope::Read] }
}

#[tokio::test]
async fn a_key_is_found_by_its_hash_with_its_organisation_until_and_after_it_is_revoked() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    seed_demo(&mut connection, "demo-key-of-this-test").await.unwrap();
    let hash = hash_key("a");
    create(&mut connection, &key("key_a", &hash, DEMO_PROJECT)).await.unwrap();

    let found = find_by_hash(&mut connection, &hash).await.unwrap().unwrap();
    assert_eq!(
        (found.id.as_str(), found.org_id.as_str(), found.project_id.as_str()),
        ("key_a", DEMO_ORG, DEMO_PROJECT)
    );
    assert_eq!(
        (found.scopes.as_slice(), found.revoked_at, found.last_used_at),
        (&[Scope::Ingest, Scope::Read][..], None, None)
    );
    assert_eq!(find_by_hash(&mut connection, &hash_key("b")).await.unwrap(), None);

    assert!(revoke(&mut connection, "key_a").await.unwrap());
    let first = find_by_hash(&mut connection, &hash).await.unwrap().unwrap().revoked_at.expect("revoked");
    assert!(revoke(&mut connection, "key_a").await.unwrap());
    let again = find_by_hash(&mut connection, &hash).await.unwrap().unwrap().revoked_at;
    assert_eq!(again, Some(first), "the first revocation counts");
    assert!(!revoke(&mut connection, "key_nobody").await.unwrap());
}

#[tokio::test]
async fn keys_are_touched_in_one_statement_and_listed_by_project() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    seed_demo(&mut connection, "demo-key-of-this-test").await.unwrap();
    for id in ["key_a", "key_b", "key_c"] {
        create(&mut connection, &key(id, &hash_key(id), DEMO_PROJECT)).await.unwrap();
    }
    touch(&mut connection, &["key_b", "key_a", "key_unknown"]).await.unwrap();
    let used = |keys: Vec<ApiKey>| {
        let mut ids: Vec<_> = keys.into_iter().filter(|key| key.last_used_at.is_some()).map(|key| key.id).collect();
        ids.sort();
        ids
    };
    assert_eq!(used(list(&mut connection, None).await.unwrap()), ["key_a", "key_b"]);
    assert_eq!(list(&mut connection, Some(DEMO_PROJECT)).await.unwrap().len(), 4);
    assert_eq!(list(&mut connection, Some("proj_other")).await.unwrap(), []);
}

#[tokio::test]
async fn a_known_hash_and_an_unknown_project_are_refused() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    seed_demo(&mut connection, "demo-key-of-this-test").await.unwrap();
    let demo = hash_key("demo-key-of-this-test");
    let twice = create(&mut connection, &key("key_x", &demo, DEMO_PROJECT)).await;
    assert!(matches!(twice, Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))), "{twice:?}");
    let nowhere = create(&mut connection, &key("key_y", &hash_key("y"), "proj_nowhere")).await;
    assert!(matches!(nowhere, Err(Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _))), "{nowhere:?}");
}

#[tokio::test]
async fn the_seed_runs_again_without_harm_and_does_not_revive_a_revoked_key() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    for _ in 0..2 {
        seed_demo(&mut connection, "the-first-demo-key").await.unwrap();
    }
    seed_demo(&mut connection, "another-demo-key").await.unwrap();
    let keys = list(&mut connection, Some(DEMO_PROJECT)).await.unwrap();
    assert_eq!(keys.len(), 2);
    assert!(keys.iter().all(|key| key.scopes == Scope::ALL && key.org_id == DEMO_ORG));

    let id = find_by_hash(&mut connection, &hash_key("the-first-demo-key")).await.unwrap().unwrap().id;
    revoke(&mut connection, &id).await.unwrap();
    seed_demo(&mut connection, "the-first-demo-key").await.unwrap();
    let after = find_by_hash(&mut connection, &hash_key("the-first-demo-key")).await.unwrap().unwrap();
    assert!(after.revoked_at.is_some());
}
