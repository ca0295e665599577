//! `cargo bench -p benches --bench latency [-- embedded]`: from an event's `POST` to its incident over REST, and until search
//! finds the event, idle.
//!
//! The whole program runs in a process of its own, on a Kafka, a PostgreSQL and an OpenSearch of this bench's own, because topics
//! and groups have fixed names; with `embedded`, on the servers inside it.

use anyhow::Context;
use benches::child;
use benches::http::{Connection, get, post};
use benches::report::{bound, setting};
use benches::usage::load_average;
use benches::watch::{cpu_seconds_of, cpu_seconds_under, memory_kib_of};
use hdrhistogram::Histogram;
use own_servers::{Server, free_port};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::{Child, Command};
use web::run::{Role, roles, up};

#[path = "../infra/own_servers.rs"]
#[allow(clippy::unwrap_used, clippy::panic, dead_code, missing_debug_implementations, reason = "made for tests")]
mod own_servers;

/// The demo project's key.
const KEY: &str = "sig_the-key-of-this-bench";
/// A first start may have to fetch the server of the database.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// An incident that does not show within it has failed.
const SHOWN_WITHIN: Duration = Duration::from_secs(10);
/// How long the idle program is watched.
const IDLE: Duration = Duration::from_secs(10);
/// Rounds that are not measured.
const WARM_UP: u64 = 20;

/// What the child runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Part {
    /// `signals run ingest,core,engine`
    Roles,
    /// `signals run ingest,core,engine,indexer`
    Indexed,
    /// `signals up`
    Up,
}

/// Where an event is looked for.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// The list of incidents; each round has a fingerprint of its own.
    Incidents,
    Search,
}

impl Place {
    fn path(self, code: &str) -> String {
        match self {
            Self::Incidents => format!("/v1/incidents?q={code}"),
            Self::Search => format!("/v1/search/events?q={code}"),
        }
    }

    /// What its answer holds when the event is there. Nothing else has the event's code.
    const fn sign(self) -> &'static str {
        match self {
            Self::Incidents => r#""event_count":1,"#,
            Self::Search => r#""total":1,"#,
        }
    }

    /// Between two looks. A search costs the server more than reading a list: it shall not be busy with the looks.
    const fn looks_every(self) -> Duration {
        match self {
            Self::Incidents => Duration::from_micros(500),
            Self::Search => Duration::from_millis(20),
        }
    }

    /// Rounds that are measured: in search an event shows with the next refresh or commit, once a second.
    const fn rounds(self) -> u64 {
        match self {
            Self::Incidents => 200,
            Self::Search => 50,
        }
    }
}

/// A running Signals; killed with this value.
struct Signals {
    process: Child,
    pid: u32,
    ingest: SocketAddr,
    core: SocketAddr,
}

fn main() -> anyhow::Result<()> {
    match child::part::<Part>()? {
        Some(Part::Roles) => actix_rt::System::new().block_on(roles(&[Role::Ingest, Role::Core, Role::Engine])),
        Some(Part::Indexed) => {
            actix_rt::System::new().block_on(roles(&[Role::Ingest, Role::Core, Role::Engine, Role::Indexer]))
        }
        Some(Part::Up) => actix_rt::System::new().block_on(up()),
        None => {
            let is_embedded = std::env::args().any(|argument| argument == "embedded");
            tokio::runtime::Runtime::new()?.block_on(async {
                tokio::select! {
                    done = all(is_embedded) => done,
                    _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
                }
            })
        }
    }
}

async fn all(is_embedded: bool) -> anyhow::Result<()> {
    if is_embedded { embedded().await } else { real().await }
}

