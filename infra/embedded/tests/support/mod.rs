//! A process of the test's own that can be killed: the test binary itself, run again for one ignored test.

#![allow(dead_code, clippy::unwrap_used, reason = "each test file uses a part of it")]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Names the data folder to the child.
const FOLDER: &str = "EMBEDDED_TEST_FOLDER";

/// A folder that PostgreSQL's account can pass even when the tests run as root.
pub fn passable_folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    folder
}

/// The data folder, in a child.
pub fn folder() -> PathBuf {
    std::env::var_os(FOLDER).expect("run by the other tests as a process of its own").into()
}

/// A running child and the lines that it prints.
pub struct Process {
    child: Child,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Process {
    /// Runs the ignored test `name` of this binary on the data folder.
    pub fn start(name: &str, folder: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name, "--ignored", "--nocapture", "--test-threads=1"])
            .env(FOLDER, folder)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What follows `word` on the next line that begins with it; other lines are skipped.
    pub fn says(&mut self, word: &str) -> String {
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some(rest) = line.strip_prefix(word) {
                return rest.trim().to_owned();
            }
        }
        panic!("the child ended before it said {word:?}");
    }

    /// Kills it as `kill -9` does, and returns what else it had said after `word`.
    pub fn kill(mut self, word: &str) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        // The last line may have been cut by the kill; it was then not said.
        let lines = self.lines.map_while(Result::ok);
        lines.filter_map(|line| line.strip_prefix(word)?.strip_suffix('.').map(|rest| rest.trim().to_owned())).collect()
    }
}

/// Waits for the condition, 20 s at most; tells how long it took.
pub fn eventually(what: &str, mut condition: impl FnMut() -> bool) -> Duration {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what} did not come about");
        std::thread::yield_now();
    }
    begun.elapsed()
}

/// True while a process has this pid and is no zombie.
pub fn is_alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z')
}

/// Processes whose arguments contain this text.
pub fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(arguments) = std::fs::read(entry.path().join("cmdline")) else { continue };
        let arguments = String::from_utf8_lossy(&arguments).replace('\0', " ");
        if arguments.contains(text) && !entry.file_name().to_string_lossy().starts_with("self") {
            found.push(arguments);
        }
    }
    found
}
