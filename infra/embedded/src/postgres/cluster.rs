//! The cluster: PostgreSQL's word for the folder of one server. It appears whole or not at all.

use super::account::Account;
use super::binaries::Binaries;
use super::{DATABASE, PostgresError, USER};
use crate::data_dir::DataDir;
use crate::file::{AtFile, create_folder, sweep, sync_folder};
use crate::secret;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use uuid::Uuid;

/// The first major version with a locale of its own for Unicode, which needs none from the system.
const FIRST_WITH_BUILTIN_LOCALE: u32 = 17;

/// A cluster that exists, and what it takes to run it.
#[derive(Debug)]
pub(super) struct Cluster {
    /// Holds the cluster and the server's log.
    pub(super) folder: PathBuf,
    pub(super) binaries: Binaries,
    pub(super) account: Account,
    pub(super) password: String,
}

/// The major version of the cluster in `folder`, if there is one.
pub(super) fn major(folder: &Path) -> Result<Option<u32>, PostgresError> {
    let path = folder.join("data/PG_VERSION");
    match fs::read_to_string(&path) {
        Ok(text) => Ok(text.trim().parse().ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Ok(Err(error).at("read", &path)?),
    }
}

impl Cluster {
    /// Opens the cluster in `folder`, created first if there is none.
    pub(super) async fn open(
        data_dir: &DataDir,
        folder: PathBuf,
        binaries: Binaries,
        account: Account,
    ) -> Result<Self, PostgresError> {
        let password = secret::read_or_create(&data_dir.path().join("postgres-password"), secret::random)?;
        let cluster = Self { folder, binaries, account, password };
        sweep(&cluster.folder, "creating-")?;
        match major(&cluster.folder)? {
            None => cluster.create().await?,
            Some(found) if found == cluster.binaries.major => {}
            Some(found) => {
                let (folder, have) = (cluster.folder.clone(), cluster.binaries.major);
                return Err(PostgresError::OtherMajor { folder, found, have });
            }
        }
        Ok(cluster)
    }

    /// The folder that the server is told.
    pub(super) fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// A program of this PostgreSQL, to be run by its account.
    pub(super) fn program(&self, name: &str) -> Command {
        self.account.command(self.binaries.folder.join(name))
    }

    async fn create(&self) -> Result<(), PostgresError> {
        tracing::info!(folder = %self.folder.display(), "creating the database");
        // What a killed start left may be half-made, and its initdb may still be running: never go on with it. A process
        // id would not tell the two apart: in a container each start has the same one.
        let draft = self.folder.join(format!("creating-{}", Uuid::new_v4().simple()));
        create_folder(&draft, 0o700)?;
        self.account.own(&draft).at("hand over", &draft)?;
        self.initdb(&draft).await?;
        self.create_database(&draft).await?;
        fs::rename(&draft, self.data()).at("rename", &draft)?;
        Ok(sync_folder(&self.folder)?)
    }

    async fn initdb(&self, draft: &Path) -> Result<(), PostgresError> {
        let locale: &[&str] = if self.binaries.major >= FIRST_WITH_BUILTIN_LOCALE {
            &["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        } else {
            &["--locale=C"]
        };
        let password = self.password_file()?;
        let mut initdb = self.program("initdb");
        initdb.arg("-D").arg(draft).args(["-U", USER, "-E", "UTF8", "--auth=scram-sha-256", "--pwfile"]);
        initdb.arg(password.path()).args(locale);
        let output = initdb.output().await.map_err(|source| self.cannot_run("initdb", source))?;
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(PostgresError::Create(String::from_utf8_lossy(&said).into_owned()))
    }

    /// A file with the password that the account may read, gone when dropped; not in a folder that others can list.
    fn password_file(&self) -> Result<tempfile::NamedTempFile, PostgresError> {
        let file =
            tempfile::Builder::new().prefix("creating-").tempfile_in(&self.folder).at("write in", &self.folder)?;
        fs::write(file.path(), &self.password).at("write", file.path())?;
        fs::set_permissions(file.path(), Permissions::from_mode(0o600)).at("close to others", file.path())?;
        self.account.own(file.path()).at("hand over", file.path())?;
        Ok(file)
    }

    /// In single-user mode, because the archive has no client.
    async fn create_database(&self, draft: &Path) -> Result<(), PostgresError> {
        let cannot = |source| self.cannot_run("postgres", source);
        let mut single = self.program("postgres");
        single.args(["--single", "-D"]).arg(draft).arg("postgres");
        single.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = single.spawn().map_err(cannot)?;
        if let Some(mut stdin) = child.stdin.take() {
            stdin.write_all(format!("CREATE DATABASE {DATABASE}\n").as_bytes()).await.map_err(cannot)?;
        }
        let output = child.wait_with_output().await.map_err(cannot)?;
        let said = String::from_utf8_lossy(&output.stderr);
        // A statement that fails in this mode does not fail the program.
        if output.status.success() && !said.contains("ERROR:") {
            return Ok(());
        }
        Err(PostgresError::Create(said.into_owned()))
    }

    pub(super) fn cannot_run(&self, program: &str, source: io::Error) -> PostgresError {
        PostgresError::Run { program: self.binaries.folder.join(program), source }
    }
}
