//! The proof says "exact" when the counts are exact, and never otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;
use support::{Server, Shared, events, incident, incidents, lock};
use traffic::client::ClientConfig;
use traffic::event::ClientEvent;
use traffic::tally::Tally;
use traffic::verify::{LookError, MarkerError, Sent, Standing, Verdict, Verifier, VerifyConfig, VerifyError};

const TIMEOUT: Duration = Duration::from_secs(20);

fn config(server: &Server, timeout: Duration) -> VerifyConfig {
    VerifyConfig { core_url: server.url().parse().unwrap(), key: support::KEY.into(), project: None, timeout }
}

async fn begin(server: &Server, timeout: Duration) -> Result<Verifier, VerifyError> {
    Verifier::begin(&config(server, timeout), &server.client()).await
}

/// What was sent, as if all of it had been acknowledged.
fn tally(events: &[ClientEvent]) -> Tally {
    let mut tally = Tally::default();
    events.iter().filter_map(ClientEvent::group).for_each(|group| tally.add_certain(&group));
    tally
}

/// What was sent, as if there had been nothing but error events.
fn errors_only(tally: &Tally) -> Sent {
    Sent { acknowledged: tally.certain(), unknown: tally.uncertain() }
}

fn assert_exact(verdict: &Verdict, sent: &Tally) {
    let Verdict::Exact { events, fingerprints, findings } = verdict else { panic!("{verdict}") };
    assert_eq!((*events, *fingerprints), (sent.certain(), sent.counts().len()));
    assert_eq!(findings.to_string(), "", "nothing else is noteworthy");
}

/// Takes the baseline, lets the server count the sent events (and show them as `view` says), and concludes.
async fn verify(
    timeout: Duration,
    tally: &Tally,
    view: impl FnMut(usize, &BTreeMap<String, u64>) -> Vec<serde_json::Value> + Send + 'static,
) -> Verdict {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let verifier = begin(&server, timeout).await.unwrap();
    {
        let mut state = lock(&state);
        state.hold(tally);
        state.looks = 0;
        state.view = Box::new(view);
    }
    verifier.conclude(tally, errors_only(tally)).await.unwrap()
}

#[tokio::test]
async fn exact_counts_are_exact_over_several_pages() {
    let sent = tally(&events(400, 1));
    assert!(sent.counts().len() > 14, "more than two pages");
    let verdict = verify(TIMEOUT, &sent, |_, counts| incidents(counts)).await;
    assert_exact(&verdict, &sent);
    assert!(verdict.to_string().starts_with("all counts exact"));
}

#[tokio::test]
async fn counts_that_come_late_are_waited_for() {
    let sent = tally(&events(200, 2));
    // A third look shows all; the first shows nothing, the second a part.
    let verdict = verify(TIMEOUT, &sent, |look, counts| match look {
        0 => Vec::new(),
        1 => incidents(counts).into_iter().take(3).collect(),
        _ => incidents(counts),
    });
    assert!(verdict.await.is_exact());
}

#[tokio::test]
async fn too_few_is_told_at_the_deadline() {
    let sent = tally(&events(200, 3));
    let verdict = verify(Duration::from_millis(600), &sent, |_, counts| {
        let mut counts = counts.clone();
        *counts.values_mut().next().unwrap() -= 1;
        incidents(&counts)
    });
    let verdict = verdict.await;
    let Verdict::Different(findings) = &verdict else { panic!("{verdict}") };
    let comparison = &findings.comparison;
    assert_eq!((comparison.standing(), comparison.rows.len()), (Standing::TooFew, 1));
    let row = &comparison.rows[0];
    assert_eq!(row.found, i128::from(row.wanted) - 1);
    assert!(verdict.to_string().contains(&row.fingerprint[..11]), "{verdict}");
}

#[tokio::test]
async fn too_many_is_told_at_once() {
    let sent = tally(&events(200, 4));
    let verdict = verify(Duration::from_secs(3_600), &sent, |_, counts| {
        let mut counts = counts.clone();
        *counts.values_mut().last().unwrap() += 1;
        incidents(&counts)
    });
    let Verdict::Different(findings) = verdict.await else { panic!("one is too many") };
    assert_eq!(findings.standing(), Standing::TooMany);
}