/// On servers of its own.
async fn real() -> anyhow::Result<()> {
    let (kafka, postgres) = (std::thread::spawn(Server::kafka), std::thread::spawn(Server::postgres));
    let (Ok(kafka), Ok(postgres)) = (kafka.join(), postgres.join()) else { anyhow::bail!("a server did not start") };
    let folder = folder()?;
    let servers = [("KAFKA_BROKERS", kafka.address()), ("DATABASE_URL", postgres.database_url())];
    let seed = {
        let url = postgres.database_url();
        async move {
            schema::migrate::migrate(&url).await?;
            let database = schema::database::pool(&schema::database::DatabaseConfig::at(&url), 1)?;
            anyhow::Ok(schema::seed::seed_demo(&mut *database.get().await?, KEY).await?)
        }
    };
    seed.await?;
    let (signals, took) = Signals::start(Part::Roles, folder.path(), &servers).await?;
    println!("real Kafka and PostgreSQL; ready after {:.2} s", took.as_secs_f64());
    let latencies = signals.measure(Place::Incidents).await?;
    report("event to incident over REST", &latencies, 12.0, Some(60.0))?;
    idle(&signals).await?;
    println!("the TypeScript peer, by PEER.md: median 18.8 ms");
    signals.stop().await?;

    // Started only now: a third server beside the others would have been part of what was measured.
    let opensearch = std::thread::spawn(Server::opensearch);
    let Ok(opensearch) = opensearch.join() else { anyhow::bail!("OpenSearch did not start") };
    let with_search = servers.into_iter().chain([("OPENSEARCH_URL", opensearch.url())]).collect::<Vec<_>>();
    let (signals, _) = Signals::start(Part::Indexed, folder.path(), &with_search).await?;
    let latencies = signals.measure(Place::Search).await?;
    report("event to hit in OpenSearch", &latencies, 2_000.0, Some(2_000.0))?;
    signals.stop().await.map(drop)
}

/// On what `signals up` brings.
async fn embedded() -> anyhow::Result<()> {
    let folder = folder()?;
    let (signals, first) = Signals::start(Part::Up, folder.path(), &[]).await?;
    signals.stop().await?;
    let (signals, second) = Signals::start(Part::Up, folder.path(), &[]).await?;
    println!("embedded; ready after {:.2} s at the first start, with an empty data folder", first.as_secs_f64());
    println!("{}", bound("second start", second.as_secs_f64(), 3.0, "s"));
    let latencies = signals.measure(Place::Incidents).await?;
    report("event to incident over REST, embedded", &latencies, 40.0, None)?;
    let latencies = signals.measure(Place::Search).await?;
    report("event to hit in search, embedded", &latencies, 2_000.0, Some(2_000.0))?;
    let used = idle(&signals).await?;
    println!("{}", bound("CPU when idle, embedded", used * 100.0, 10.0, "% of a core"));
    signals.stop().await.map(drop)
}

/// The database's user must pass through it even when this runs as root.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
    Ok(folder)
}

fn report(what: &str, latencies: &Histogram<u64>, median: f64, p99: Option<f64>) -> anyhow::Result<()> {
    let millis = |quantile| Duration::from_micros(latencies.value_at_quantile(quantile)).as_secs_f64() * 1_000.0;
    let quantiles = [0.1, 0.5, 0.9, 0.99].map(millis);
    let [p10, p50, p90, p99_seen] = quantiles;
    println!(
        "{what}, {} rounds: p10 {p10:.2} ms, p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99_seen:.2} ms, most {:.2} ms; load {}",
        latencies.len(),
        millis(1.0),
        load_average()
    );
    println!("{}", bound(&format!("{what}, median"), p50, median, "ms"));
    if let Some(most) = p99 {
        println!("{}", bound(&format!("{what}, p99"), p99_seen, most, "ms"));
    }
    Ok(())
}

/// Watches a program that nobody asks anything. Returns the cores that it used.
async fn idle(signals: &Signals) -> anyhow::Result<f64> {
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (began, own, all) = (Instant::now(), cpu_seconds_of(signals.pid)?, cpu_seconds_under(signals.pid)?);
    tokio::time::sleep(IDLE).await;
    let seconds = began.elapsed().as_secs_f64();
    let used = (cpu_seconds_of(signals.pid)? - own) / seconds;
    let under = (cpu_seconds_under(signals.pid)? - all) / seconds;
    println!(
        "idle for {seconds:.0} s: {:.1} % of a core, {:.1} % with its child processes; {} MiB",
        used * 100.0,
        under * 100.0,
        memory_kib_of(signals.pid)? / 1024
    );
    Ok(used)
}

