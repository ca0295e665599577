//! The two commands, `signals traffic` and `signals replay`.

use crate::args::{ReplayArgs, TargetArgs, TrafficArgs};
use crate::bar;
use crate::client::{ClientConfig, Pace, Progress, drive};
use crate::clock::now;
use crate::event::Outgoing;
use crate::generate::{Plan, Run};
use crate::key::ApiKey;
use crate::replay::{BadLines, Playback, Recording};
use crate::report::Report;
use crate::verify::{Sent, Verdict, Verifier, VerifyConfig, VerifyError};
use anyhow::Context;
use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The first pause before a resend.
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// How a command ended; its `Display` is the closing report.
#[derive(Debug)]
pub struct Outcome {
    /// What was run, for the head of the report.
    pub title: String,
    /// What became of the events.
    pub report: Report,
    /// Lines of a recording that were no events.
    pub bad_lines: Option<BadLines>,
    /// Of the proof, if it was asked for, or why it could not be brought to an end.
    pub verdict: Option<Result<Verdict, VerifyError>>,
}

impl Outcome {
    /// Whether everything was sent and acknowledged, and proved to be counted if that was asked for.
    pub fn is_success(&self) -> bool {
        self.report.is_complete()
            && self.bad_lines.as_ref().is_none_or(|bad| bad.count() == 0)
            && self.verdict.as_ref().is_none_or(|proof| proof.as_ref().is_ok_and(Verdict::is_exact))
    }

    /// Zero for success.
    pub fn exit_code(&self) -> ExitCode {
        if self.is_success() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}", self.title, self.report)?;
        if let Some(bad) = self.bad_lines.as_ref().filter(|bad| bad.count() > 0) {
            write!(f, "\n{bad}")?;
        }
        match &self.verdict {
            None => Ok(()),
            Some(Ok(verdict)) => write!(f, "\n{verdict}"),
            Some(Err(error)) => {
                write!(f, "\nthe counts could not be verified: {error}")?;
                let mut cause = error.source();
                while let Some(error) = cause {
                    write!(f, ": {error}")?;
                    cause = error.source();
                }
                Ok(())
            }
        }
    }
}

/// Sends a scenario's events at their times and, if asked to, waits for the proof that all were counted.
///
/// # Errors
/// No key, a URL that cannot be used, a core API that cannot be asked before the run. Whatever happens to the events,
/// and to the core API later, is no error; it stands in the outcome.
pub async fn run(args: TrafficArgs) -> anyhow::Result<Outcome> {
    let config = config(&args.target)?;
    let verifier = match &args.verify {
        Some(core_url) => {
            let verify = VerifyConfig {
                core_url: core_url.clone(),
                key: config.key.clone(),
                project: args.project.clone(),
                timeout: args.verify_timeout,
            };
            let begin = Verifier::begin(&verify, &config);
            Some(
                bar::with_spinner(begin, "waiting until all earlier events are counted")
                    .await
                    .context("cannot begin to verify")?,
            )
        }
        None => None,
    };
    let plan = plan(&args);
    let events = plan.events().map(|(at, event)| Outgoing::encode(at, event));
    let progress = Arc::new(Progress::default());
    let sending = drive(&config, Pace::open(), events, Arc::clone(&progress));
    let delivery = bar::with_bar(sending, &progress, Some(args.duration)).await.context("cannot send")?;
    // Where nothing arrived there is nothing to prove: the report says what went wrong.
    let arrived = delivery.report.accepted > 0 || !delivery.report.unknown.is_empty();
    let verdict = match verifier.as_ref().filter(|_| arrived) {
        Some(verifier) => {
            let proof = verifier.conclude(&delivery.tally, Sent::from(&delivery.report));
            Some(bar::with_spinner(proof, "waiting for the counts").await)
        }
        None => None,
    };
    let title = format!("{:<12} {}, seed {}, {} events/s undisturbed", "scenario", plan.scenario, plan.seed, plan.rate);
    Ok(Outcome { title, report: delivery.report, bad_lines: None, verdict })
}

fn plan(args: &TrafficArgs) -> Plan {
    Plan {
        scenario: args.scenario,
        seed: args.seed,
        rate: args.rate,
        duration: args.duration,
        started_at: now(),
        run: Run::new(rand::random()),
    }
}

/// Sends the events of a recording at their distances.
///
/// # Errors
/// No key, a URL that cannot be used, a file that cannot be opened. Refused or lost events and unreadable lines are
/// no error; they stand in the outcome.
pub async fn replay(args: ReplayArgs) -> anyhow::Result<Outcome> {
    let config = config(&args.target)?;
    let name = args.file.display();
    // Lines are read one by one from a local file, which blocks no longer than the sending itself does.
    let file = File::open(&args.file).with_context(|| format!("cannot open {name}"))?;
    let playback = Playback { speed: args.speed, redate_from: args.redate.then(now), new_ids: args.new_ids };
    let bad_lines = BadLines::default();
    let recording = Recording::new(BufReader::new(file), playback, bad_lines.clone());
    let pace = if args.speed > 0.0 { Pace::open() } else { Pace::Closed };
    let progress = Arc::new(Progress::default());
    let sending = drive(&config, pace, recording, Arc::clone(&progress));
    let delivery = bar::with_bar(sending, &progress, None).await.context("cannot send")?;
    let title = format!("{:<12} {name}, speed {}", "replay", args.speed);
    Ok(Outcome { title, report: delivery.report, bad_lines: Some(bad_lines), verdict: None })
}

fn config(target: &TargetArgs) -> anyhow::Result<ClientConfig> {
    let key: ApiKey = target.key.clone().context("there is no API key: pass --key or set SIGNALS_API_KEY")?;
    Ok(ClientConfig {
        ingest_url: target.url.clone(),
        key,
        connections: target.concurrency,
        batch: target.batch,
        rate: None,
        request_timeout: target.request_timeout,
        patience: target.retry_for,
        first_pause: FIRST_PAUSE,
    })
}
