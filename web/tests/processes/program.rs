//! `signals` as a child process that can be asked to end, frozen and killed.

use crate::wait::until;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// So soon a program must have ended after it was asked to.
pub const ENDS_WITHIN: Duration = Duration::from_secs(10);
/// Lines of its log that a failed test shows.
const SHOWN_LINES: usize = 40;

/// Names and values of the environment that are about Signals.
pub type Environment = Vec<(&'static str, String)>;

/// A running program; killed when dropped.
pub struct Program {
    child: Child,
    log: PathBuf,
}

/// The command line with this environment and nothing of our own that would change what it does.
pub fn command(arguments: &[&str], environment: &Environment) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signals"));
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let ours = ["SIGNALS_", "KAFKA_", "OPENSEARCH_", "DATABASE_URL", "PG", "GRADIENT_"];
        if ours.iter().any(|start| name.starts_with(start)) {
            command.env_remove(name);
        }
    }
    command.args(arguments).envs(environment.iter().map(|(name, value)| (name, value))).stdin(Stdio::null());
    command
}

impl Program {
    /// Starts it. What it says goes to the end of `log`.
    pub fn start(arguments: &[&str], environment: &Environment, log: &Path) -> Self {
        let out = File::options().create(true).append(true).open(log).unwrap();
        let errors = out.try_clone().unwrap();
        let child = command(arguments, environment).stdout(out).stderr(errors).spawn().unwrap();
        Self { child, log: log.to_owned() }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Lines of its log that contain this text.
    pub fn has_said(&self, text: &str) -> usize {
        lines_with(&self.log, text)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// `kill -9`.
    pub fn kill9(mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    /// Waits until it has ended, which it must be about to do.
    pub fn wait(&mut self) {
        self.child.wait().unwrap();
    }

    /// Sends `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        send_signal(self.pid(), name);
    }

    /// SIGTERM; it must end by itself, in time and content.
    pub async fn end(self) {
        self.end_by("TERM").await;
    }

    /// The same by another signal.
    pub async fn end_by(mut self, signal: &str) {
        self.signal(signal);
        let status = self.ended(ENDS_WITHIN).await;
        assert!(status.success(), "asked to end, it ended with {status}");
    }

    /// How it ended by itself.
    pub async fn ended(&mut self, within: Duration) -> ExitStatus {
        until("the end of the program", within, || !self.is_running()).await;
        self.child.wait().unwrap()
    }
}

/// Lines of a log that contain this text; none of one that is not there yet.
pub fn lines_with(log: &Path, text: &str) -> usize {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    log.lines().filter(|line| line.contains(text)).count()
}

impl Drop for Program {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = std::fs::read_to_string(&self.log).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(SHOWN_LINES)..).unwrap_or_default();
            eprintln!("the end of {}:\n{}", self.log.display(), tail.join("\n"));
        }
        // Both fail only for a program that has ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// `kill -NAME PID`.
pub fn send_signal(pid: u32, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
    assert!(status.success(), "kill -{name} {pid}: {status}");
}

/// Processes (zombies have no arguments) whose arguments contain this text.
pub fn processes_with(text: &str) -> Vec<u32> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_string_lossy().parse().ok()?;
            let arguments = std::fs::read(entry.path().join("cmdline")).ok()?;
            String::from_utf8_lossy(&arguments).contains(text).then_some(pid)
        })
        .collect()
}
