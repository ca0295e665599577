//! What one Signals stands on, in a test of its own: embedded servers, or a real Kafka and PostgreSQL.

use crate::api::Api;
use crate::program::{Environment, Program, command, lines_with, processes_with};
use crate::servers::{Server, free_port};
use crate::wait::{eventually, until};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::database::DatabaseConfig;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant};

/// The demo project's key, with all scopes.
pub const KEY: &str = "sig_the-key-of-the-demo-project";
/// A first start may have to fetch the server of the database.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// For the short commands.
const COMMAND_WITHIN: Duration = Duration::from_secs(60);

/// The servers of a stack.
pub enum Servers {
    /// Inside the program.
    Embedded,
    /// Of the test's own, so that it may stop them, and because topics and groups have fixed names.
    Real {
        /// The log.
        kafka: Server,
        /// The database.
        postgres: Server,
    },
}

/// One Signals: its servers, its ports (fixed, so that a restart keeps the URLs) and its folder. Programs on it must be
/// dropped before it.
pub struct Stack {
    servers: Servers,
    /// A search server of the test's own, if it searches.
    search: Option<Server>,
    folder: tempfile::TempDir,
    ports: [u16; 2],
}

impl Stack {
    pub fn embedded() -> Self {
        Self::on(Servers::Embedded)
    }

    /// With its schema and the demo project.
    pub async fn real() -> Self {
        let (kafka, postgres) = (thread::spawn(Server::kafka), thread::spawn(Server::postgres));
        let (kafka, postgres) = (kafka.join().unwrap(), postgres.join().unwrap());
        let stack = Self::on(Servers::Real { kafka, postgres });
        stack.say(&["migrate"]).await;
        stack.say(&["seed"]).await;
        stack
    }

    /// The same, with a search server.
    pub async fn real_with_search() -> Self {
        let search = thread::spawn(Server::opensearch);
        let mut stack = Self::real().await;
        stack.search = Some(search.join().unwrap());
        stack
    }

    /// The search server.
    pub fn search(&self) -> &Server {
        self.search.as_ref().expect("a stack with a search server")
    }

    fn on(servers: Servers) -> Self {
        let folder = tempfile::tempdir().unwrap();
        // The database's user must pass through it even when the tests run as root.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        let port = free_port();
        Self { servers, search: None, folder, ports: [port, port + 1] }
    }

    /// The real servers.
    pub fn servers(&self) -> (&Server, &Server) {
        match &self.servers {
            Servers::Real { kafka, postgres } => (kafka, postgres),
            Servers::Embedded => panic!("the servers of this stack are embedded"),
        }
    }

