//! Makes committed records survive a loss of power.
//!
//! The broker opens SQLite with `synchronous = NORMAL`: a commit is in the write-ahead file and not yet on disk. One
//! `fdatasync` of that file after a commit adds what `FULL` would have done. Without it the database, which does sync,
//! could know of records that the log lost, and would skip the new ones at their offsets.

use crate::file::sync_folder;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use tokio::sync::Mutex;

/// The write-ahead file of the log; clones share one state.
#[derive(Clone, Debug)]
pub(super) struct Disk(Arc<State>);

#[derive(Debug)]
struct State {
    wal: PathBuf,
    /// Syncs asked for so far.
    asked: AtomicU64,
    /// Of these, how many a sync has served; the lock lets one sync serve all who wait for it.
    served: Mutex<u64>,
    /// Records that may be visible and not yet on disk.
    writing: AtomicUsize,
    /// The disk has refused once: what it holds is unknown from then on.
    broken: AtomicBool,
}

/// Counted from before a commit until after its sync.
#[derive(Debug)]
pub(super) struct Write<'a>(&'a State);

impl Drop for Write<'_> {
    fn drop(&mut self) {
        self.0.writing.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Disk {
    /// The disk below the database file `database`, whose folder must exist.
    pub(super) fn below(database: &Path) -> io::Result<Self> {
        let mut wal = database.as_os_str().to_owned();
        wal.push("-wal");
        if let Some(folder) = database.parent() {
            sync_folder(folder).map_err(|error| error.source)?;
        }
        Ok(Self(Arc::new(State {
            wal: wal.into(),
            asked: AtomicU64::new(0),
            served: Mutex::new(0),
            writing: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        })))
    }

    /// To be held from before a commit until [`Disk::sync`] has returned.
    pub(super) fn begin_write(&self) -> Write<'_> {
        self.0.writing.fetch_add(1, Ordering::SeqCst);
        Write(&self.0)
    }

    /// True while records may be visible that a loss of power would take away.
    pub(super) fn is_behind(&self) -> bool {
        self.0.writing.load(Ordering::SeqCst) > 0
    }

    /// Returns when everything that was committed before the call is on disk.
    ///
    /// # Errors
    /// What the disk answered. After one refusal every later call fails: nobody can say what is on that disk.
    pub(super) async fn sync(&self) -> io::Result<()> {
        let ticket = self.0.asked.fetch_add(1, Ordering::SeqCst).saturating_add(1);
        let mut served = self.0.served.lock().await;
        if self.0.broken.load(Ordering::SeqCst) {
            return Err(io::Error::other("the disk below the log has failed before"));
        }
        if *served >= ticket {
            return Ok(());
        }
        let upto = self.0.asked.load(Ordering::SeqCst);
        let wal = self.0.wal.clone();
        let synced = tokio::task::spawn_blocking(move || sync_file(&wal)).await.map_err(io::Error::other).flatten();
        if let Err(error) = &synced {
            self.0.broken.store(true, Ordering::SeqCst);
            tracing::error!(%error, path = %self.0.wal.display(), "the disk refused the log; no more records are taken");
        } else {
            *served = upto;
        }
        synced
    }
}

/// A missing write-ahead file means that all of it was moved into the database file, which SQLite syncs itself.
fn sync_file(wal: &Path) -> io::Result<()> {
    match File::options().write(true).open(wal) {
        Ok(file) => file.sync_data(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_sync_serves_all_who_wait() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("db");
        std::fs::write(folder.path().join("db-wal"), b"frames").unwrap();
        let disk = Disk::below(&database).unwrap();
        let turn = disk.0.served.lock().await;
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                tokio::spawn({
                    let disk = disk.clone();
                    async move { disk.sync().await }
                })
            })
            .collect();
        while disk.0.asked.load(Ordering::SeqCst) < 10 {
            tokio::task::yield_now().await;
        }
        drop(turn);
        for waiter in waiting {
            waiter.await.unwrap().unwrap();
        }
        assert_eq!(*disk.0.served.lock().await, 10);
    }

    #[tokio::test]
    async fn after_one_refusal_nothing_is_promised() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::below(&folder.path().join("db")).unwrap();
        let wal = folder.path().join("db-wal");
        std::fs::create_dir(&wal).unwrap();
        disk.sync().await.unwrap_err();
        std::fs::remove_dir(&wal).unwrap();
        disk.sync().await.unwrap_err();
    }

    #[test]
    fn a_write_is_counted_until_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk::below(&folder.path().join("db")).unwrap();
        let write = disk.begin_write();
        assert!(disk.is_behind());
        drop(write);
        assert!(!disk.is_behind());
    }
}
