//! Files: errors that name the file, and folders with a mode.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What went wrong with which file.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {path}: {source}", path = path.display())]
pub struct FileError {
    /// What was tried, as in "cannot write".
    pub verb: &'static str,
    /// The file or folder that was meant.
    pub path: PathBuf,
    /// What the system answered.
    pub source: io::Error,
}

/// Names the file in an [`io::Error`].
pub(crate) trait AtFile<T> {
    /// The same result, whose error says that `verb` failed on `path`.
    fn at(self, verb: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> AtFile<T> for io::Result<T> {
    fn at(self, verb: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError { verb, path: path.to_owned(), source })
    }
}

/// Creates the folder and its missing parents, all with `mode` whatever the umask says; what exists keeps its mode.
pub(crate) fn create_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        create_folder(parent, mode)?;
    }
    match DirBuilder::new().mode(mode).create(path) {
        Ok(()) => fs::set_permissions(path, Permissions::from_mode(mode)).at("set the mode of", path),
        Err(_) if path.is_dir() => Ok(()),
        Err(error) => Err(error).at("create", path),
    }
}

/// Lets everybody read what is in the folder and run what its owner may run.
pub(crate) fn open_to_all(folder: &Path) -> Result<(), FileError> {
    fs::set_permissions(folder, Permissions::from_mode(0o755)).at("open to all", folder)?;
    for entry in fs::read_dir(folder).at("list", folder)? {
        let path = entry.at("list", folder)?.path();
        // Of the link itself: what it points to is visited as well if it is in the folder.
        let metadata = fs::symlink_metadata(&path).at("look at", &path)?;
        if metadata.is_dir() {
            open_to_all(&path)?;
        } else if metadata.is_file() {
            let runs = if metadata.mode() & 0o100 == 0 { 0 } else { 0o111 };
            fs::set_permissions(&path, Permissions::from_mode(metadata.mode() | 0o444 | runs))
                .at("open to all", &path)?;
        }
    }
    Ok(())
}

/// Makes the names in this folder survive a loss of power.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).at("write to disk", path)
}

/// Removes what killed starts left: every file and folder in `folder` whose name begins with `prefix`. What cannot be
/// removed, because a program of a killed start still writes there, stays until the next time.
pub(crate) fn sweep(folder: &Path, prefix: &str) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        if !entry.file_name().to_string_lossy().starts_with(prefix) {
            continue;
        }
        let path = entry.path();
        let is_folder = entry.file_type().at("look at", &path)?.is_dir();
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        if let Err(error) = removed {
            tracing::warn!(%error, path = %path.display(), "what a killed start left cannot be removed yet");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opening_reaches_everything_and_makes_nothing_runnable_that_was_not() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, inner) = (parent.path().join("a"), parent.path().join("a/b"));
        create_folder(&inner, 0o700).unwrap();
        for (name, mode) in [("program", 0o700), ("data", 0o600)] {
            let path = inner.join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        }
        open_to_all(&folder).unwrap();
        let mode = |path: &str| fs::metadata(folder.join(path)).unwrap().mode() & 0o777;
        assert_eq!((mode(""), mode("b"), mode("b/program"), mode("b/data")), (0o755, 0o755, 0o755, 0o644));
    }

    #[test]
    fn what_killed_starts_left_is_swept_whether_file_or_folder() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        create_folder(&at("creating-1/base"), 0o700).unwrap();
        fs::write(at("creating-1/base/1"), "half").unwrap();
        fs::write(at("creating-password"), "secret").unwrap();
        fs::write(at("data"), "kept").unwrap();
        sweep(folder.path(), "creating-").unwrap();
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        assert_eq!(left.collect::<Vec<_>>(), ["data"]);
    }
}
