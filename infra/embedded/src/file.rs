//! Files: errors that name the file, and folders with a mode.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
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

/// Creates the folder and its missing parents, all with `mode`; an existing folder keeps its own mode.
pub(crate) fn create_folder(path: &Path, mode: u32) -> Result<(), FileError> {
    DirBuilder::new().recursive(true).mode(mode).create(path).at("create", path)
}

/// Makes the names in this folder survive a loss of power.
pub(crate) fn sync_folder(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|folder| folder.sync_all()).at("write to disk", path)
}

/// Removes what killed starts left: every entry of `folder` whose name begins with `prefix`.
pub(crate) fn sweep(folder: &Path, prefix: &str) -> Result<(), FileError> {
    for entry in fs::read_dir(folder).at("list", folder)? {
        let entry = entry.at("list", folder)?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            fs::remove_dir_all(entry.path()).at("remove", &entry.path())?;
        }
    }
    Ok(())
}
