//! A measured thing in a process of its own: this program again, told its part by arguments.

use anyhow::Context;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::process::Stdio;
use tokio::process::Command;
use tracing_subscriber::EnvFilter;

/// The first argument of a child; `cargo bench` never passes it.
const PART: &str = "--part";

/// The part and its settings, if this process is a child; it then logs to stderr what `SIGNALS_LOG` asks for.
///
/// # Errors
/// If the settings are not what the parent writes.
pub fn part<S: DeserializeOwned>() -> anyhow::Result<Option<S>> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(PART) {
        return Ok(None);
    }
    let settings = arguments.next().context("a part without its settings")?;
    let filter = EnvFilter::try_from_env("SIGNALS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    Ok(Some(serde_json::from_str(&settings)?))
}

/// Runs this program as a child with these settings and reads its result, the last line that it prints. A child that is
/// no longer waited for is killed.
///
/// # Errors
/// If it fails, or prints something else.
pub async fn run<S: Serialize, R: DeserializeOwned>(settings: &S) -> anyhow::Result<R> {
    let output = command(settings)?.stdout(Stdio::piped()).spawn()?.wait_with_output().await?;
    anyhow::ensure!(output.status.success(), "a part of the bench ended with {}", output.status);
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().context("a part of the bench printed nothing")?;
    serde_json::from_str(last).with_context(|| format!("a part of the bench printed {last:?}"))
}

/// The command that [`run`] runs; `BENCH_PROFILE` puts words before it, `perf record -g` say.
///
/// # Errors
/// If the settings cannot be written.
pub fn command<S: Serialize>(settings: &S) -> anyhow::Result<Command> {
    let program = std::env::current_exe()?;
    let profile = std::env::var("BENCH_PROFILE").unwrap_or_default();
    let mut words = profile.split_whitespace();
    let mut command = match words.next() {
        Some(first) => {
            let mut command = Command::new(first);
            command.args(words).arg(program);
            command
        }
        None => Command::new(program),
    };
    command.arg(PART).arg(serde_json::to_string(settings)?).kill_on_drop(true);
    Ok(command)
}

/// Prints a child's result.
///
/// # Errors
/// If it cannot be written.
pub fn tell<R: Serialize>(result: &R) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string(result)?);
    Ok(())
}