impl Signals {
    /// Starts it and waits until both its APIs want work. Returns how long that took.
    async fn start(part: Part, folder: &Path, servers: &[(&str, String)]) -> anyhow::Result<(Self, Duration)> {
        let port = free_port();
        let mut command = child::command(&part)?;
        for name in ["KAFKA_BROKERS", "DATABASE_URL", "OPENSEARCH_URL"] {
            command.env_remove(name);
        }
        command
            .envs(servers.iter().map(|(name, value)| (*name, value.as_str())))
            .env("SIGNALS_DATA_DIR", folder.join("data"))
            .env("SIGNALS_INGEST_PORT", port.to_string())
            .env("SIGNALS_CORE_PORT", (port + 1).to_string())
            .env("SIGNALS_SEED_API_KEY", KEY)
            .stdout(std::process::Stdio::null());
        let began = Instant::now();
        let process = command.spawn()?;
        let pid = process.id().context("it ended at once")?;
        let [ingest, core] = [port, port + 1].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut signals = Self { process, pid, ingest, core };
        while !(signals.is_ready(ingest).await && signals.is_ready(core).await) {
            anyhow::ensure!(signals.process.try_wait()?.is_none(), "Signals ended instead of starting");
            anyhow::ensure!(began.elapsed() < READY_WITHIN, "Signals is not ready in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok((signals, began.elapsed()))
    }

    async fn is_ready(&self, address: SocketAddr) -> bool {
        let Ok(mut connection) = Connection::open(address).await else { return false };
        connection.exchange(&get("/readyz", KEY)).await.is_ok_and(|answer| answer.status == 200)
    }

    /// Round after round: one event with a code of its own, then looking until it shows.
    async fn measure(&self, place: Place) -> anyhow::Result<Histogram<u64>> {
        let (mut ingest, mut core) = (Connection::open(self.ingest).await?, Connection::open(self.core).await?);
        let (mut latencies, mut answers) = (Histogram::new(3)?, Histogram::<u64>::new(3)?);
        for round in 0..WARM_UP + setting("BENCH_ROUNDS", place.rounds())? {
            // Not in step with anything that happens once in a while.
            tokio::time::sleep(Duration::from_millis(rand::random_range(20..70))).await;
            let (answered, took) = shown(&mut ingest, &mut core, place, round).await?;
            if round >= WARM_UP {
                answers.record(u64::try_from(answered.as_micros())?)?;
                latencies.record(u64::try_from(took.as_micros())?)?;
            }
        }
        let answered = Duration::from_micros(answers.value_at_quantile(0.5)).as_secs_f64() * 1_000.0;
        println!("of what follows, until the log has the event and 202 is there: p50 {answered:.2} ms");
        Ok(latencies)
    }

    /// SIGTERM, as an operator ends it.
    async fn stop(mut self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        let told = Command::new("kill").args(["-TERM", &self.pid.to_string()]).status().await?;
        anyhow::ensure!(told.success(), "cannot end Signals");
        let ended = tokio::time::timeout(Duration::from_secs(20), self.process.wait()).await;
        let status = ended.context("Signals does not end")??;
        anyhow::ensure!(status.success(), "Signals ended with {status}");
        Ok(began.elapsed())
    }
}

/// Returns after which time the event was answered, and after which it showed.
async fn shown(
    ingest: &mut Connection,
    core: &mut Connection,
    place: Place,
    round: u64,
) -> anyhow::Result<(Duration, Duration)> {
    let code = format!("ROUND_{place:?}_{round:06}_CODE");
    let event = format!(
        r#"{{"event_type":"error","severity":"error","environment":"prod","message":"{code} failed","attributes":{{"route":"/api/checkout","error_code":"{code}"}}}}"#
    );
    let (post, look) = (post("/v1/events", KEY, event.as_bytes()), get(&place.path(&code), KEY));
    let began = Instant::now();
    let status = ingest.exchange(&post).await?.status;
    let answered = began.elapsed();
    anyhow::ensure!(status == 202, "the event was answered with {status}");
    loop {
        let answer = core.exchange(&look).await?;
        anyhow::ensure!(answer.status == 200, "{code} was answered with {}", answer.status);
        let text = String::from_utf8_lossy(answer.body);
        if text.contains(place.sign()) {
            return Ok((answered, began.elapsed()));
        }
        anyhow::ensure!(began.elapsed() < SHOWN_WITHIN, "no sign of {code} in time: {text}");
        tokio::time::sleep(place.looks_every()).await;
    }
}
