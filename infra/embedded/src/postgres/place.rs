//! Where the cluster lives: below the data folder, or as root in a refuge that the server's account can reach.

use super::account::Account;
use super::{PostgresConfig, PostgresError};
use crate::data_dir::DataDir;
use crate::file::{AtFile, create_folder};
use std::fs;
use std::io;
use std::path::PathBuf;

/// Passed through by all, listed by none.
const MODE: u32 = 0o711;

/// The folder of the cluster, created if need be.
///
/// The refuge is chosen once and remembered in the data folder; it carries the data folder's identity in its name, so
/// that a data folder made anew never meets the database of an old one.
pub(super) async fn choose(
    data_dir: &DataDir,
    config: &PostgresConfig,
    account: &Account,
) -> Result<PathBuf, PostgresError> {
    let folder = current(data_dir)?;
    create_folder(&folder, MODE)?;
    let Err(refusal) = account.reach(&folder).await else { return Ok(folder) };
    // A cluster that is there already is not given up for an empty one because its folder cannot be reached today.
    if folder != default(data_dir) || folder.join("data").exists() {
        return Err(refusal);
    }
    let refuge = config.refuge_dir.join(format!("postgres-{}", data_dir.identity().simple()));
    let reached = match create_folder(&refuge, MODE) {
        Ok(()) => account.reach(&refuge).await.is_ok(),
        Err(_) => false,
    };
    if !reached {
        return Err(refusal);
    }
    fs::remove_dir(&folder).at("remove", &folder)?;
    crate::secret::write(&note(data_dir), &refuge.to_string_lossy())?;
    tracing::warn!(reason = %refusal, folder = %refuge.display(), "the database is kept outside of the data folder");
    Ok(refuge)
}

/// The folder as it was chosen before, or as it would be chosen first.
pub(super) fn current(data_dir: &DataDir) -> Result<PathBuf, PostgresError> {
    let note = note(data_dir);
    match fs::read_to_string(&note) {
        Ok(text) => Ok(PathBuf::from(text.trim())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(default(data_dir)),
        Err(error) => Ok(Err(error).at("read", &note)?),
    }
}

fn default(data_dir: &DataDir) -> PathBuf {
    data_dir.path().join("postgres")
}

/// The file in which the refuge is remembered.
fn note(data_dir: &DataDir) -> PathBuf {
    data_dir.path().join("postgres-is-at")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    #[tokio::test]
    async fn as_root_below_a_closed_folder_the_refuge_is_taken_and_kept() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o711)).unwrap();
        let closed = parent.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
        let data_dir = DataDir::open(&closed.join("data")).unwrap();
        let config = PostgresConfig { refuge_dir: parent.path().join("refuge"), ..PostgresConfig::default() };
        let account = Account::choose(Path::new("/nowhere")).await.unwrap();
        let chosen = choose(&data_dir, &config, &account).await.unwrap();
        assert_eq!(chosen.starts_with(&config.refuge_dir), account != Account::Own);
        fs::set_permissions(&closed, Permissions::from_mode(0o711)).unwrap();
        assert_eq!(choose(&data_dir, &config, &account).await.unwrap(), chosen, "the choice stays");
    }

    #[tokio::test]
    async fn a_cluster_that_cannot_be_reached_any_more_is_not_replaced_by_an_empty_one() {
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o711)).unwrap();
        let data_dir = DataDir::open(&parent.path().join("open/data")).unwrap();
        let config = PostgresConfig { refuge_dir: parent.path().join("refuge"), ..PostgresConfig::default() };
        let account = Account::choose(Path::new("/nowhere")).await.unwrap();
        let chosen = choose(&data_dir, &config, &account).await.unwrap();
        assert_eq!(chosen, default(&data_dir));
        fs::create_dir(chosen.join("data")).unwrap();
        let open = parent.path().join("open");
        fs::set_permissions(&open, Permissions::from_mode(0o700)).unwrap();
        let again = choose(&data_dir, &config, &account).await;
        // Only root has another account that can be shut out.
        assert_eq!(again.is_err(), account != Account::Own, "{again:?}");
        assert!(!note(&data_dir).exists());
        fs::set_permissions(&open, Permissions::from_mode(0o711)).unwrap();
        assert_eq!(choose(&data_dir, &config, &account).await.unwrap(), chosen);
    }
}
