//! The proof: does the core API show exactly the counts that were sent?
//!
//! Counts are compared per fingerprint and as growth since a baseline, so a system that already holds incidents is
//! verified as well as an empty one. Both the baseline and the final counts are read only when a marker, sent after
//! everything else, is counted (`marker`). Counts only grow; so too many is final at once, too few only at the
//! deadline, and exact only if it still holds a second later.

mod compare;
mod core_api;
mod marker;

pub use compare::{Comparison, Difference, Standing, compare};
pub use core_api::{CoreApi, Counts, Incidents, LookError};
pub use marker::MarkerError;

use crate::client::ClientConfig;
use crate::key::ApiKey;
use crate::tally::Tally;
use reqwest::Url;
use std::fmt;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// Between two looks.
const POLL: Duration = Duration::from_millis(250);
/// Exact counts must stay exact for this long: a late duplicate would show within it.
const SETTLE: Duration = Duration::from_secs(1);
/// Where to look.
#[derive(Clone, Debug)]
pub struct VerifyConfig {
    /// Base of the core API, e.g. `http://127.0.0.1:3001`.
    pub core_url: Url,
    /// A key with scope read.
    pub key: ApiKey,
    /// Only this project's incidents; else all that the key may see.
    pub project: Option<String>,
    /// How long to wait for the counts, and before the run for those of earlier events.
    pub timeout: Duration,
}

/// Why the proof could not be attempted or brought to an end.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The core API cannot be asked at all.
    #[error("cannot read the incidents")]
    Look(#[from] LookError),
    /// No marker could be placed.
    #[error("cannot place a marker")]
    Marker(#[from] MarkerError),
    /// The marker is not counted at the deadline: the engine is not running, or far behind.
    #[error("the core API is not complete yet: the engine does not run, or is behind the log")]
    Behind,
}

/// The outcome of a proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Every incident shows exactly what was acknowledged.
    Exact {
        /// Error events counted.
        events: u64,
        /// Fingerprints they fell into.
        fingerprints: usize,
    },
    /// Nothing contradicts what was sent, but for these events no acknowledgement came: exactness is not proved.
    Uncertain(Comparison),
    /// The counts differ.
    Different(Comparison),
}

impl Verdict {
    /// Whether the counts are proved.
    pub const fn is_exact(&self) -> bool {
        matches!(self, Self::Exact { .. })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact { events, fingerprints } => {
                write!(f, "all counts exact: {events} error events in {fingerprints} fingerprints")
            }
            Self::Uncertain(comparison) => write!(
                f,
                "not proved: {} error events got no acknowledgement and may or may not count\n{comparison}",
                comparison.uncertain
            ),
            Self::Different(comparison) => write!(f, "the counts differ\n{comparison}"),
        }
    }
}

/// A proof under way: the baseline is taken, the events may be sent.
#[derive(Debug)]
pub struct Verifier {
    core: CoreApi,
    client: ClientConfig,
    baseline: Incidents,
    timeout: Duration,
}

impl Verifier {
    /// Takes the baseline as soon as all earlier events of the project are counted. Sends one event as `client`
    /// says, of type custom.
    ///
    /// # Errors
    /// If ingest or the core API cannot be asked, or earlier events are not counted within the timeout.
    pub async fn begin(config: &VerifyConfig, client: &ClientConfig) -> Result<Self, VerifyError> {
        let core = CoreApi::new(config)?;
        let marker = marker::place(client).await?;
        let deadline = Instant::now() + config.timeout;
        loop {
            let looked_at = Instant::now();
            match core.incidents().await {
                Ok(baseline) if baseline.is_complete_until(marker) => {
                    return Ok(Self { core, client: client.clone(), baseline, timeout: config.timeout });
                }
                Ok(_) if looked_at >= deadline => return Err(VerifyError::Behind),
                Err(error) if error.is_final() || looked_at >= deadline => return Err(error.into()),
                Ok(_) | Err(_) => sleep_until(looked_at + POLL).await,
            }
        }
    }

    /// Looks until all events are counted, and the counts are exact and stay so, or are too many, or the time is
    /// over. Sends one event, of type custom.
    ///
    /// # Errors
    /// If ingest or the core API cannot be asked, or not everything is counted at the end although no count differs.
    pub async fn conclude(&self, tally: &Tally) -> Result<Verdict, VerifyError> {
        let marker = marker::place(&self.client).await?;
        let deadline = Instant::now() + self.timeout;
        let mut matches_since = None;
        loop {
            let looked_at = Instant::now();
            match self.core.incidents().await {
                Ok(found) => {
                    let comparison = compare(tally, &self.baseline, &found);
                    match comparison.standing() {
                        Standing::TooMany => return Ok(Verdict::Different(comparison)),
                        Standing::TooFew if looked_at >= deadline => return Ok(Verdict::Different(comparison)),
                        Standing::Matches if found.is_complete_until(marker) => {
                            if looked_at >= *matches_since.get_or_insert(looked_at) + SETTLE {
                                return Ok(verdict(tally, comparison));
                            }
                        }
                        Standing::Matches if looked_at >= deadline => return Err(VerifyError::Behind),
                        Standing::TooFew | Standing::Matches => matches_since = None,
                    }
                }
                Err(error) if error.is_final() || looked_at >= deadline => return Err(error.into()),
                Err(_) => matches_since = None,
            }
            sleep_until(looked_at + POLL).await;
        }
    }
}

fn verdict(tally: &Tally, comparison: Comparison) -> Verdict {
    if comparison.uncertain > 0 {
        return Verdict::Uncertain(comparison);
    }
    let fingerprints = tally.iter().filter(|(_, expected)| expected.certain > 0).count();
    Verdict::Exact { events: tally.certain(), fingerprints }
}
