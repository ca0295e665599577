//! Every acknowledged event is taken in exactly once and known by its count, whatever the server does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::{Fault, Server, Shared, State, events, lock, progress};
use traffic::client::{ClientConfig, deliver};

fn with_script(script: &[Fault]) -> Shared {
    let state = Shared::default();
    lock(&state).script = script.to_vec().into();
    state
}

fn sum(counts: &BTreeMap<String, u64>) -> u64 {
    counts.values().sum()
}

#[tokio::test]
async fn batches_and_single_events_arrive_and_are_tallied() {
    for (batch, requests) in [(1, 250), (10, 25), (1_000, 1)] {
        let state = Shared::default();
        let server = Server::start(&state).await;
        let progress = progress();
        let config = ClientConfig { batch, ..server.client() };
        let delivery = deliver(&config, events(250, 1), progress.clone()).await.unwrap();
        let state = lock(&state);
        assert_eq!((state.ids.len(), state.requests), (250, requests));
        assert_eq!(delivery.tally.counts(), state.counts);
        assert!(state.counts.len() > 10);
        assert!(delivery.report.is_complete(), "{}", delivery.report);
        assert_eq!((delivery.report.sent, delivery.report.resent, progress.acknowledged()), (250, 0, 250));
        assert_eq!(delivery.report.latency.count(), delivery.report.requests);
    }
}

#[tokio::test]
async fn a_paced_delivery_takes_its_time() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let config = ClientConfig { batch: 5, rate: Some(200.0), ..server.client() };
    let begun = Instant::now();
    let delivery = deliver(&config, events(100, 1), progress()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_millis(500), "the last event is due half a second after the start");
    assert!(delivery.report.is_complete());
}

/// The server dies in the middle again and again, forgetting nothing of what it took in.
#[tokio::test]
async fn g1_a_delivery_survives_restarts_of_the_server() {
    let state = Shared::default();
    let mut server = Server::start(&state).await;
    let (address, progress) = (server.address, progress());
    let config = ClientConfig { rate: Some(20_000.0), ..server.client() };
    let delivery = tokio::spawn({
        let progress = progress.clone();
        async move { deliver(&config, events(10_000, 2), progress).await }
    });
    for kill in 1..=5 {
        wait_until(|| progress.acknowledged() >= kill * 1_500).await;
        // Every connection's batch is taken in and not acknowledged when the server dies.
        lock(&state).script = [const { Fault::Stall }; 4].into();
        wait_until(|| lock(&state).script.is_empty()).await;
        server.kill().await;
        let resent = progress.resent();
        wait_until(|| progress.resent() > resent).await;
        server = Server::start_at(&state, address).await;
    }
    let delivery = delivery.await.unwrap().unwrap();
    assert!(delivery.report.is_complete(), "{}", delivery.report);
    for cause in ["connection lost", "unreachable"] {
        assert!(delivery.report.retries[cause] >= 5, "the kills were felt: {}", delivery.report);
    }
    assert_eq!(lock(&state).ids.len(), 10_000);
    assert_eq!(delivery.tally.counts(), lock(&state).counts);
    assert_eq!(delivery.tally.uncertain(), 0);
}

async fn wait_until(condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < deadline, "it never came true");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn retry_after_is_honoured() {
    let state = with_script(&[Fault::Refuse(429, "rate_limited", Some(1))]);
    let server = Server::start(&state).await;
    let begun = Instant::now();
    let delivery = deliver(&server.client(), events(5, 3), progress()).await.unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    assert_eq!(delivery.report.retries, BTreeMap::from([("429 rate limited".into(), 1)]));
    assert!(delivery.report.is_complete());
    assert!(delivery.report.latency.max() >= Duration::from_secs(1), "the wait is part of the latency");
}

#[tokio::test]
async fn a_refused_key_ends_the_delivery() {
    let state = Shared::default();
    let server = Server::start(&state).await;
    let config = ClientConfig { key: "sk_other".into(), connections: 1, ..server.client() };
    let report = deliver(&config, events(100, 4), progress()).await.unwrap().report;
    assert_eq!((report.sent, report.unsent, report.accepted), (10, 90, 0));
    assert_eq!(report.refused, BTreeMap::from([("unknown_key".into(), 10)]));
    let reason = report.stopped.expect("a reason");
    assert!(reason.contains("because unknown_key") && !reason.contains("sk_other"), "{reason}");
}