#[tokio::test]
async fn a_duplicate_that_is_counted_after_all_was_exact_is_seen() {
    let sent = tally(&events(200, 5));
    let verdict = verify(TIMEOUT, &sent, |look, counts| {
        let mut counts = counts.clone();
        *counts.values_mut().last().unwrap() += u64::from(look >= 2);
        incidents(&counts)
    });
    assert!(matches!(verdict.await, Verdict::Different(_)));
}

#[tokio::test]
async fn an_unknown_outcome_is_never_called_exact() {
    let mut sent = tally(&events(200, 6));
    let group = events(200, 6).iter().find_map(ClientEvent::group).unwrap();
    sent.add_uncertain(&group);
    for arrived in [0, 1] {
        let fingerprint = group.fingerprint.clone();
        let verdict = verify(TIMEOUT, &sent, move |_, counts| {
            let mut counts = counts.clone();
            *counts.get_mut(&fingerprint).unwrap() += arrived;
            incidents(&counts)
        });
        let verdict = verdict.await;
        let Verdict::Uncertain(findings) = &verdict else { panic!("{verdict}") };
        let comparison = &findings.comparison;
        assert_eq!((comparison.uncertain, comparison.rows.len()), (1, 1));
        assert!(!verdict.is_exact() && verdict.to_string().starts_with("not proved: 1 events, 1 of them errors, got"));
    }
    let verdict = verify(TIMEOUT, &sent, move |_, counts| {
        let mut counts = counts.clone();
        *counts.get_mut(&group.fingerprint).unwrap() += 2;
        incidents(&counts)
    });
    assert!(matches!(verdict.await, Verdict::Different(_)), "more than may have arrived");
}

#[tokio::test]
async fn what_was_there_before_and_what_others_send_do_not_disturb() {
    let state = Shared::default();
    let sent = tally(&events(100, 7));
    let known = sent.counts().keys().next().unwrap().clone();
    let before = vec![incident("old", &known, 40), incident("newer", &known, 2), incident("other", "f", 7)];
    lock(&state).view = Box::new(move |_, _| before.clone());
    let server = Server::start(&state).await;
    let verifier = begin(&server, TIMEOUT).await.unwrap();
    let mut counts = sent.counts();
    // A regression: the events of a fingerprint are spread over its old incident and a new one.
    *counts.get_mut(&known).unwrap() += 2;
    lock(&state).counted += sent.certain() + 2;
    lock(&state).view = Box::new(move |_, _| {
        let others = [incident("old", &known, 40), incident("other", "f", 8), incident("stranger", "g", 1)];
        incidents(&counts).into_iter().chain(others).collect()
    });
    let verdict = verifier.conclude(&sent, errors_only(&sent)).await.unwrap();
    let text = verdict.to_string();
    assert!(verdict.is_exact() && text.contains("\n2 more events than this run sent"), "{text}");
    assert!(text.contains("\n2 other fingerprints, which this run did not send, changed"), "{text}");
}

#[tokio::test]
async fn a_core_that_is_away_for_a_while_is_asked_again() {
    let state = Shared::default();
    // The list refuses, then the ledger, then the list again.
    lock(&state).core_script = [503, 200, 500, 429].into();
    let server = Server::start(&state).await;
    let verifier = begin(&server, TIMEOUT).await.unwrap();
    let address = server.address;
    server.kill().await;
    let sent = tally(&events(50, 8));
    lock(&state).hold(&sent);
    let proof = tokio::spawn(async move {
        let verdict = verifier.conclude(&sent, errors_only(&sent)).await;
        verdict.map(|verdict| (verdict, sent))
    });
    let _server = Server::start_at(&state, address).await;
    let (verdict, sent) = proof.await.unwrap().unwrap();
    assert_exact(&verdict, &sent);
}