    pub fn is_embedded(&self) -> bool {
        matches!(self.servers, Servers::Embedded)
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn environment(&self) -> Environment {
        let mut environment = vec![
            ("SIGNALS_DATA_DIR", self.data_dir().display().to_string()),
            ("SIGNALS_INGEST_PORT", self.ports[0].to_string()),
            ("SIGNALS_CORE_PORT", self.ports[1].to_string()),
            ("SIGNALS_SEED_API_KEY", KEY.to_owned()),
        ];
        if let Servers::Real { kafka, postgres } = &self.servers {
            environment.push(("KAFKA_BROKERS", kafka.address()));
            environment.push(("DATABASE_URL", postgres.database_url()));
        }
        if let Some(search) = &self.search {
            environment.push(("OPENSEARCH_URL", search.url()));
        }
        environment
    }

    /// Starts every role in one process; it is not waited for.
    pub fn start(&self) -> Program {
        if self.is_embedded() { self.run("signals", &[]) } else { self.run("signals", &["run", "ingest,core,engine"]) }
    }

    /// Starts every role in one process and waits until it wants work.
    pub async fn up(&self) -> Program {
        let mut program = self.start();
        self.ready(&mut program).await;
        program
    }

    /// Starts a program under a name for its log.
    pub fn run(&self, name: &str, arguments: &[&str]) -> Program {
        self.run_with(name, arguments, &[])
    }

    /// The same, with more in its environment.
    pub fn run_with(&self, name: &str, arguments: &[&str], more: &[(&'static str, &str)]) -> Program {
        let mut environment = self.environment();
        environment.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Program::start(arguments, &environment, &self.folder.path().join(format!("{name}.log")))
    }

    /// Lines that contain this text in the log of all programs that had this name so far.
    pub fn has_said(&self, name: &str, text: &str) -> usize {
        lines_with(&self.folder.path().join(format!("{name}.log")), text)
    }

    /// Waits until both APIs say that they want work; returns how long that took.
    pub async fn ready(&self, program: &mut Program) -> Duration {
        let begun = Instant::now();
        let api = self.api();
        eventually("readiness", READY_WITHIN, async || {
            assert!(program.is_running(), "the program ended instead of starting");
            api.readiness().await
        })
        .await;
        begun.elapsed()
    }

    /// Runs a short command to its end. Its environment names the database, also an embedded one.
    pub async fn output(&self, arguments: &[&str], environment: &Environment) -> Output {
        let mut command = tokio::process::Command::from(command(arguments, environment));
        let output = command.kill_on_drop(true).output();
        tokio::time::timeout(COMMAND_WITHIN, output).await.expect("a command that ends").unwrap()
    }

    /// The same; it must succeed. Returns what it printed.
    pub async fn say(&self, arguments: &[&str]) -> String {
        let mut environment = self.environment();
        environment.push(("DATABASE_URL", self.database_url()));
        self.say_in(arguments, &environment).await
    }

    /// The same, where an embedded stack is found as a person finds it: by its folder.
    pub async fn say_here(&self, arguments: &[&str]) -> String {
        self.say_in(arguments, &self.environment()).await
    }

    async fn say_in(&self, arguments: &[&str], environment: &Environment) -> String {
        let output = self.output(arguments, environment).await;
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Base of the core API.
    pub fn core_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[1])
    }

    /// The APIs, with the demo project's key.
    pub fn api(&self) -> Api {
        Api::new(format!("http://127.0.0.1:{}", self.ports[0]), self.core_url(), KEY)
    }

    /// Makes another project and a key for it, and returns the APIs with that key.
    pub async fn project(&self, id: &str) -> Api {
        let statement = format!("INSERT INTO projects (id, org_id, name) VALUES ('{id}', 'org_demo', '{id}')");
        diesel::sql_query(statement).execute(&mut self.connect().await.unwrap()).await.unwrap();
        let said = self.say(&["keys", "create", "--project", id, "--scopes", "ingest,read,write"]).await;
        self.api().with_key(said.lines().next().unwrap())
    }

    /// Where the database is. An embedded one tells by its files, and only while it runs.
    pub fn database_url(&self) -> String {
        match &self.servers {
            Servers::Real { postgres, .. } => postgres.database_url(),
            Servers::Embedded => {
                let password = std::fs::read_to_string(self.data_dir().join("postgres-password")).unwrap();
                let port = postmaster_line(&self.embedded_postgres(), 3).unwrap();
                format!("postgres://postgres:{}@127.0.0.1:{port}/signals", password.trim())
            }
        }
    }

    fn embedded_postgres(&self) -> PathBuf {
        let elsewhere = std::fs::read_to_string(self.data_dir().join("postgres-is-at"));
        elsewhere.map_or_else(|_| self.data_dir().join("postgres"), |path| path.trim().into())
    }

    /// The process id of the embedded database; none while there is no server.
    pub fn embedded_postgres_pid(&self) -> Option<u32> {
        postmaster_line(&self.embedded_postgres(), 0)?.parse().ok()
    }

    pub async fn connect(&self) -> Result<AsyncPgConnection, String> {
        let config = DatabaseConfig::at(self.database_url());
        schema::database::connect_once(&config).await.unwrap().map_err(|error| error.to_string())
    }

    /// One number from a query whose only column is `n`.
    pub async fn try_number(&self, query: &str) -> Result<i64, String> {
        #[derive(diesel::QueryableByName)]
        struct Number {
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let row = diesel::sql_query(query).get_result::<Number>(&mut self.connect().await?).await;
        row.map(|row| row.n).map_err(|error| error.to_string())
    }

    /// Rows of a query whose columns are the texts `one` and `two` and the number `n`.
    pub async fn try_table(&self, query: &str) -> Result<Vec<((String, String), i64)>, String> {
        #[derive(diesel::QueryableByName)]
        struct Row {
            #[diesel(sql_type = diesel::sql_types::Text)]
            one: String,
            #[diesel(sql_type = diesel::sql_types::Text)]
            two: String,
            #[diesel(sql_type = diesel::sql_types::BigInt)]
            n: i64,
        }
        let rows = diesel::sql_query(query).load::<Row>(&mut self.connect().await?).await;
        Ok(rows.map_err(|error| error.to_string())?.into_iter().map(|row| ((row.one, row.two), row.n)).collect())
    }

    pub async fn number(&self, query: &str) -> i64 {
        self.try_number(query).await.unwrap()
    }

    /// Every process of an embedded stack names its folder; all must be gone soon after the program.
    pub async fn nothing_is_left(&self) {
        let folder = self.data_dir().display().to_string();
        until("the end of all child processes", Duration::from_secs(5), || processes_with(&folder).is_empty()).await;
    }
}

/// A line of `postmaster.pid`; none while there is no server.
fn postmaster_line(folder: &Path, line: usize) -> Option<String> {
    let text = std::fs::read_to_string(folder.join("data/postmaster.pid")).ok()?;
    text.lines().nth(line).map(|line| line.trim().to_owned())
}

impl Drop for Stack {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("what its programs said is kept in {}", self.folder.path().display());
            self.folder.disable_cleanup(true);
        }
        let folder = self.data_dir().display().to_string();
        let begun = Instant::now();
        // An embedded database ends by itself when its owner is gone; its files can be removed only then.
        while let [pid, ..] = processes_with(&folder)[..] {
            thread::park_timeout(Duration::from_millis(20));
            if begun.elapsed() > Duration::from_secs(20) {
                eprintln!("killing {pid}, which was left behind");
                // It may have ended meanwhile.
                let _ = Command::new("kill").args(["-KILL", &pid.to_string()]).status();
            }
        }
        let elsewhere = self.embedded_postgres();
        if !elsewhere.starts_with(self.folder.path()) {
            std::fs::remove_dir_all(elsewhere).unwrap();
        }
    }
}