#[tokio::test]
async fn refused_items_are_counted_by_reason_and_the_others_arrive() {
    let script = [Fault::RejectItem(3, "invalid"), Fault::CutAfter, Fault::RejectItem(0, "too_large")];
    let state = with_script(&script);
    let server = Server::start(&state).await;
    let config = ClientConfig { connections: 1, ..server.client() };
    let delivery = deliver(&config, events(30, 5), progress()).await.unwrap();
    assert_eq!(delivery.report.refused, BTreeMap::from([("invalid".into(), 1), ("too_large".into(), 1)]));
    assert_eq!((delivery.report.sent, delivery.report.accepted, delivery.report.requests), (30, 28, 4));
    assert_eq!(lock(&state).sizes, [10; 4]);
}

#[tokio::test]
async fn an_invalid_event_is_refused_once_and_not_repeated() {
    let state = with_script(&[Fault::Refuse(422, "invalid", None)]);
    let server = Server::start(&state).await;
    let config = ClientConfig { batch: 1, connections: 1, ..server.client() };
    let delivery = deliver(&config, events(3, 6), progress()).await.unwrap();
    assert_eq!((delivery.report.accepted, delivery.report.requests), (2, 3));
    assert!(!delivery.report.is_complete());
}

/// No acknowledgement within patience: what may have arrived is unknown, what cannot have is not.
#[tokio::test]
async fn giving_up_tells_the_unknown_from_the_undelivered() {
    let state = with_script(&[Fault::Stall]);
    let server = Server::start(&state).await;
    let (patience, request_timeout) = (Duration::ZERO, Duration::from_secs(1));
    let quick = ClientConfig { patience, request_timeout, connections: 1, ..server.client() };
    let delivery = deliver(&quick, events(15, 7), progress()).await.unwrap();
    let errors_of_the_first_batch = sum(&lock(&state).counts);
    assert_eq!(delivery.report.unknown, BTreeMap::from([("timed out".into(), 10)]));
    assert_eq!((delivery.report.unsent, delivery.tally.uncertain()), (5, errors_of_the_first_batch));
    assert!(delivery.report.stopped.is_some());

    let nobody = server.client();
    server.kill().await;
    let quick = ClientConfig { patience: Duration::from_millis(300), connections: 1, ..nobody };
    let delivery = deliver(&quick, events(15, 8), progress()).await.unwrap();
    assert_eq!(delivery.report.undelivered, BTreeMap::from([("unreachable".into(), 10)]));
    assert_eq!((delivery.tally.uncertain(), delivery.tally.certain()), (0, 0));
}

#[tokio::test]
async fn an_attempt_that_times_out_is_repeated() {
    let state = with_script(&[Fault::Stall]);
    let server = Server::start(&state).await;
    let config = ClientConfig { request_timeout: Duration::from_millis(200), ..server.client() };
    let delivery = deliver(&config, events(10, 9), progress()).await.unwrap();
    assert!(delivery.report.retries.contains_key("timed out"), "{}", delivery.report);
    assert_eq!(delivery.tally.counts(), lock(&state).counts);
}

fn faults() -> impl Strategy<Value = Fault> {
    prop_oneof![
        Just(Fault::Refuse(503, "unavailable", None)),
        Just(Fault::Refuse(503, "unavailable", Some(0))),
        Just(Fault::Refuse(429, "rate_limited", None)),
        Just(Fault::Refuse(500, "internal", None)),
        Just(Fault::CutAfter),
        Just(Fault::CutBefore),
        Just(Fault::CutWithin),
        Just(Fault::FailAfter),
        Just(Fault::Babble),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_the_server_does_each_event_is_taken_in_once_and_tallied(
        script in proptest::collection::vec(faults(), 0..25),
        batch in 1usize..12,
        connections in 1usize..6,
        count in 1u32..60,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let state = with_script(&script);
            let server = Server::start(&state).await;
            let config = ClientConfig { batch, connections, ..server.client() };
            let delivery = deliver(&config, events(count, 10), progress()).await.unwrap();
            let State { ids, counts, .. } = &*lock(&state);
            prop_assert!(delivery.report.is_complete(), "{}", delivery.report);
            prop_assert_eq!(ids.len(), usize::try_from(count).unwrap());
            prop_assert_eq!(&delivery.tally.counts(), counts);
            Ok(())
        })?;
    }
}