#[tokio::test]
async fn a_core_that_refuses_or_speaks_nonsense_is_an_error() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let wrong_key = VerifyConfig { key: "sk_other".into(), ..config(&server, TIMEOUT) };
    let error = Verifier::begin(&wrong_key, &server.client()).await.unwrap_err();
    assert!(matches!(error, VerifyError::Look(LookError::Refused { .. })), "{error:?}");
    lock(&state).view = Box::new(|_, _| vec![serde_json::json!({"id": 1})]);
    let error = begin(&server, TIMEOUT).await.unwrap_err();
    assert!(matches!(error, VerifyError::Look(LookError::Shape(..))), "{error:?}");
}

#[tokio::test]
async fn a_core_that_never_answers_is_an_error_at_the_deadline() {
    let state = Shared::default();
    let (ingest, core) = (Server::start(&state).await, Server::start(&state).await);
    let config = config(&core, Duration::from_millis(600));
    let verifier = Verifier::begin(&config, &ingest.client()).await.unwrap();
    core.kill().await;
    let error = verifier.conclude(&Tally::default(), Sent::default()).await.unwrap_err();
    assert!(matches!(error, VerifyError::Look(LookError::Http(_))), "{error:?}");
}

#[tokio::test]
async fn without_ingest_or_with_a_key_that_it_refuses_nothing_is_begun() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let wrong_key = ClientConfig { key: "sk_other".into(), ..server.client() };
    let impatient = ClientConfig { patience: Duration::ZERO, ..server.client() };
    let config = config(&server, TIMEOUT);
    let error = Verifier::begin(&config, &wrong_key).await.unwrap_err();
    assert!(format!("{error:?}").contains("because unknown_key"), "{error:?}");
    server.kill().await;
    let error = Verifier::begin(&config, &impatient).await.unwrap_err();
    assert!(matches!(error, VerifyError::Marker(MarkerError::Refused(_))), "{error:?}");
}

/// A server that was killed catches up after its start: what an earlier run sent must not count for this one.
#[tokio::test]
async fn the_baseline_waits_until_earlier_events_are_counted() {
    let state = Shared::default();
    let sent = tally(&events(100, 9));
    let backlog = sent.counts();
    {
        let mut state = lock(&state);
        state.incomplete_looks = 3;
        state.counted = sent.certain();
        state.view = Box::new(move |look, _| if look < 3 { Vec::new() } else { incidents(&backlog) });
    }
    let server = Server::start(&state).await;
    let verifier = begin(&server, TIMEOUT).await.unwrap();
    let both = sent.counts().into_iter().map(|(fingerprint, count)| (fingerprint, 2 * count)).collect();
    lock(&state).counted += sent.certain();
    lock(&state).view = Box::new(move |_, _| incidents(&both));
    assert!(verifier.conclude(&sent, errors_only(&sent)).await.unwrap().is_exact());
}

/// Exact counts prove nothing as long as something that was sent is still to be counted.
#[tokio::test]
async fn counts_are_exact_only_when_everything_is_counted() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let sent = tally(&events(100, 10));
    let verifier = begin(&server, TIMEOUT).await.unwrap();
    {
        let mut state = lock(&state);
        state.hold(&sent);
        (state.looks, state.incomplete_looks) = (0, 10);
        state.view = Box::new(|look, counts| {
            let mut counts = counts.clone();
            *counts.values_mut().last().unwrap() += u64::from(look >= 9);
            incidents(&counts)
        });
    }
    let verdict = verifier.conclude(&sent, errors_only(&sent)).await.unwrap();
    assert!(matches!(verdict, Verdict::Different(_)), "two seconds and more after they were exact: {verdict}");
}

#[tokio::test]
async fn an_engine_that_stands_still_is_named() {
    let state = Shared::default();
    lock(&state).incomplete_looks = usize::MAX;
    let server = Server::start(&state).await;
    let error = begin(&server, Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(error, VerifyError::Behind), "{error:?}");
    lock(&state).incomplete_looks = 0;
    let verifier = begin(&server, Duration::from_millis(300)).await.unwrap();
    lock(&state).incomplete_looks = usize::MAX;
    let error = verifier.conclude(&Tally::default(), Sent::default()).await.unwrap_err();
    assert!(matches!(error, VerifyError::Behind), "{error:?}");
}
