//! Small secrets in files that only their owner may read.

use crate::file::{AtFile, FileError, sync_folder};
use std::fs::{self, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A new random secret: 48 hexadecimal digits (192 bits) from the system's generator.
pub fn random() -> String {
    rand::random::<[u8; 24]>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the secret in `path`, without the white space around it; `None` if there is no such file.
///
/// A file that others could read is closed to them.
///
/// # Errors
/// [`FileError`] if the file cannot be read or closed to others.
pub fn read(path: &Path) -> Result<Option<String>, FileError> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).at("read", path),
    };
    if fs::metadata(path).at("read", path)?.permissions().mode() & 0o077 != 0 {
        tracing::warn!(path = %path.display(), "a secret file was open to others; it is closed now");
        fs::set_permissions(path, Permissions::from_mode(0o600)).at("close to others", path)?;
    }
    Ok(Some(text.trim().to_owned()))
}

/// Writes the secret to `path` with mode 0600: whole or not at all, whatever dies meanwhile.
///
/// # Errors
/// [`FileError`] if the folder is missing or not writable.
pub fn write(path: &Path, secret: &str) -> Result<(), FileError> {
    let folder = path.parent().unwrap_or(Path::new("."));
    // Temporary files are born with mode 0600.
    let mut draft = tempfile::NamedTempFile::new_in(folder).at("write in", folder)?;
    draft.write_all(secret.as_bytes()).and_then(|()| draft.as_file().sync_all()).at("write", path)?;
    draft.persist(path).map_err(|error| error.error).at("write", path)?;
    sync_folder(folder)
}

/// The secret in `path`; what `make` says is written there first if there is no such file.
///
/// # Errors
/// Those of [`read`] and [`write`].
pub fn read_or_create(path: &Path, make: impl FnOnce() -> String) -> Result<String, FileError> {
    if let Some(secret) = read(path)? {
        return Ok(secret);
    }
    let secret = make();
    write(path, &secret)?;
    Ok(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn a_secret_is_made_once_and_only_its_owner_may_read_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let first = read_or_create(&path, random).unwrap();
        assert_eq!(first.len(), 48);
        assert_eq!(mode(&path), 0o600);
        assert_eq!(read_or_create(&path, || unreachable!()).unwrap(), first);
    }

    #[test]
    fn a_secret_that_others_could_read_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        fs::write(&path, "by hand\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("by hand"));
        assert_eq!(mode(&path), 0o600);
    }

    #[test]
    fn writing_replaces_the_whole_and_leaves_no_draft() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        write(&path, "a long first secret").unwrap();
        write(&path, "short").unwrap();
        assert_eq!(read(&path).unwrap().as_deref(), Some("short"));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
