//! API keys: what each may do, and the queries on `project_api_keys`. Only the SHA-256 of a key is ever kept.

use crate::event::{UnknownValue, wire_enum};
use crate::fingerprint::lower_hex;
use crate::prepared::Prepare;
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::str::FromStr;

/// Longest part of a key that a list may show, in characters.
const SHOWN: usize = 10;

wire_enum! {
    /// What a key may do.
    Scope {
        /// Send events.
        Ingest = "ingest",
        /// See incidents, events and figures.
        Read = "read",
        /// Move incidents through their states.
        Write = "write",
        /// See the engine, and of what lives there what belongs to the key's project; lift its quarantines.
        Admin = "admin",
        /// Run the installation: with `admin`, that of all projects.
        Operator = "operator",
    }
}

/// SHA-256 of a key.
pub type KeyDigest = [u8; 32];

/// SHA-256 of a key: the form in which a cache knows it.
pub fn digest_key(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

/// A digest as 64 lower-case hex digits: the form in which the database knows it.
pub fn hex_digest(digest: &KeyDigest) -> String {
    lower_hex(digest)
}

/// SHA-256 of a key, 64 lower-case hex digits.
pub fn hash_key(key: &str) -> String {
    hex_digest(&digest_key(key))
}

/// What a list may show of a key: its beginning, never more than a third of it.
pub fn shown_prefix(key: &str) -> String {
    key.chars().take(SHOWN.min(key.chars().count() / 3)).collect()
}

/// A key as the database knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ApiKey {
    /// `key_` and a ULID, or the seed's.
    pub id: String,
    /// Owner of the project.
    pub org_id: String,
    /// The one project that the key speaks for.
    pub project_id: String,
    /// For people.
    pub name: String,
    /// Its beginning.
    pub prefix: String,
    /// See [`hash_key`].
    #[serde(skip)]
    pub key_hash: String,
    /// What it may do. A scope that this program does not know is left out: it grants nothing here.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last seen, to some seconds.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Since when it is worth nothing.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A key to be kept.
#[derive(Clone, Debug)]
pub struct NewKey<'a> {
    /// Unique.
    pub id: &'a str,
    /// Project that it speaks for; must exist.
    pub project_id: &'a str,
    /// For people.
    pub name: &'a str,
    /// See [`shown_prefix`].
    pub prefix: &'a str,
    /// See [`hash_key`].
    pub key_hash: &'a str,
    /// What it may do.
    pub scopes: &'a [Scope],
}

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    id: String,
    #[diesel(sql_type = Text)]
    org_id: String,
    #[diesel(sql_type = Text)]
    project_id: String,
    #[diesel(sql_type = Text)]
    name: String,
    #[diesel(sql_type = Text)]
    prefix: String,
    #[diesel(sql_type = Text)]
    key_hash: String,
    #[diesel(sql_type = Array<Text>)]
    scopes: Vec<String>,
    #[diesel(sql_type = Timestamptz)]
    created_at: DateTime<Utc>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    last_used_at: Option<DateTime<Utc>>,
    #[diesel(sql_type = Nullable<Timestamptz>)]
    revoked_at: Option<DateTime<Utc>>,
}

/// The key with this hash, revoked or not.
///
/// # Errors
/// The database's.
pub async fn find_by_hash(connection: &mut AsyncPgConnection, key_hash: &str) -> QueryResult<Option<ApiKey>> {
    find_by_hashes(connection, &[key_hash]).await.map(|mut found| found.pop())
}

/// Those of the hashes that belong to a key, revoked or not, in one query.
///
/// # Errors
/// The database's.
pub async fn find_by_hashes(connection: &mut AsyncPgConnection, hashes: &[&str]) -> QueryResult<Vec<ApiKey>> {
    diesel::sql_query(
        "SELECT k.id, p.org_id, k.project_id, k.name, k.prefix, k.key_hash, k.scopes, k.created_at, k.last_used_at, \
                k.revoked_at \
         FROM project_api_keys k JOIN projects p ON p.id = k.project_id WHERE k.key_hash = ANY($1)",
    )
    .bind::<Array<Text>, _>(hashes)
    .prepared()
    .load(connection)
    .await
    .map(api_keys)
}

