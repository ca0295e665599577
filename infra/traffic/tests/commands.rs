//! The commands as a person starts them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use clap::Parser;
use schema::event::EventType;
use std::io::Write;
use support::{Fate, Fault, Server, Shared, lock};
use traffic::{Outcome, ReplayArgs, TrafficArgs, replay, run};

#[derive(Debug, Parser)]
enum Line {
    Traffic(TrafficArgs),
    Replay(ReplayArgs),
}

async fn start(server: &Server, line: &str) -> anyhow::Result<Outcome> {
    let words = line.split(' ').map(str::to_owned);
    let line = ["signals".to_owned()].into_iter().chain(words);
    match Line::try_parse_from(line.chain([format!("--url={}", server.url())]))? {
        Line::Traffic(args) => run(args).await,
        Line::Replay(args) => replay(args).await,
    }
}

#[tokio::test]
async fn traffic_sends_its_scenario_and_proves_the_counts() {
    let state = Shared::default();
    // The first request is the marker's.
    lock(&state).script = [Fault::Fine, Fault::CutAfter, Fault::Refuse(503, "unavailable", Some(0))].into();
    let server = Server::start(&state).await;
    let line = "traffic --scenario=spike_errors --duration=2 --rate=200 --concurrency=4 --seed=3 --key=sk_test";
    let outcome = start(&server, &format!("{line} --verify={}", server.url())).await.unwrap();
    let text = outcome.to_string();
    assert!(
        outcome.is_success() && text.contains("all counts exact") && text.contains("spike_errors, seed 3"),
        "{text}"
    );
    assert!(text.contains("connection lost x 1") && text.contains("503 unavailable x 1"), "{text}");
    assert_eq!(u64::try_from(lock(&state).ids.len()).unwrap(), outcome.report.accepted + 2, "with two markers");
    assert!(outcome.report.accepted > 400, "{text}");
}

/// The same seed again sends the same events under new ids, and is proved on top of the first run.
#[tokio::test]
async fn a_second_run_counts_again() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let line = format!("traffic --duration=1 --rate=100 --batch=7 --key=sk_test --verify={}", server.url());
    let first = start(&server, &line).await.unwrap();
    let counts = lock(&state).counts.clone();
    let second = start(&server, &line).await.unwrap();
    assert!(first.is_success() && second.is_success(), "{first}\n{second}");
    for (fingerprint, count) in &lock(&state).counts {
        assert_eq!(*count, 2 * counts[fingerprint]);
    }
}

#[tokio::test]
async fn a_miscount_fails_the_command() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    lock(&state).view = Box::new(|_, counts| {
        let mut counts = counts.clone();
        counts.values_mut().for_each(|count| *count *= 2);
        support::incidents(&counts)
    });
    let line = format!("traffic --duration=1 --rate=100 --key=sk_test --verify={}", server.url());
    let outcome = start(&server, &line).await.unwrap();
    assert!(!outcome.is_success() && outcome.to_string().contains("the counts differ"), "{outcome}");
}

/// Most events are no errors and stand in no incident; losing one must fail the command all the same.
#[tokio::test]
async fn lost_sign_ups_fail_the_command() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    lock(&state).fate = Box::new(|event| match event.event_type {
        EventType::Signup => Fate::DeadLettered,
        _ => Fate::Counted,
    });
    let line = format!("traffic --duration=1 --rate=200 --key=sk_test --verify-timeout=1 --verify={}", server.url());
    let outcome = start(&server, &line).await.unwrap();
    let (text, lost) = (outcome.to_string(), lock(&state).dead_lettered);
    assert!(lost > 0 && !outcome.is_success() && outcome.report.is_complete(), "{text}");
    let line = format!("\n{lost} of {} acknowledged events are not counted; {lost} went to", outcome.report.accepted);
    assert!(text.contains(&line), "{text}");
}

/// The core API answers before the run and never again: the report of what was sent must not be lost with it.
#[tokio::test]
async fn a_proof_that_fails_keeps_the_report() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let nonsense = || vec![serde_json::json!({"id": 1})];
    lock(&state).view = Box::new(move |_, counts| if counts.is_empty() { Vec::new() } else { nonsense() });
    let line = format!("traffic --duration=1 --rate=100 --key=sk_test --verify={}", server.url());
    let outcome = start(&server, &line).await.unwrap();
    let text = outcome.to_string();
    assert!(!outcome.is_success() && outcome.report.is_complete(), "{text}");
    assert!(text.contains("the counts could not be verified: cannot read the counts: the core API sent"), "{text}");
}

#[tokio::test]
async fn without_a_key_or_with_a_wrong_one_it_fails() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let outcome = start(&server, "traffic --duration=1 --rate=50 --key=sk_other").await.unwrap();
    assert!(!outcome.is_success() && outcome.to_string().contains("because unknown_key"), "{outcome}");
    lock(&state).script = [const { Fault::Refuse(403, "missing_scope", None) }; 17].into();
    lock(&state).script[0] = Fault::Fine;
    let line = format!("traffic --duration=1 --rate=50 --key=sk_test --verify={}", server.url());
    let outcome = start(&server, &line).await.unwrap();
    assert!(!outcome.is_success() && !outcome.to_string().contains("exact"), "nothing is proved: {outcome}");
    if std::env::var_os("SIGNALS_API_KEY").is_none() {
        let error = start(&server, "traffic --duration=1").await.unwrap_err();
        assert!(error.to_string().contains("SIGNALS_API_KEY"), "{error}");
    }
}

#[tokio::test]
async fn replay_sends_a_recording_and_names_bad_lines() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let mut file = tempfile::NamedTempFile::new().unwrap();
    for event in support::events(40, 11) {
        writeln!(file, "{}", serde_json::to_string(&event).unwrap()).unwrap();
    }
    let line = format!("replay {} --speed=0 --key=sk_test", file.path().display());
    let outcome = start(&server, &line).await.unwrap();
    assert!(outcome.is_success(), "{outcome}");
    assert_eq!(lock(&state).ids.len(), 40);
    start(&server, &line).await.unwrap();
    assert_eq!(lock(&state).ids.len(), 40, "the recorded ids are kept");
    start(&server, &format!("{line} --new-ids")).await.unwrap();
    assert_eq!(lock(&state).ids.len(), 80);
    writeln!(file, "no event").unwrap();
    let outcome = start(&server, &line).await.unwrap();
    assert!(!outcome.is_success() && outcome.to_string().contains("line 41"), "{outcome}");
    assert!(start(&server, "replay no-such-file --key=sk_test").await.is_err());
}
