//! The servers that Signals stands on: those that the environment names, else embedded ones.

use crate::config::{KafkaConfig, SignalsConfig, section};
use crate::topics::Layout;
use anyhow::Context;
use rdkafka::ClientConfig;
use schema::database::DatabaseConfig;
use schema::search::SearchIndex;
use search::{OpenSearchConfig, Tantivy};
use std::sync::Arc;

/// Files of the data folder that tell other commands where the embedded servers of a running `signals up` are.
const LOG_ADDRESS: &str = "log-address";
const DATABASE_ADDRESS: &str = "database-address";
/// Folder of the data folder with the embedded index of all events.
const SEARCH: &str = "search";

/// Where log and database are, and what of it lives inside this process.
pub struct Stack {
    /// The database.
    pub database: DatabaseConfig,
    /// The log.
    pub kafka: ClientConfig,
    /// What a consumer of this log should set besides.
    pub consumer_settings: Vec<(String, String)>,
    /// The index of all events; none if this role of a deployment was not told of one.
    pub search: Option<Arc<dyn SearchIndex>>,
    /// How its topics are laid out.
    pub layout: Layout,
    /// What this process started itself, for a person: `embedded PostgreSQL in ...`.
    pub description: Vec<String>,
    #[cfg(feature = "embedded")]
    inside: inside::Inside,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").field("description", &self.description).finish_non_exhaustive()
    }
}

impl Stack {
    /// Of servers that the environment must name: for a role of a deployment.
    ///
    /// # Errors
    /// A sentence that names the missing variable.
    pub fn named() -> anyhow::Result<Self> {
        let database: DatabaseConfig = section("")?;
        let kafka: KafkaConfig = section("")?;
        anyhow::ensure!(
            !database.database_url.is_empty(),
            "set DATABASE_URL; only `signals` and `signals up` bring their own database"
        );
        Ok(Self::of(database, &kafka))
    }

    /// The same, for a role that also needs the log.
    ///
    /// # Errors
    /// A sentence that names the missing variable.
    pub fn named_with_log() -> anyhow::Result<Self> {
        let kafka: KafkaConfig = section("")?;
        anyhow::ensure!(
            !kafka.kafka_brokers.is_empty(),
            "set KAFKA_BROKERS; only `signals` and `signals up` bring their own log"
        );
        Self::named()
    }

    /// The log that the environment names, else that of the `signals up` which runs on the same data folder.
    ///
    /// # Errors
    /// A sentence that says how there could be one.
    pub fn found_log() -> anyhow::Result<ClientConfig> {
        let kafka: KafkaConfig = section("")?;
        let mut client = kafka.client();
        if kafka.kafka_brokers.is_empty() {
            let config: SignalsConfig = section("SIGNALS_")?;
            let found = address(&config, LOG_ADDRESS);
            let brokers = found.context("set KAFKA_BROKERS, or start `signals up` on the same data folder")?;
            client.set("bootstrap.servers", brokers);
        }
        Ok(client)
    }

    /// The same for the database.
    ///
    /// # Errors
    /// A sentence that says how there could be one.
    pub fn found_database() -> anyhow::Result<DatabaseConfig> {
        let database: DatabaseConfig = section("")?;
        if !database.database_url.is_empty() {
            return Ok(database);
        }
        let config: SignalsConfig = section("SIGNALS_")?;
        let found = address(&config, DATABASE_ADDRESS);
        let url = found.context("set DATABASE_URL, or start `signals up` on the same data folder")?;
        Ok(DatabaseConfig::at(&url))
    }

    fn of(database: DatabaseConfig, kafka: &KafkaConfig) -> Self {
        Self {
            database,
            kafka: kafka.client(),
            consumer_settings: Vec::new(),
            search: None,
            layout: Layout::default(),
            description: Vec::new(),
            #[cfg(feature = "embedded")]
            inside: inside::Inside::default(),
        }
    }

    /// The same stack with the search server that the environment names, if it names one. It is not asked anything yet.
    ///
    /// # Errors
    /// A setting that cannot be, by its name.
    pub fn and_named_search(self, config: &SignalsConfig) -> anyhow::Result<Self> {
        Ok(Self { search: named_search(config)?.map(|(index, _)| index), ..self })
    }

    /// Starts what the environment does not name.
    ///
    /// # Errors
    /// What refused to start, in words for a person.
    pub async fn start(config: &SignalsConfig) -> anyhow::Result<Self> {
        let database: DatabaseConfig = section("")?;
        let kafka: KafkaConfig = section("")?;
        let (needs_database, needs_log) = (database.database_url.is_empty(), kafka.kafka_brokers.is_empty());
        let mut stack = Self::of(database, &kafka);
        if needs_database || needs_log {
            stack.embed(config, needs_database, needs_log).await?;
        }
        if !needs_log {
            stack.description.insert(0, format!("log        Kafka at {}", kafka.kafka_brokers));
        }
        if !needs_database {
            stack.description.push("database   the PostgreSQL of DATABASE_URL".to_owned());
        }
        let (search, place) = match named_search(config)? {
            Some(named) => named,
            None => embedded_search(config)?,
        };
        stack.search = Some(search);
        stack.description.push(format!("search     {place}"));
        Ok(stack)
    }

    #[cfg(not(feature = "embedded"))]
    async fn embed(&mut self, _: &SignalsConfig, _: bool, _: bool) -> anyhow::Result<()> {
        anyhow::bail!("this build has no embedded servers: set DATABASE_URL and KAFKA_BROKERS")
    }

