//! The proof covers every event, not only the errors: what was acknowledged is in the ledger, or it is missed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use schema::event::EventType;
use std::time::Duration;
use support::{Fate, Fault, Freshness, Server, Shared, events, lock, progress};
use traffic::client::{Delivery, deliver};
use traffic::event::ClientEvent;
use traffic::tally::Tally;
use traffic::verify::{LookError, Sent, Verdict, Verifier, VerifyConfig, VerifyError};

/// For proofs that are to succeed.
const LONG: Duration = Duration::from_secs(20);
/// For proofs that are to fail.
const SHORT: Duration = Duration::from_millis(600);

async fn begin(server: &Server, timeout: Duration) -> Result<Verifier, VerifyError> {
    let core_url = server.url().parse().unwrap();
    let config = VerifyConfig { core_url, key: support::KEY.into(), project: Some("p".into()), timeout };
    Verifier::begin(&config, &server.client()).await
}

async fn send(server: &Server, events: Vec<ClientEvent>) -> Delivery {
    let delivery = deliver(&server.client(), events, progress()).await.unwrap();
    assert!(delivery.report.is_complete(), "{}", delivery.report);
    delivery
}

async fn conclude(verifier: &Verifier, delivery: &Delivery) -> Result<Verdict, VerifyError> {
    verifier.conclude(&delivery.tally, Sent::from(&delivery.report)).await
}

/// `fates` meets the first events that are no errors and no markers; the others are counted.
fn lose(state: &Shared, fates: Vec<Fate>) {
    let mut fates = fates.into_iter();
    lock(state).fate = Box::new(move |event| match event.event_type {
        EventType::Error | EventType::Custom => Fate::Counted,
        _ => fates.next().unwrap_or(Fate::Counted),
    });
}

#[tokio::test]
async fn every_event_is_proved_and_resends_count_once() {
    let state = Shared::default();
    // The first marker, some events and the last marker are sent twice.
    lock(&state).script = [Fault::CutAfter, Fault::Fine, Fault::CutAfter, Fault::FailAfter].into();
    let server = Server::start(&state).await;
    let verifier = begin(&server, LONG).await.unwrap();
    let delivery = send(&server, events(300, 1)).await;
    lock(&state).script = [Fault::CutAfter].into();
    let verdict = conclude(&verifier, &delivery).await.unwrap();
    let (errors, groups) = (delivery.tally.certain(), delivery.tally.counts().len());
    let text = format!("all counts exact: {errors} error events in {groups} fingerprints, 300 events in all");
    assert_eq!(verdict.to_string(), text, "and neither of the markers is somebody else's");
    assert!(errors < 100 && lock(&state).duplicate > 1, "most events are no errors, and some came twice");
}

#[tokio::test]
async fn a_lost_event_that_is_no_error_is_found_out_and_named() {
    for (fates, line) in [
        (vec![Fate::Lost], "1 of 300 acknowledged events are not counted"),
        (
            vec![Fate::DeadLettered, Fate::Dropped("too_old"), Fate::DeadLettered],
            "3 of 300 acknowledged events are not counted; 2 went to the dead letters, 1 were dropped (too_old)",
        ),
    ] {
        let state = Shared::default();
        let server = Server::start(&state).await;
        lose(&state, fates);
        let verifier = begin(&server, SHORT).await.unwrap();
        let delivery = send(&server, events(300, 2)).await;
        let verdict = conclude(&verifier, &delivery).await.unwrap();
        let Verdict::Different(findings) = &verdict else { panic!("{verdict}") };
        assert!(findings.comparison.rows.is_empty(), "no error is lost");
        assert_eq!(verdict.to_string(), format!("the counts differ\n{line}"));
    }
}

#[tokio::test]
async fn what_was_lost_before_the_run_is_not_missed() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    lose(&state, vec![Fate::DeadLettered, Fate::Lost, Fate::Dropped("too_old")]);
    send(&server, events(100, 3)).await;
    let verifier = begin(&server, LONG).await.unwrap();
    let delivery = send(&server, events(100, 4)).await;
    let verdict = conclude(&verifier, &delivery).await.unwrap();
    assert!(verdict.is_exact() && verdict.to_string().ends_with(", 100 events in all"), "{verdict}");
}

#[tokio::test]
async fn events_of_somebody_else_are_mentioned_only() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let verifier = begin(&server, LONG).await.unwrap();
    let delivery = send(&server, events(100, 5)).await;
    let others: Vec<_> =
        events(100, 6).into_iter().filter(|event| event.event_type != EventType::Error).take(7).collect();
    send(&server, others).await;
    let verdict = conclude(&verifier, &delivery).await.unwrap();
    let text = verdict.to_string();
    assert!(verdict.is_exact(), "{text}");
    assert!(text.contains(", 100 events in all\n7 more events than this run sent were counted meanwhile"), "{text}");
}

#[tokio::test]
async fn an_event_of_unknown_outcome_is_never_called_exact_be_it_no_error() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let verifier = begin(&server, LONG).await.unwrap();
    let verdict = verifier.conclude(&Tally::default(), Sent { acknowledged: 0, unknown: 1 }).await.unwrap();
    assert!(matches!(verdict, Verdict::Uncertain(_)), "{verdict}");
}

#[tokio::test]
async fn a_core_without_a_ledger_is_named() {
    let state = Shared::default();
    lock(&state).has_ledger = false;
    let server = Server::start(&state).await;
    let error = begin(&server, LONG).await.unwrap_err();
    let VerifyError::Look(cause @ LookError::NoLedger(_)) = &error else { panic!("{error:?}") };
    assert!(cause.to_string().starts_with("the core API has no /v1/ledger, without which"), "{cause}");
}

/// What was received until the marker was, may be counted without the marker: it was on its way into the log.
#[tokio::test]
async fn a_marker_is_waited_for_beyond_its_time_of_receipt() {
    let state = Shared::default();
    lock(&state).freshness = Freshness::UntilReceived;
    let server = Server::start(&state).await;
    let error = begin(&server, SHORT).await.unwrap_err();
    assert!(matches!(error, VerifyError::Behind), "{error:?}");
}

/// The ledger is short as long as the last marker is not counted; that is the engine's doing, not a loss.
#[tokio::test]
async fn a_ledger_that_is_short_because_the_engine_stands_still_is_no_difference() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let verifier = begin(&server, SHORT).await.unwrap();
    lock(&state).fate = Box::new(|_| Fate::Lost);
    lock(&state).incomplete_looks = usize::MAX;
    let error = verifier.conclude(&Tally::default(), Sent { acknowledged: 3, unknown: 0 }).await.unwrap_err();
    assert!(matches!(error, VerifyError::Behind), "{error:?}");
    lock(&state).incomplete_looks = 0;
    let verdict = verifier.conclude(&Tally::default(), Sent { acknowledged: 3, unknown: 0 }).await.unwrap();
    assert!(verdict.to_string().contains("none of 3 acknowledged events is counted, nor is the marker"), "{verdict}");
}
