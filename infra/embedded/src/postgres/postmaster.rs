//! `postmaster.pid`, the file in which a server says who it is and how far it has come.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// What a server, perhaps a dead one, has written about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Postmaster {
    pub(super) pid: i32,
    pub(super) ready: bool,
}

/// The name of the file.
pub(super) const FILE: &str = "postmaster.pid";

impl Postmaster {
    /// Reads the file of the cluster `data`; `None` while there is none or it is still being written.
    pub(super) fn read(data: &Path) -> Option<Self> {
        Self::parse(&fs::read_to_string(data.join(FILE)).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let pid = text.lines().next()?.trim().parse().ok()?;
        let ready = text.lines().nth(7).is_some_and(|status| status.trim() == "ready");
        Some(Self { pid, ready })
    }

    /// True if the pid is alive and is the server of this cluster.
    ///
    /// Pids are soon used again in containers, perhaps by a stranger who must not be signalled; and a zombie is dead.
    pub(super) async fn is_alive(self, data: &Path) -> bool {
        let arguments = match fs::read(format!("/proc/{}/cmdline", self.pid)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).replace('\0', " "),
            Err(_) if Path::new("/proc/self").exists() => return false,
            Err(_) => ps(self.pid).await,
        };
        arguments.contains("postgres") && arguments.contains(&format!("-D {} ", data.display()))
    }

    /// Sends the signal; an error means that there is nobody any more.
    pub(super) fn signal(self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid) {
            let sent = kill_process(pid, signal);
            tracing::debug!(pid = self.pid, ?signal, ?sent, "signalled a PostgreSQL server");
        }
    }
}

/// The arguments of a process where there is no `/proc`; nothing for a zombie or a missing one.
async fn ps(pid: i32) -> String {
    let mut ps = Command::new("ps");
    ps.args(["-ww", "-o", "args=", "-p", &pid.to_string()]).stderr(Stdio::null());
    ps.output().await.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_as_it_grows() {
        let whole = "4242\n/data\n1764000000\n5433\n\n127.0.0.1\n  1234 5\nready   \n";
        assert_eq!(Postmaster::parse(whole), Some(Postmaster { pid: 4242, ready: true }));
        let starting = whole.replace("ready   ", "starting");
        assert_eq!(Postmaster::parse(&starting), Some(Postmaster { pid: 4242, ready: false }));
        assert_eq!(Postmaster::parse("4242\n/data\n"), Some(Postmaster { pid: 4242, ready: false }));
        assert_eq!(Postmaster::parse(""), None);
    }

    #[tokio::test]
    async fn a_stranger_with_the_pid_of_a_server_is_not_the_server() {
        let own = Postmaster { pid: i32::try_from(std::process::id()).unwrap(), ready: true };
        assert!(!own.is_alive(Path::new("/data")).await);
    }
}
