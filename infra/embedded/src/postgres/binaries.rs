//! Which server to run: the pinned one from the cache or the network, else one that is installed.

use super::account::Account;
use super::{PostgresError, archive};
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The oldest major version whose SQL we may count on.
const OLDEST: u32 = 15;
/// Programs that a server's folder must have.
const PROGRAMS: [&str; 2] = ["initdb", "postgres"];

/// Where the running server comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The pinned version, fetched by us.
    Fetched {
        /// As in `18.4.0`.
        version: &'static str,
    },
    /// A server that this machine already had.
    Installed {
        /// Its major version.
        major: u32,
        /// The folder of its programs.
        folder: PathBuf,
    },
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetched { version } => write!(f, "PostgreSQL {version}, fetched"),
            Self::Installed { major, folder } => write!(f, "PostgreSQL {major}, installed in {}", folder.display()),
        }
    }
}

/// The programs of one PostgreSQL.
#[derive(Clone, Debug)]
pub(super) struct Binaries {
    pub(super) folder: PathBuf,
    pub(super) major: u32,
    pub(super) source: Source,
}

/// Finds the programs; `wanted` is the major version of a cluster that already exists.
pub(super) async fn find(cache: &Path, wanted: Option<u32>, account: &Account) -> Result<Binaries, PostgresError> {
    let mut reason = match wanted {
        Some(major) if major != archive::MAJOR => format!("the database needs version {major}"),
        _ => match fetched(cache, account).await {
            Ok(binaries) => return Ok(binaries),
            Err(error) => error.to_string(),
        },
    };
    let binaries = installed(&candidates(wanted).await, wanted).await;
    let Some(binaries) = binaries else {
        reason.push_str("; and none that would do is installed");
        return Err(PostgresError::NoBinaries(reason));
    };
    tracing::warn!(reason, source = %binaries.source, "taking an installed PostgreSQL");
    Ok(binaries)
}

async fn fetched(cache: &Path, account: &Account) -> Result<Binaries, PostgresError> {
    let home = archive::home(cache);
    if !archive::is_unpacked(&home) {
        archive::fetch(cache).await?;
    }
    let folder = home.join("bin");
    account.reach(&folder).await?;
    let source = Source::Fetched { version: archive::VERSION };
    Ok(Binaries { folder, major: archive::MAJOR, source })
}

/// The first folder that holds a server of the wanted version, or of any that will do.
async fn installed(folders: &[PathBuf], wanted: Option<u32>) -> Option<Binaries> {
    for folder in folders {
        if let Some(major) = major_of(folder).await
            && wanted.map_or(major >= OLDEST, |wanted| wanted == major)
        {
            let source = Source::Installed { major, folder: folder.clone() };
            return Some(Binaries { folder: folder.clone(), major, source });
        }
    }
    None
}

/// Where packages of the usual systems put a server, the newest first, and where the user's path leads.
async fn candidates(wanted: Option<u32>) -> Vec<PathBuf> {
    let majors = wanted.map_or_else(|| (OLDEST..=archive::MAJOR + 2).rev().collect(), |major| vec![major]);
    let mut folders: Vec<PathBuf> = majors
        .iter()
        .flat_map(|major| {
            [
                format!("/usr/lib/postgresql/{major}/bin"),
                format!("/usr/pgsql-{major}/bin"),
                format!("/opt/homebrew/opt/postgresql@{major}/bin"),
                format!("/usr/local/opt/postgresql@{major}/bin"),
                format!("/Applications/Postgres.app/Contents/Versions/{major}/bin"),
            ]
        })
        .map(PathBuf::from)
        .collect();
    if let Ok(output) = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output().await {
        folders.push(String::from_utf8_lossy(&output.stdout).trim().into());
    }
    folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
    folders
}

/// The major version of the server in this folder, if it has all that we need.
async fn major_of(folder: &Path) -> Option<u32> {
    if !PROGRAMS.iter().all(|program| folder.join(program).is_file()) {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").stderr(Stdio::null()).output().await.ok()?;
    parse_major(std::str::from_utf8(&output.stdout).ok()?)
}

/// `18` of `postgres (PostgreSQL) 18.4`, or of `... 19beta1`.
fn parse_major(version: &str) -> Option<u32> {
    let (_, number) = version.split_once("(PostgreSQL) ")?;
    number.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    fn pretend(parent: &Path, name: &str, version: &str) -> PathBuf {
        let folder = parent.join(name);
        fs::create_dir(&folder).unwrap();
        for program in PROGRAMS {
            let path = folder.join(program);
            fs::write(&path, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        folder
    }

    #[tokio::test]
    async fn an_installed_server_must_be_new_enough_and_fit_the_database() {
        let parent = tempfile::tempdir().unwrap();
        let folders = [
            parent.path().join("missing"),
            pretend(parent.path(), "old", "14.9 (Debian 14.9-1)"),
            pretend(parent.path(), "new", "16.2"),
            pretend(parent.path(), "newer", "17beta1"),
        ];
        let major = async |wanted| installed(&folders, wanted).await.map(|found| found.major);
        assert_eq!(major(None).await, Some(16));
        assert_eq!(major(Some(17)).await, Some(17));
        assert_eq!(major(Some(15)).await, None);
        assert_eq!(major(Some(14)).await, Some(14), "a database that exists decides");
    }
}
