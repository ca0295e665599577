//! Delivers events under known ids and sends again, under the same ids, what was not acknowledged, across restarts
//! of the server, until everything is or a batch has waited for too long.
//!
//! A connection settles its batch before it takes the next one, and none runs far ahead of a batch whose fate is open
//! (`window`). So a resend stays within the dedupe window of the engine, however long the server was away.

mod answer;
mod attempt;
mod backoff;
mod connection;
mod pace;
mod settle;
mod source;
mod window;

use crate::event::{ClientEvent, Outgoing};
use crate::key::ApiKey;
use crate::report::Report;
use crate::tally::Tally;
pub(crate) use attempt::endpoint;
use connection::Shared;
pub(crate) use pace::Pace;
use reqwest::Url;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// The most events that ingest takes in one batch.
pub const MAX_BATCH: usize = 1_000;

/// Where and how to deliver.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Base of the ingest API, e.g. `http://127.0.0.1:3000`.
    pub ingest_url: Url,
    /// A key with scope ingest.
    pub key: ApiKey,
    /// Connections, each with at most one request under way.
    pub connections: usize,
    /// Events a request; 1 sends single events to `/v1/events`, more go to `/v1/events/batch`.
    pub batch: usize,
    /// Events per second at which [`deliver`] sends; `None` for as fast as answers come.
    pub rate: Option<f64>,
    /// How long one attempt may take.
    pub request_timeout: Duration,
    /// For how long new attempts are made for one batch; then the delivery ends.
    pub patience: Duration,
    /// The first pause before a resend; it doubles up to 20 times this, unless the server names a time itself.
    pub first_pause: Duration,
}

impl ClientConfig {
    /// Eight connections, batches of 200, no pacing, 10 s an attempt, 60 s of patience, pauses from 50 ms on.
    pub fn new(ingest_url: Url, key: ApiKey) -> Self {
        Self {
            ingest_url,
            key,
            connections: 8,
            batch: 200,
            rate: None,
            request_timeout: Duration::from_secs(10),
            patience: Duration::from_secs(60),
            first_pause: Duration::from_millis(50),
        }
    }
}

/// How far a delivery is; read it from any thread while it goes on.
#[derive(Debug, Default)]
pub struct Progress {
    acknowledged: AtomicU64,
    resent: AtomicU64,
}

impl Progress {
    /// Events acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Events sent again so far; one event may be among them several times.
    pub fn resent(&self) -> u64 {
        self.resent.load(Ordering::Relaxed)
    }
}

/// What a delivery came to.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// Error events per fingerprint that the server now has, or may have.
    pub tally: Tally,
    /// Everything counted, and the latencies.
    pub report: Report,
}

impl Delivery {
    fn accepted(&mut self, event: &Outgoing) {
        self.report.accepted += 1;
        if let Some(group) = &event.group {
            self.tally.add_certain(group);
        }
    }

    fn unknown(&mut self, event: &Outgoing, reason: &str) {
        self.report.add_unknown(reason);
        if let Some(group) = &event.group {
            self.tally.add_uncertain(group);
        }
    }
}

/// Why a delivery could not begin, or could not end.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The URL is not one of an HTTP server.
    #[error("'{0}' is not an http or https URL")]
    Url(Url),
    /// The key cannot stand in a header.
    #[error("the API key holds characters that no header may hold")]
    Key,
    /// The HTTP client could not be made.
    #[error("cannot make an HTTP client")]
    Http(#[from] reqwest::Error),
    /// A connection's task ended before its work did; a bug of this crate.
    #[error("a sending task died")]
    Worker(#[from] tokio::task::JoinError),
}

/// Sends the events in their order, spread over the connections, and returns when each is acknowledged or refused for
/// good. A batch that stays unacknowledged for `patience` is given up and ends the delivery: what was not sent by then
/// is not sent at all. The report says how many events met which fate.
///
/// # Errors
/// A URL or key that cannot be used. A server that is away or refuses is no error; it stands in the report.
pub async fn deliver<E>(config: &ClientConfig, events: E, progress: Arc<Progress>) -> Result<Delivery, ClientError>
where
    E: IntoIterator<Item = ClientEvent>,
    E::IntoIter: Send + 'static,
{
    let gap = config.rate.map(|rate| Duration::try_from_secs_f64(1.0 / rate).unwrap_or_default());
    let pace = if gap.is_some() { Pace::open() } else { Pace::Closed };
    let mut at = Duration::ZERO;
    let outgoing = events.into_iter().map(move |event| {
        at = at.saturating_add(gap.unwrap_or_default());
        Outgoing::encode(at, event)
    });
    drive(config, pace, outgoing, progress).await
}

/// [`deliver`] for events that are encoded already and know their time.
pub(crate) async fn drive<I>(
    config: &ClientConfig,
    pace: Pace,
    events: I,
    progress: Arc<Progress>,
) -> Result<Delivery, ClientError>
where
    I: Iterator<Item = Outgoing> + Send + 'static,
{
    let shared = Arc::new(Shared::new(config, pace, events, progress)?);
    let start = Instant::now();
    let mut connections = JoinSet::new();
    for _ in 0..config.connections.max(1) {
        connections.spawn(Arc::clone(&shared).connection());
    }
    let mut delivery = Delivery::default();
    while let Some(share) = connections.join_next().await {
        let share = share?;
        delivery.tally.merge(share.tally);
        delivery.report.merge(share.report);
    }
    delivery.report.elapsed = start.elapsed();
    let mut source = shared.source.lock().await;
    delivery.report.stopped = source.stopped();
    (delivery.report.unsent, delivery.report.more_unsent) = source.count_rest();
    Ok(delivery)
}

fn wide(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