    #[cfg(feature = "embedded")]
    async fn embed(&mut self, config: &SignalsConfig, database: bool, log: bool) -> anyhow::Result<()> {
        use embedded::log::{EmbeddedLog, PARTITIONS};
        let inside = inside::Inside::start(config, database, log).await?;
        if let Some(postgres) = &inside.postgres {
            self.database = DatabaseConfig::at(postgres.url());
            embedded::secret::write(&config.data_dir.join(DATABASE_ADDRESS), postgres.url())?;
            self.description.push(format!("database   embedded PostgreSQL in {}", postgres.folder().display()));
        }
        if let Some(log) = &inside.log {
            self.kafka.set("bootstrap.servers", log.brokers());
            embedded::secret::write(&config.data_dir.join(LOG_ADDRESS), log.brokers())?;
            let settings = EmbeddedLog::consumer_settings().iter();
            self.consumer_settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            self.layout = Layout { partitions: PARTITIONS, replication: 1 };
            self.description.insert(0, format!("log        embedded, at {}", log.brokers()));
        }
        self.inside = inside;
        Ok(())
    }

    /// Ends what this process started; what was acknowledged is on disk.
    ///
    /// # Errors
    /// The first server that did not end cleanly.
    pub async fn stop(self) -> anyhow::Result<()> {
        #[cfg(feature = "embedded")]
        self.inside.stop().await.context("an embedded server did not end cleanly")?;
        Ok(())
    }
}

/// The index that the environment names, and where it is in words.
fn named_search(config: &SignalsConfig) -> anyhow::Result<Option<(Arc<dyn SearchIndex>, String)>> {
    let server: OpenSearchConfig = section("")?;
    if server.opensearch_url.trim().is_empty() {
        return Ok(None);
    }
    let index = search::OpenSearch::new(&server, config.search_retention_days.get())?;
    Ok(Some((Arc::new(index), format!("OpenSearch at {}", server.place()))))
}

/// The index of the data folder.
fn embedded_search(config: &SignalsConfig) -> anyhow::Result<(Arc<dyn SearchIndex>, String)> {
    #[cfg(feature = "embedded")]
    embedded::data_dir::make(&config.data_dir)?;
    let folder = config.data_dir.join(SEARCH);
    let index =
        Tantivy::open(&folder).with_context(|| format!("cannot open the search index in {}", folder.display()))?;
    Ok((Arc::new(index), format!("tantivy in {}", folder.display())))
}

/// The demo project's key: of the environment, else of the data folder, where a random one is kept from the first
/// start on.
///
/// # Errors
/// The data folder's.
pub fn seed_key(config: &SignalsConfig) -> anyhow::Result<String> {
    if let Some(key) = config.named_key() {
        anyhow::ensure!((8..=256).contains(&key.len()), "SIGNALS_SEED_API_KEY must have 8 to 256 characters");
        return Ok(key.to_owned());
    }
    #[cfg(feature = "embedded")]
    {
        let path = config.data_dir.join("demo-api-key");
        embedded::data_dir::make(&config.data_dir)?;
        Ok(embedded::secret::read_or_create(&path, crate::keys::generate_key)?)
    }
    #[cfg(not(feature = "embedded"))]
    anyhow::bail!("set SIGNALS_SEED_API_KEY to the key that the demo project shall have")
}

/// The key that the data folder holds, if there is one: so that `signals traffic` needs no words.
pub fn known_key(config: &SignalsConfig) -> Option<String> {
    if let Some(key) = config.named_key() {
        return Some(key.to_owned());
    }
    let key = std::fs::read_to_string(config.data_dir.join("demo-api-key")).ok()?;
    Some(key.trim().to_owned()).filter(|key| !key.is_empty())
}

/// What a file of the data folder says; one that is left from a process that was killed leads to a server that does not
/// answer, which whoever asks it will say.
fn address(config: &SignalsConfig, file: &str) -> Option<String> {
    let text = std::fs::read_to_string(config.data_dir.join(file)).ok()?;
    Some(text.trim().to_owned()).filter(|text| !text.is_empty())
}

#[cfg(feature = "embedded")]
mod inside {
    use crate::config::SignalsConfig;
    use embedded::data_dir::{DataDir, DataDirError};
    use embedded::log::EmbeddedLog;
    use embedded::postgres::{EmbeddedPostgres, PostgresConfig};
    use std::time::{Duration, Instant};

    const LOCK_PATIENCE: Duration = Duration::from_secs(2);

    /// The servers of this process.
    #[derive(Default)]
    pub(super) struct Inside {
        pub(super) log: Option<EmbeddedLog>,
        pub(super) postgres: Option<EmbeddedPostgres>,
    }

    /// A process that was just killed may still be on its way out: its lock is waited for a moment.
    async fn open(config: &SignalsConfig) -> Result<DataDir, DataDirError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match DataDir::open(&config.data_dir) {
                Err(DataDirError::InUse { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                done => return done,
            }
        }
    }

    impl Inside {
        pub(super) async fn start(config: &SignalsConfig, database: bool, log: bool) -> anyhow::Result<Self> {
            let folder = open(config).await?;
            let settings = PostgresConfig::default();
            let postgres = async {
                match database {
                    true => Ok::<_, anyhow::Error>(Some(EmbeddedPostgres::start(&folder, &settings).await?)),
                    false => Ok(None),
                }
            };
            let log = async {
                match log {
                    true => Ok(Some(EmbeddedLog::start(&folder).await?)),
                    false => Ok(None),
                }
            };
            let (postgres, log) = tokio::try_join!(postgres, log)?;
            Ok(Self { log, postgres })
        }

        pub(super) async fn stop(self) -> anyhow::Result<()> {
            let log = match self.log {
                Some(log) => log.stop().await,
                None => Ok(()),
            };
            if let Some(postgres) = self.postgres {
                postgres.stop().await?;
            }
            Ok(log?)
        }
    }
}
