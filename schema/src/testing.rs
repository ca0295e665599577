//! A database per test, cloned from a template that is migrated once per schema version.

#![expect(clippy::expect_used, clippy::panic, reason = "only tests use this; a missing server must end them loudly")]

use crate::migrate;
use diesel::QueryResult;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

/// Serialises the making of templates and of clones among test processes.
const LOCK: i64 = 0x5349_474e_414c_5302;

/// A migrated database of one test's own; dropped with this value.
#[derive(Debug)]
pub struct TestDatabase {
    admin_url: String,
    name: String,
    url: String,
}

impl TestDatabase {
    /// Clones the template on the server that `DATABASE_URL` names.
    ///
    /// # Panics
    /// With a sentence that says what is missing: a test without its database must fail, not pass.
    pub async fn create() -> Self {
        let admin_url = std::env::var("DATABASE_URL")
            .unwrap_or_else(|_| panic!("set DATABASE_URL to a real PostgreSQL; infra/test-services.sh starts one"));
        let template = format!("signals_template_{}", migrations_hash());
        let name = format!("signals_test_{}", uuid::Uuid::new_v4().simple());
        let mut admin = connect(&admin_url).await;
        lock(&mut admin).await;
        if !exists(&mut admin, &template).await.expect("look for the template") {
            make_template(&mut admin, &admin_url, &template).await;
        }
        run(&mut admin, &format!("CREATE DATABASE {name} TEMPLATE {template}")).await.expect("clone the template");
        let url = with_database(&admin_url, &name);
        Self { admin_url, name, url }
    }

    /// `postgres://` URL of this database.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A fresh connection to this database.
    pub async fn connect(&self) -> AsyncPgConnection {
        connect(&self.url).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (admin_url, name) = (self.admin_url.clone(), self.name.clone());
        // A thread of its own: the test's runtime may be single-threaded and on its way out.
        let dropped = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            runtime.block_on(async {
                let mut admin = connect(&admin_url).await;
                run(&mut admin, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)")).await
            })
        });
        if !matches!(dropped.join(), Ok(Ok(_))) {
            eprintln!("test database {} was left behind", self.name);
        }
    }
}

/// Names the template after the migrations' text, so that a changed migration never meets an old template.
fn migrations_hash() -> String {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let mut files: Vec<_> = std::fs::read_dir(root)
        .expect("migrations folder")
        .map(|entry| entry.expect("migration").path().join("up.sql"))
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(&std::fs::read(file).expect("migration text"));
    }
    hasher.finalize().to_hex()[..12].to_string()
}

async fn make_template(admin: &mut AsyncPgConnection, admin_url: &str, template: &str) {
    // Under another name until it is complete: a killed test run must not leave half a template.
    let draft = format!("{template}_draft");
    run(admin, &format!("DROP DATABASE IF EXISTS {draft} WITH (FORCE)")).await.expect("drop an old draft");
    run(admin, &format!("CREATE DATABASE {draft}")).await.expect("create the draft");
    migrate::migrate(&with_database(admin_url, &draft)).await.expect("migrate the draft");
    // The migrating connection ends in the background; a rename needs the database to itself.
    run(admin, &format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{draft}'"))
        .await
        .expect("free the draft");
    for attempt in 0.. {
        match run(admin, &format!("ALTER DATABASE {draft} RENAME TO {template}")).await {
            Ok(_) => break,
            Err(error) if attempt == 50 => panic!("cannot rename the template: {error}"),
            Err(_) => tokio::time::sleep(std::time::Duration::from_millis(50)).await,
        }
    }
}

async fn connect(url: &str) -> AsyncPgConnection {
    AsyncPgConnection::establish(url).await.unwrap_or_else(|error| panic!("cannot connect to {url}: {error}"))
}

async fn run(connection: &mut AsyncPgConnection, statement: &str) -> QueryResult<usize> {
    diesel::sql_query(statement).execute(connection).await
}

async fn lock(connection: &mut AsyncPgConnection) {
    diesel::sql_query("SELECT pg_advisory_lock($1)").bind::<BigInt, _>(LOCK).execute(connection).await.expect("lock");
}

async fn exists(connection: &mut AsyncPgConnection, name: &str) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let found: Count = diesel::sql_query("SELECT count(*) AS count FROM pg_database WHERE datname = $1")
        .bind::<Text, _>(name)
        .get_result(connection)
        .await?;
    Ok(found.count > 0)
}

/// The same server, another database: replaces the path of a `postgres://` URL.
fn with_database(url: &str, name: &str) -> String {
    let (base, query) = url.split_once('?').map_or((url, String::new()), |(base, query)| (base, format!("?{query}")));
    let authority_end = base.find("://").map_or(0, |at| at + 3);
    let path = base[authority_end..].find('/').map_or(base.len(), |at| authority_end + at);
    format!("{}/{name}{query}", &base[..path])
}
