//! Events with known ids and counts, sent until each is acknowledged, however often the program dies meanwhile.

use crate::api::{Api, Counts};
use chrono::{DateTime, TimeDelta, Utc};
use reqwest::Url;
use schema::event::{EventType, Severity};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};
use tokio::task::JoinHandle;
use traffic::client::{ClientConfig, ClientError, Delivery, Progress, deliver};
use traffic::event::ClientEvent;

/// Kinds of failures, each with a fingerprint of its own.
pub const KINDS: u64 = 150;
/// Each so-many-th event is no error: it is counted, but opens no incident.
const REQUEST_EVERY: u64 = 40;
const ROUTES: [&str; 5] = ["/cart", "/pay", "/search", "/login", "/feed"];
/// How long a batch is sent again and again.
const PATIENCE: Duration = Duration::from_secs(240);
/// What is left after the last fault must be acknowledged within.
const FINISHES_WITHIN: Duration = Duration::from_secs(240);

/// How many events a test under load sends, unless the environment says otherwise.
pub fn events(usual: u64) -> u64 {
    std::env::var("SIGNALS_TEST_EVENTS").map_or(usual, |events| events.parse().unwrap())
}

/// What the first `events` of a run should come to: errors by title.
pub fn expected(events: u64) -> Counts {
    let mut counts = Counts::new();
    for number in (0..events).filter(|number| !is_request(*number)) {
        *counts.entry(title(kind(number))).or_default() += 1;
    }
    counts
}

fn is_request(number: u64) -> bool {
    number % REQUEST_EVERY == REQUEST_EVERY - 1
}

/// Mixes the kinds; some are a hundred times as frequent as others.
pub fn kind(number: u64) -> u64 {
    let even = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (((even * even) >> 32) * KINDS) >> 32
}

fn title(kind: u64) -> String {
    format!("failure of kind {kind:03}")
}

/// When the first event of a run occurred.
pub fn first_moment() -> DateTime<Utc> {
    DateTime::<Utc>::from(SystemTime::now()) - TimeDelta::hours(1)
}

/// The event of this number: always the same but for its time, which counts from `start`.
pub fn event(number: u64, start: DateTime<Utc>) -> ClientEvent {
    let kind = kind(number);
    let route = ROUTES[usize::try_from(kind).unwrap() % ROUTES.len()];
    let attributes: Map<String, Value> = match json!({
        "error_code": format!("E{}", kind / 5),
        "route": format!("{route}/{number}"),
        "number": number,
    }) {
        Value::Object(attributes) => attributes,
        _ => unreachable!(),
    };
    ClientEvent {
        event_id: format!("event-{number}"),
        event_type: if is_request(number) { EventType::HttpRequest } else { EventType::Error },
        severity: Severity::Error,
        environment: if kind.is_multiple_of(2) { "prod" } else { "staging" }.to_owned(),
        message: format!("{}\nnumber {number}", title(kind)),
        occurred_at: start + TimeDelta::milliseconds(i64::try_from(number).unwrap()),
        attributes,
        payload: Map::new(),
    }
}

/// Events of one project under way.
pub struct Load {
    pub api: Api,
    progress: Arc<Progress>,
    made: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    sending: JoinHandle<Result<Delivery, ClientError>>,
}

impl Load {
    /// Starts to send, at most `events` of them, at `rate` a second or as fast as they are acknowledged.
    pub fn start(api: &Api, events: u64, rate: Option<f64>) -> Self {
        let start = first_moment();
        Self::deliver(api, rate, (0..events).map(move |number| event(number, start)))
    }

    /// The same for any stream of events.
    pub fn deliver(api: &Api, rate: Option<f64>, events: impl Iterator<Item = ClientEvent> + Send + 'static) -> Self {
        let (progress, made, stop) = (Arc::<Progress>::default(), Arc::<AtomicU64>::default(), Arc::default());
        let config = ClientConfig {
            connections: 4,
            batch: if rate.is_some() { 20 } else { 100 },
            rate,
            request_timeout: Duration::from_secs(15),
            patience: PATIENCE,
            ..ClientConfig::new(Url::parse(&api.ingest).unwrap(), api.key.as_str().into())
        };
        let (stopped, counter, shared) = (Arc::<AtomicBool>::clone(&stop), Arc::clone(&made), Arc::clone(&progress));
        let mut events = events;
        let stream = std::iter::from_fn(move || {
            let event = if stopped.load(Ordering::SeqCst) { None } else { events.next() };
            counter.fetch_add(u64::from(event.is_some()), Ordering::SeqCst);
            event
        });
        let sending = tokio::spawn(async move { deliver(&config, stream, shared).await });
        Self { api: api.clone(), progress, made, stop, sending }
    }

    /// Events acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.progress.acknowledged()
    }

    /// Waits until everything is acknowledged.
    pub async fn finish(self) -> Sent {
        let delivery = tokio::time::timeout(FINISHES_WITHIN, self.sending).await.expect("an end of the sending");
        let report = delivery.unwrap().unwrap().report;
        let events = self.made.load(Ordering::SeqCst);
        assert!(report.is_complete() && report.accepted == events, "{events} events were made\n{report}");
        println!("{events} events acknowledged, {} sent again, in {:?}", report.resent, report.elapsed);
        Sent { api: self.api, events }
    }

    /// Makes no new events and waits until everything is acknowledged.
    pub async fn stop(self) -> Sent {
        self.stop.store(true, Ordering::SeqCst);
        self.finish().await
    }
}

/// Events of one project, all acknowledged.
pub struct Sent {
    pub api: Api,
    /// Numbers below this; of a stream of its own, how many it has made.
    pub events: u64,
}

/// Events acknowledged so far, of all projects.
pub fn acknowledged(loads: &[Load]) -> u64 {
    loads.iter().map(Load::acknowledged).sum()
}
