//! Servers of one test's own, which it may kill: started and stopped by the project's scripts. Tests of several crates
//! include this file by its path.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra").join(name)
}

/// Ports from which this process takes: at random, because other test processes do the same, and none twice.
static NEXT_PORT: LazyLock<AtomicU16> =
    LazyLock::new(|| AtomicU16::new(u16::try_from(uuid::Uuid::new_v4().as_u128() % 9_998).unwrap()));

/// A port whose successor is free too: Kafka's controller takes that one. Below the ports that the system gives to
/// outgoing connections: while a server is down, a client that keeps knocking at such a port can end up talking to itself.
pub fn free_port() -> u16 {
    loop {
        let port = 20_000 + NEXT_PORT.fetch_add(2, Ordering::Relaxed) % 9_998;
        if [port, port + 1].iter().all(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()) {
            return port;
        }
    }
}

/// One server in a folder of its own.
pub struct Server {
    kind: &'static str,
    port: u16,
    folder: tempfile::TempDir,
    is_frozen: AtomicBool,
}

impl Server {
    pub fn kafka() -> Self {
        Self::start_new("kafka")
    }

    pub fn postgres() -> Self {
        Self::start_new("postgres")
    }

    /// Quicker if `OPENSEARCH_DIST` names a folder with the unpacked server, which all share.
    pub fn opensearch() -> Self {
        Self::start_new("opensearch")
    }

    fn start_new(kind: &'static str) -> Self {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        // The database's user must reach its folder.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let server = Self { kind, port: free_port(), folder, is_frozen: AtomicBool::new(false) };
        server.start();
        server
    }

    pub fn start(&self) {
        self.run(&format!("start-{}.sh", self.kind));
    }

    pub fn stop(&self) {
        self.run(&format!("stop-{}.sh", self.kind));
    }

    fn pid(&self) -> String {
        let pid = match self.kind {
            "postgres" => "data/postmaster.pid".to_owned(),
            kind => format!("{kind}.pid"),
        };
        let text = std::fs::read_to_string(self.folder.path().join(pid)).unwrap();
        text.lines().next().unwrap().trim().to_owned()
    }

    /// Stops its process and those that it has begun, as they stand: connections stay open, and nothing answers any more.
    pub fn freeze(&self) {
        self.is_frozen.store(true, Ordering::Relaxed);
        self.signal_all("-STOP");
    }

    /// Lets them go on.
    pub fn thaw(&self) {
        self.signal_all("-CONT");
        self.is_frozen.store(false, Ordering::Relaxed);
    }

    fn signal_all(&self, signal: &str) {
        let pid = self.pid();
        // "pid (name) state parent ..."; no server of ours has a blank in its name.
        let child =
            |stat: String| (stat.split(' ').nth(3)? == pid).then(|| stat.split(' ').next().map(str::to_owned))?;
        let processes =
            std::fs::read_dir("/proc").unwrap().filter_map(|process| Some(process.ok()?.path().join("stat")));
        let children = processes.filter_map(|stat| child(std::fs::read_to_string(stat).ok()?));
        for pid in std::iter::once(pid.clone()).chain(children) {
            // A child may have ended meanwhile.
            let _ = Command::new("kill").args([signal, &pid]).status();
        }
    }

    /// kill -9, as if the power had gone.
    pub fn kill(&self) {
        assert!(Command::new("kill").args(["-9", &self.pid()]).status().unwrap().success());
        // The threads of a killed process end one after the other; its port is the last that they let go.
        while std::net::TcpStream::connect(self.address()).is_ok() {
            std::thread::yield_now();
        }
    }

    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    pub fn database_url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address())
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    fn run(&self, name: &str) {
        let done = Command::new(script(name))
            .arg(self.folder.path())
            .env("KAFKA_PORT", self.port.to_string())
            .env("POSTGRES_PORT", self.port.to_string())
            .env("OPENSEARCH_PORT", self.port.to_string())
            .env("OPENSEARCH_TRANSPORT_PORT", (self.port + 1).to_string())
            .env("OPENSEARCH_HEAP", "384m")
            .output()
            .unwrap();
        assert!(done.status.success(), "{name}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.is_frozen.load(Ordering::Relaxed) {
            self.thaw();
        }
        if std::thread::panicking() {
            for log in ["kafka.log", "server.log", "logs/console.log"] {
                let text = std::fs::read_to_string(self.folder.path().join(log)).unwrap_or_default();
                let tail = text.lines().rev().take(12).collect::<Vec<_>>();
                eprintln!("{log} of {}, newest first:\n{}", self.address(), tail.join("\n"));
            }
        }
        let stopped = Command::new(script(&format!("stop-{}.sh", self.kind))).arg(self.folder.path()).status();
        if !stopped.is_ok_and(|status| status.success()) {
            eprintln!("the {} of {} was left behind", self.kind, self.address());
        }
    }
}
