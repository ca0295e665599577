//! A lock file that names its holder.

use super::Holder;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::Path;

/// Held until dropped; the kernel ends it however the process dies.
#[derive(Debug)]
pub(super) struct Lock(File);

impl Lock {
    /// Takes the lock without waiting, or says who holds it.
    pub(super) fn take(path: &Path) -> io::Result<Result<Self, Holder>> {
        let mut file = File::options().create(true).read(true).write(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                writeln!(file, "{}", std::process::id())?;
                Ok(Ok(Self(file)))
            }
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.read_to_string(&mut text)?;
                Ok(Err(text.trim().parse().map_or(Holder::Unknown, Holder::Pid)))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An empty file says that the last holder left in order; a refusal here changes nothing for the next one.
        let emptied = self.0.rewind().and_then(|()| self.0.set_len(0));
        if let Err(error) = emptied {
            tracing::debug!(%error, "the lock file keeps the pid of its last holder");
        }
    }
}
