//! The real servers of the environment, and what a bench makes on them and removes afterwards.

use crate::usage::cpu_seconds_of;
use anyhow::Context;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;

/// How a client reaches the brokers of `KAFKA_BROKERS`.
///
/// # Errors
/// If it is not set.
pub fn kafka() -> anyhow::Result<ClientConfig> {
    let brokers = std::env::var("KAFKA_BROKERS")
        .context("set KAFKA_BROKERS and DATABASE_URL to real servers; infra/test-services.sh starts them")?;
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    Ok(config)
}

/// A topic of a bench's own; deleted with this value.
#[derive(Debug)]
pub struct Topic {
    /// Its name.
    pub name: String,
}

impl Topic {
    /// Creates it with one replica.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn create(purpose: &str, partitions: i32) -> anyhow::Result<Self> {
        Self::named(format!("bench-{purpose}-{}", ulid::Ulid::generate().to_string().to_lowercase()), partitions).await
    }

    /// Creates the topic where an engine that reads this one puts its dead letters.
    ///
    /// # Errors
    /// If the broker refuses.
    pub async fn create_dead_letters(&self) -> anyhow::Result<Self> {
        Self::named(format!("{}-dlq", self.name), 1).await
    }

    async fn named(name: String, partitions: i32) -> anyhow::Result<Self> {
        let admin: AdminClient<DefaultClientContext> = kafka()?.create()?;
        let new = NewTopic::new(&name, partitions, TopicReplication::Fixed(1));
        let created = admin.create_topics([&new], &AdminOptions::new()).await?;
        match created.into_iter().next().context("the broker says nothing of the topic")? {
            Ok(_) => Ok(Self { name }),
            Err((_, code)) => anyhow::bail!("cannot create the topic: {code}"),
        }
    }
}

impl Drop for Topic {
    fn drop(&mut self) {
        let name = self.name.clone();
        // A thread of its own: the runtime may be on its way out.
        let deleted = std::thread::spawn(move || -> anyhow::Result<()> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let admin: AdminClient<DefaultClientContext> = kafka()?.create()?;
            runtime.block_on(admin.delete_topics(&[&name], &AdminOptions::new()))?;
            Ok(())
        });
        if !matches!(deleted.join(), Ok(Ok(()))) {
            eprintln!("topic {} was left behind", self.name);
        }
    }
}

/// One number from a query whose only column is `n`, a bigint.
///
/// # Errors
/// The database's.
pub async fn number(connection: &mut AsyncPgConnection, query: &str) -> anyhow::Result<i64> {
    #[derive(diesel::QueryableByName)]
    struct Number {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        n: i64,
    }
    Ok(diesel::sql_query(query).get_result::<Number>(connection).await?.n)
}

/// CPU seconds of the other server processes that serve this database; 0 if the server is not on this machine.
///
/// # Errors
/// The database's.
pub async fn server_cpu(connection: &mut AsyncPgConnection) -> anyhow::Result<f64> {
    #[derive(diesel::QueryableByName)]
    struct Process {
        #[diesel(sql_type = diesel::sql_types::Integer)]
        pid: i32,
    }
    let query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let processes: Vec<Process> = diesel::sql_query(query).load(connection).await?;
    Ok(processes.iter().filter_map(|process| cpu_seconds_of(&process.pid.to_string()).ok()).sum())
}

/// Event counts of all incidents by fingerprint.
///
/// # Errors
/// The database's.
pub async fn counts(connection: &mut AsyncPgConnection) -> anyhow::Result<Vec<(String, i64)>> {
    counts_without(connection, "").await
}

/// The same without those of one project.
///
/// # Errors
/// The database's.
pub async fn counts_without(connection: &mut AsyncPgConnection, project: &str) -> anyhow::Result<Vec<(String, i64)>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        fingerprint: String,
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        event_count: i64,
    }
    let query = "SELECT fingerprint, event_count FROM incidents WHERE project_id <> $1 ORDER BY fingerprint";
    let rows: Vec<Row> = diesel::sql_query(query).bind::<diesel::sql_types::Text, _>(project).load(connection).await?;
    Ok(rows.into_iter().map(|row| (row.fingerprint, row.event_count)).collect())
}

/// Rows inserted and updated since the database was made, by table, and transactions; the server tells them when the
/// writer's connections have ended.
///
/// # Errors
/// The database's.
pub async fn written(connection: &mut AsyncPgConnection) -> anyhow::Result<String> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Text)]
        line: String,
    }
    let query = "SELECT string_agg(line, ', ') AS line FROM ( \
             SELECT format('%s %s+%s (%s hot)', relname, sum(n_tup_ins), sum(n_tup_upd), sum(n_tup_hot_upd)) AS line FROM ( \
                 SELECT regexp_replace(relname, '_(other|p[0-9]+)$', '') AS relname, n_tup_ins, n_tup_upd, n_tup_hot_upd \
                 FROM pg_stat_user_tables) AS t GROUP BY relname HAVING sum(n_tup_ins + n_tup_upd) > 0 \
             UNION ALL SELECT format('%s commits', xact_commit) FROM pg_stat_database \
                 WHERE datname = current_database()) AS lines";
    Ok(diesel::sql_query(query).get_result::<Row>(connection).await?.line)
}