/// Every key, or those of one project, the newest first.
///
/// # Errors
/// The database's.
pub async fn list(connection: &mut AsyncPgConnection, project_id: Option<&str>) -> QueryResult<Vec<ApiKey>> {
    diesel::sql_query(
        "SELECT k.id, p.org_id, k.project_id, k.name, k.prefix, k.key_hash, k.scopes, k.created_at, k.last_used_at, \
                k.revoked_at \
         FROM project_api_keys k JOIN projects p ON p.id = k.project_id \
         WHERE $1 IS NULL OR k.project_id = $1 ORDER BY k.created_at DESC, k.id",
    )
    .bind::<Nullable<Text>, _>(project_id)
    .prepared()
    .load(connection)
    .await
    .map(api_keys)
}

/// Keeps a new key.
///
/// # Errors
/// The database's: a foreign key violation if there is no such project, a unique violation if the key is known.
pub async fn create(connection: &mut AsyncPgConnection, key: &NewKey<'_>) -> QueryResult<()> {
    insert(connection, key, "").await.map(drop)
}

/// As [`create`], but a key whose hash is known is left as it is. Tells whether it is new.
///
/// # Errors
/// As [`create`].
pub async fn create_if_unknown(connection: &mut AsyncPgConnection, key: &NewKey<'_>) -> QueryResult<bool> {
    insert(connection, key, "ON CONFLICT (key_hash) DO NOTHING").await.map(|rows| rows > 0)
}

async fn insert(connection: &mut AsyncPgConnection, key: &NewKey<'_>, conflict: &'static str) -> QueryResult<usize> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    diesel::sql_query(format!(
        "INSERT INTO project_api_keys (id, project_id, name, prefix, key_hash, scopes) \
         VALUES ($1, $2, $3, $4, $5, $6) {conflict}"
    ))
    .bind::<Text, _>(key.id)
    .bind::<Text, _>(key.project_id)
    .bind::<Text, _>(key.name)
    .bind::<Text, _>(key.prefix)
    .bind::<Text, _>(key.key_hash)
    .bind::<Array<Text>, _>(scopes)
    .prepared()
    .execute(connection)
    .await
}

/// Makes a key worthless from now on. False if there is no such key; one revoked before keeps its first time.
///
/// # Errors
/// The database's.
pub async fn revoke(connection: &mut AsyncPgConnection, id: &str) -> QueryResult<bool> {
    diesel::sql_query("UPDATE project_api_keys SET revoked_at = coalesce(revoked_at, now()) WHERE id = $1")
        .bind::<Text, _>(id)
        .prepared()
        .execute(connection)
        .await
        .map(|rows| rows > 0)
}

/// Notes that these keys were seen just now, in one statement.
///
/// # Errors
/// The database's.
pub async fn touch(connection: &mut AsyncPgConnection, ids: &[&str]) -> QueryResult<()> {
    // Locked in the order of the ids, so that two servers that touch the same keys never wait for each other in a ring.
    diesel::sql_query(
        "UPDATE project_api_keys SET last_used_at = now() WHERE id IN \
         (SELECT id FROM project_api_keys WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE)",
    )
    .bind::<Array<Text>, _>(ids)
    .prepared()
    .execute(connection)
    .await
    .map(drop)
}

fn api_keys(rows: Vec<Row>) -> Vec<ApiKey> {
    let key = |row: Row| ApiKey {
        scopes: row.scopes.iter().filter_map(|scope| scope.parse().ok()).collect(),
        id: row.id,
        org_id: row.org_id,
        project_id: row.project_id,
        name: row.name,
        prefix: row.prefix,
        key_hash: row.key_hash,
        created_at: row.created_at,
        last_used_at: row.last_used_at,
        revoked_at: row.revoked_at,
    };
    rows.into_iter().map(key).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_as_sha_256_in_hex() {
        assert_eq!(hash_key("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn a_list_never_shows_more_than_a_third_of_a_key() {
        assert_eq!(shown_prefix("sig_0123456789abcdefghijklmnopqrstuv"), "sig_012345");
        assert_eq!(shown_prefix("secret"), "se");
        assert_eq!(shown_prefix("äö"), "");
    }
}
