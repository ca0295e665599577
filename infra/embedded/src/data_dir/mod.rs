//! The folder that holds everything of one embedded Signals (`SIGNALS_DATA_DIR`), held by one process at a time.

mod lock;

use crate::file::{AtFile, FileError, create_folder};
use lock::Lock;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use uuid::Uuid;

/// A data folder that this process holds; clones share the lock, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct DataDir {
    path: PathBuf,
    identity: Uuid,
    /// Kept only to be dropped.
    _lock: Arc<Lock>,
}

/// Why a data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another process lives in it.
    #[error("{path} is in use by {holder}; stop it, or set another data folder", path = path.display())]
    InUse {
        /// The data folder.
        path: PathBuf,
        /// Who holds it.
        holder: Holder,
    },
    /// The file that names the folder does not hold a name.
    #[error("{path} does not hold an identity; restore it, or start with an empty data folder", path = .0.display())]
    BadIdentity(PathBuf),
    /// The system refused.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The process that holds a data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It left its process id.
    Pid(u32),
    /// It has the lock and has not yet written who it is.
    Unknown,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pid(pid) => write!(f, "pid {pid}"),
            Self::Unknown => f.write_str("another process"),
        }
    }
}

/// Creates the folder if it is missing, without holding it.
///
/// A new folder is closed to others. As root it can still be passed through by name, because PostgreSQL, which never
/// runs as root, must reach its part; everything in it has its own mode.
///
/// # Errors
/// If it cannot be made.
pub fn make(path: &Path) -> Result<(), FileError> {
    create_folder(path, if rustix::process::geteuid().is_root() { 0o711 } else { 0o700 })
}

impl DataDir {
    /// Creates the folder as [`make`] does if it is missing, and locks it.
    ///
    /// # Errors
    /// [`DataDirError::InUse`] while another process holds the folder; [`DataDirError::File`] if it cannot be made.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        make(path)?;
        let path = fs::canonicalize(path).at("find", path)?;
        let lock = Lock::take(&path.join("lock"))
            .at("lock", &path)?
            .map_err(|holder| DataDirError::InUse { path: path.clone(), holder })?;
        let identity = identity(&path.join("identity"))?;
        Ok(Self { path, identity, _lock: Arc::new(lock) })
    }

    /// The absolute path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A name that this folder got at its creation; a folder that was deleted and made again has another.
    pub fn identity(&self) -> Uuid {
        self.identity
    }
}

fn identity(path: &Path) -> Result<Uuid, DataDirError> {
    let text = crate::secret::read_or_create(path, || Uuid::new_v4().to_string())?;
    Uuid::parse_str(&text).map_err(|_| DataDirError::BadIdentity(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_second_holder_is_told_who_the_first_is() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("deep/data");
        let first = DataDir::open(&path).unwrap();
        let refusal = DataDir::open(&path).unwrap_err();
        assert!(refusal.to_string().contains(&format!("in use by pid {}", std::process::id())), "{refusal}");
        let clone = first.clone();
        drop(first);
        assert!(matches!(DataDir::open(&path), Err(DataDirError::InUse { .. })), "a clone holds the lock");
        drop(clone);
        DataDir::open(&path).unwrap();
    }

    #[test]
    fn the_identity_stays_until_the_folder_is_made_anew() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let first = DataDir::open(&path).unwrap().identity();
        assert_eq!(DataDir::open(&path).unwrap().identity(), first);
        fs::remove_dir_all(&path).unwrap();
        assert_ne!(DataDir::open(&path).unwrap().identity(), first);
    }

    #[test]
    fn a_new_folder_is_closed_to_others() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let _held = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o066, 0);
    }
}
