//! The command lines of `signals traffic` and `signals replay`.

use crate::client::MAX_BATCH;
use crate::generate::Scenario;
use crate::key::ApiKey;
use clap::Args;
use reqwest::Url;
use std::path::PathBuf;
use std::time::Duration;

/// Where to send, and how.
#[derive(Args, Clone, Debug)]
pub struct TargetArgs {
    /// Base URL of the ingest API.
    #[arg(long, env = "SIGNALS_INGEST_URL", default_value = "http://127.0.0.1:3000")]
    pub url: Url,
    /// API key with scope ingest (and read, for --verify).
    #[arg(long, env = "SIGNALS_API_KEY", hide_env_values = true)]
    pub key: Option<ApiKey>,
    /// Connections, each with at most one request under way.
    #[arg(long, default_value_t = 16, value_parser = within::<1, 4096>)]
    pub concurrency: usize,
    /// Events a request; 1 sends single events.
    #[arg(long, default_value_t = 1, value_parser = within::<1, MAX_BATCH>)]
    pub batch: usize,
    /// Seconds during which an unacknowledged request is sent again; then the run ends.
    #[arg(long, default_value = "30", value_parser = seconds)]
    pub retry_for: Duration,
    /// Seconds that one request may take.
    #[arg(long, default_value = "10", value_parser = seconds)]
    pub request_timeout: Duration,
}

/// Send synthetic events at a steady rate and report what became of them.
#[derive(Args, Clone, Debug)]
pub struct TrafficArgs {
    /// Where to send, and how.
    #[command(flatten)]
    pub target: TargetArgs,
    /// What happens.
    #[arg(long, value_enum, default_value_t = Scenario::Normal)]
    pub scenario: Scenario,
    /// Seconds that it lasts.
    #[arg(long, default_value = "60", value_parser = seconds)]
    pub duration: Duration,
    /// Events per second of the undisturbed mix.
    #[arg(long, default_value = "100", value_parser = positive)]
    pub rate: f64,
    /// The same seed sends the same events (under new ids).
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Wait until this core API shows exactly the counts that were sent; without a URL, that of the default port.
    #[arg(long, value_name = "CORE_URL", num_args = 0..=1, default_missing_value = "http://127.0.0.1:3001")]
    pub verify: Option<Url>,
    /// Seconds to wait for the counts.
    #[arg(long, default_value = "60", value_parser = seconds)]
    pub verify_timeout: Duration,
    /// Verify the incidents of this project only; else of all that the key may see.
    #[arg(long)]
    pub project: Option<String>,
}

/// Send recorded events again, in their order and at their distances.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// Where to send, and how.
    #[command(flatten)]
    pub target: TargetArgs,
    /// One JSON object a line: events as clients send them, or records of the log.
    pub file: PathBuf,
    /// So many times as fast as recorded; 0 sends without pauses.
    #[arg(long, default_value = "1", value_parser = not_negative)]
    pub speed: f64,
    /// Give each event a new id, so that events that were sent before count again.
    #[arg(long)]
    pub new_ids: bool,
    /// Date each event at the time of its sending.
    #[arg(long)]
    pub redate: bool,
}

fn within<const LOW: usize, const HIGH: usize>(text: &str) -> Result<usize, String> {
    let number = text.parse::<usize>().ok().filter(|number| (LOW..=HIGH).contains(number));
    number.ok_or_else(|| format!("must be a whole number from {LOW} to {HIGH}"))
}

fn seconds(text: &str) -> Result<Duration, String> {
    // A year; so that no sum of times overflows.
    let number = not_negative(text).ok().filter(|seconds| *seconds <= 31_536_000.0);
    number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).ok_or_else(|| "must be seconds".to_owned())
}

fn positive(text: &str) -> Result<f64, String> {
    not_negative(text).ok().filter(|number| *number > 0.0).ok_or_else(|| "must be a number above 0".to_owned())
}

fn not_negative(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| "must be a number of at least 0".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Parser, Subcommand};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    #[derive(Debug, Subcommand)]
    enum Command {
        Traffic(TrafficArgs),
        Replay(ReplayArgs),
    }

    fn traffic(words: &[&str]) -> Result<TrafficArgs, clap::Error> {
        match Line::try_parse_from(["signals", "traffic"].iter().chain(words))?.command {
            Command::Traffic(args) => Ok(args),
            Command::Replay(_) => panic!("traffic was asked for"),
        }
    }

    #[test]
    fn the_line_of_the_contract_is_understood() {
        let args =
            traffic(&["--scenario=deploy_then_spike", "--duration=60", "--rate=250.5", "--concurrency=4"]).unwrap();
        assert_eq!(args.scenario, Scenario::DeployThenSpike);
        assert_eq!((args.duration, args.rate, args.target.concurrency), (Duration::from_secs(60), 250.5, 4));
        assert_eq!((args.target.batch, args.seed, args.verify), (1, 1, None));
        assert_eq!(args.verify_timeout, Duration::from_secs(60));
    }

    #[test]
    fn verify_takes_a_url_or_the_default() {
        let verify = |words: &[&str]| traffic(words).unwrap().verify.map(String::from);
        assert_eq!(verify(&["--verify", "--seed=2"]).as_deref(), Some("http://127.0.0.1:3001/"));
        assert_eq!(verify(&["--verify=http://h:9"]).as_deref(), Some("http://h:9/"));
        assert_eq!(verify(&["--verify", "http://h:9", "--seed=2"]).as_deref(), Some("http://h:9/"));
    }

    #[test]
    fn nonsense_is_refused() {
        for word in [
            "--rate=0",
            "--rate=-1",
            "--rate=nan",
            "--rate=inf",
            "--batch=0",
            "--batch=1001",
            "--concurrency=0",
            "--duration=-1",
            "--duration=1e99",
            "--scenario=chaos",
            "--url=nowhere",
        ] {
            assert!(traffic(&[word]).is_err(), "{word}");
        }
    }

    #[test]
    fn the_key_is_not_in_the_debug_output() {
        let args = traffic(&["--key=sk_secret"]).unwrap();
        assert_eq!(args.target.key, Some("sk_secret".into()));
        assert!(!format!("{args:?}").contains("secret"));
    }

    #[test]
    fn replay_takes_a_file_and_a_speed() {
        let line = Line::try_parse_from(["signals", "replay", "a.ndjson", "--speed=10", "--new-ids"]).unwrap();
        let Command::Replay(args) = line.command else { panic!("replay was asked for") };
        assert_eq!((args.file, args.speed, args.new_ids, args.redate), ("a.ndjson".into(), 10.0, true, false));
    }
}
