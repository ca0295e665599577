//! The program itself: what it shows on a port of its own, and what it says to settings that cannot be meant.
#![allow(clippy::unwrap_used, clippy::panic)]

use schema::testing::TestDatabase;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Ended when the test ends, however it ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; the test then says so.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn program() -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_signals"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_") || name.starts_with("SIGNALS_")) {
        program.env_remove(name);
    }
    program
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

async fn answer(url: &str, process: &mut Process) -> (u16, String) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(answer) = reqwest::get(url).await {
            return (answer.status().as_u16(), answer.text().await.unwrap());
        }
        assert!(process.0.try_wait().unwrap().is_none(), "it ended");
        assert!(Instant::now() < deadline, "no answer from {url}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[actix_web::test]
async fn a_process_shows_health_and_metrics_on_the_port_that_it_is_given() {
    let database = TestDatabase::create().await;
    let (core, metrics) = (free_port(), free_port());
    let started = program()
        .arg("core")
        .env("DATABASE_URL", database.url())
        .env("SIGNALS_CORE_PORT", core.to_string())
        .env("SIGNALS_METRICS_PORT", metrics.to_string())
        .stderr(Stdio::null())
        .spawn();
    let mut process = Process(started.unwrap());
    for port in [metrics, core] {
        let (status, text) = answer(&format!("http://127.0.0.1:{port}/metrics"), &mut process).await;
        assert_eq!(status, 200);
        assert!(text.contains("\nsignals_database_connections{state=\"most\"} 16\n"), "{text}");
        for path in ["livez", "readyz", "healthz"] {
            assert_eq!(answer(&format!("http://127.0.0.1:{port}/{path}"), &mut process).await.0, 200, "{port} {path}");
        }
    }
    assert_eq!(answer(&format!("http://127.0.0.1:{metrics}/v1/incidents"), &mut process).await.0, 404);
}

#[test]
fn a_setting_that_cannot_be_meant_is_named_before_anything_starts() {
    for (name, value) in [
        ("SIGNALS_LOG_FORMAT", "xml"),
        ("SIGNALS_LOG", "=,=,="),
        #[cfg(feature = "otlp")]
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
    ] {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
        let ended = program().arg("migrate").envs([endpoint, (name, value)]).output().unwrap();
        let said = String::from_utf8(ended.stderr).unwrap();
        assert!(!ended.status.success() && said.contains(name), "{name}: {said}");
    }
}
