//! The demo organisation, project and key that a first start gives to its user.

use crate::keys::{NewKey, Scope, create_if_unknown, hash_key, shown_prefix};
use diesel::QueryResult;
use diesel::sql_types::Text;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

/// The organisation.
pub const DEMO_ORG: &str = "org_demo";
/// The project.
pub const DEMO_PROJECT: &str = "proj_demo";

/// Makes the demo organisation and project and gives the project `key` with all scopes. What is there already
/// is left alone: a second run changes nothing, and a demo key that was revoked stays revoked.
///
/// # Errors
/// The database's; then nothing was made.
pub async fn seed_demo(connection: &mut AsyncPgConnection, key: &str) -> QueryResult<()> {
    connection
        .transaction(async |connection| {
            named(connection, "INSERT INTO orgs (id, name) VALUES ($1, $2) ON CONFLICT (id) DO NOTHING", DEMO_ORG)
                .await?;
            named(
                connection,
                "INSERT INTO projects (id, org_id, name) VALUES ($1, 'org_demo', $2) ON CONFLICT (id) DO NOTHING",
                DEMO_PROJECT,
            )
            .await?;
            let key_hash = hash_key(key);
            // Tells the seeds of two keys apart and says nothing of the key.
            let id = format!("key_seed_{}", hash_key(&key_hash).get(..12).unwrap_or_default());
            let new = NewKey {
                id: &id,
                project_id: DEMO_PROJECT,
                name: "demo key of the first start",
                prefix: &shown_prefix(key),
                key_hash: &key_hash,
                scopes: Scope::ALL,
            };
            create_if_unknown(connection, &new).await.map(drop)
        })
        .await
}

async fn named(connection: &mut AsyncPgConnection, statement: &str, id: &str) -> QueryResult<usize> {
    diesel::sql_query(statement).bind::<Text, _>(id).bind::<Text, _>("Demo").execute(connection).await
}
