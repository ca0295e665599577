//! Who runs the server: ourselves, or as root somebody else, because PostgreSQL refuses to run as root.

use super::PostgresError;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use tokio::process::Command;

/// The account that owns the cluster and runs every program of PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Account {
    /// The one that this process has.
    Own,
    /// Another one, because this process is root.
    Other {
        /// As its owner would say it.
        name: String,
        uid: u32,
        gid: u32,
    },
}

impl Account {
    /// As root: the owner of the cluster `data` if there is one, else `postgres`, else `nobody`, which initdb can look up.
    pub(super) async fn choose(data: &Path) -> Result<Self, PostgresError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Own);
        }
        if let Ok(owner) = fs::metadata(data)
            && owner.uid() != 0
        {
            return Ok(Self::Other { name: format!("uid {}", owner.uid()), uid: owner.uid(), gid: owner.gid() });
        }
        for name in ["postgres", "nobody"] {
            if let (Some(uid), Some(gid)) = (id("-u", name).await, id("-g", name).await)
                && uid != 0
            {
                return Ok(Self::Other { name: name.into(), uid, gid });
            }
        }
        Err(PostgresError::NoAccount)
    }

    /// A command that runs as this account, in no particular folder and without our `PG*` variables.
    pub(super) fn command(&self, program: impl AsRef<Path>) -> Command {
        let mut command = Command::new(program.as_ref());
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command.env("LC_ALL", "C").env("TZ", "UTC").current_dir("/").stdin(Stdio::null()).kill_on_drop(false);
        if let Self::Other { uid, gid, .. } = self {
            // The standard library drops the supplementary groups as well.
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Gives a file or folder to this account.
    pub(super) fn own(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)),
        }
    }

    /// `Ok` if this account can get to the folder, else the first folder on the way that it cannot pass.
    pub(super) async fn reach(&self, folder: &Path) -> Result<(), PostgresError> {
        let Self::Other { name, .. } = self else { return Ok(()) };
        if self.enters(folder).await? {
            return Ok(());
        }
        let mut way: Vec<PathBuf> = folder.ancestors().map(Path::to_owned).collect();
        way.reverse();
        for step in way {
            if !self.enters(&step).await? {
                return Err(PostgresError::Unreachable { account: name.clone(), blocked: step });
            }
        }
        Ok(())
    }

    /// Asks the system itself, which also knows of ACLs and mounts.
    async fn enters(&self, folder: &Path) -> Result<bool, PostgresError> {
        let program = PathBuf::from("/bin/sh");
        let status = self
            .command(&program)
            .args(["-c", "cd -- \"$1\"", "sh"])
            .arg(folder)
            .stderr(Stdio::null())
            .stdout(Stdio::null())
            .status()
            .await
            .map_err(|source| PostgresError::Run { program, source })?;
        Ok(status.success())
    }
}

async fn id(which: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([which, name]).stderr(Stdio::null()).output().await.ok()?;
    std::str::from_utf8(&output.stdout).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn an_ordinary_user_runs_the_server_itself_and_root_does_not() {
        let account = Account::choose(Path::new("/nowhere")).await.unwrap();
        assert_eq!(account == Account::Own, !rustix::process::geteuid().is_root());
    }

    #[tokio::test]
    async fn root_runs_the_server_as_the_owner_of_its_data() {
        let folder = tempfile::tempdir().unwrap();
        if rustix::process::geteuid().is_root() {
            chown(folder.path(), Some(12_345), Some(54_321)).unwrap();
            let account = Account::choose(folder.path()).await.unwrap();
            assert!(matches!(account, Account::Other { uid: 12_345, gid: 54_321, .. }), "{account:?}");
        } else {
            assert_eq!(Account::choose(folder.path()).await.unwrap(), Account::Own);
        }
    }

    #[tokio::test]
    async fn a_closed_folder_on_the_way_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let (closed, inner) = (parent.path().join("closed"), parent.path().join("closed/inner"));
        fs::create_dir_all(&inner).unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o711)).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        let account = Account::choose(Path::new("/nowhere")).await.unwrap();
        let reached = account.reach(&inner).await;
        if account == Account::Own {
            reached.unwrap();
        } else {
            let refusal = reached.unwrap_err().to_string();
            assert!(refusal.contains(&format!("cannot pass {}:", closed.display())), "{refusal}");
            fs::set_permissions(&closed, Permissions::from_mode(0o711)).unwrap();
            fs::set_permissions(&inner, Permissions::from_mode(0o711)).unwrap();
            account.reach(&inner).await.unwrap();
        }
    }
}
