//! The proof: does the core API show exactly the counts that were sent?
//!
//! Error events are compared per fingerprint (`compare`), all events together by the ledger (`ledger`); both as growth
//! since a baseline, so a system that already holds incidents is verified as well as an empty one. Both the baseline
//! and the final counts are read only when a marker, sent after everything else, is counted (`marker`). Counts only
//! grow; so too many is final at once, too few only at the deadline, and exact only if it still holds a second later.

mod compare;
mod core_api;
mod ledger;
mod marker;
mod verdict;

pub use compare::{Comparison, Difference, Standing, compare};
pub use core_api::{CoreApi, Counts, Incidents, Look, LookError};
pub use ledger::{Balance, Ledger, Sent};
pub use marker::MarkerError;
pub use verdict::{Findings, Verdict};

use crate::client::ClientConfig;
use crate::key::ApiKey;
use crate::tally::Tally;
use reqwest::Url;
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
    /// Only this project's incidents and ledger; else all that the key may see.
    pub project: Option<String>,
    /// How long to wait for the counts, and before the run for those of earlier events.
    pub timeout: Duration,
}

/// Why the proof could not be attempted or brought to an end.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The core API cannot be asked at all.
    #[error("cannot read the counts")]
    Look(#[from] LookError),
    /// No marker could be placed.
    #[error("cannot place a marker")]
    Marker(#[from] MarkerError),
    /// The marker is not counted at the deadline: the engine is not running, or far behind.
    #[error("the core API is not complete yet: the engine does not run, or is behind the log")]
    Behind,
}

/// A proof under way: the baseline is taken, the events may be sent.
#[derive(Debug)]
pub struct Verifier {
    core: CoreApi,
    client: ClientConfig,
    baseline: Look,
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
        let deadline = Instant::now() + marker.ahead + config.timeout;
        loop {
            let looked_at = Instant::now();
            match core.look().await {
                Ok(baseline) if baseline.incidents.is_complete_until(marker.answered_by) => {
                    return Ok(Self { core, client: client.clone(), baseline, timeout: config.timeout });
                }
                Ok(_) if looked_at >= deadline => return Err(VerifyError::Behind),
                Err(error) if error.is_final() || looked_at >= deadline => return Err(error.into()),
                Ok(_) | Err(_) => sleep_until(looked_at + POLL).await,
            }
        }
    }

    /// Looks until all events are counted, and the counts are exact and stay so, or are too many, or the time is
    /// over. `tally` says what is expected of the error events, `sent` of all events. Sends one event, of type custom.
    ///
    /// # Errors
    /// If ingest or the core API cannot be asked, or not everything is counted at the end although no count of an
    /// incident differs.
    pub async fn conclude(&self, tally: &Tally, sent: Sent) -> Result<Verdict, VerifyError> {
        let marker = marker::place(&self.client).await?;
        let deadline = Instant::now() + marker.ahead + self.timeout;
        let mut matches_since = None;
        loop {
            let looked_at = Instant::now();
            match self.core.look().await {
                Ok(found) => {
                    let is_complete = found.incidents.is_complete_until(marker.answered_by);
                    let findings = self.findings(tally, sent, &found);
                    match findings.standing() {
                        Standing::TooMany => return Ok(Verdict::Different(findings)),
                        Standing::Matches if is_complete => {
                            if looked_at >= *matches_since.get_or_insert(looked_at) + SETTLE {
                                return Ok(Verdict::of(tally, findings));
                            }
                        }
                        // As long as the marker is not counted the ledger is short in any case, which says nothing of
                        // the run's events.
                        Standing::Matches | Standing::TooFew if looked_at >= deadline => {
                            let is_known = is_complete || findings.comparison.standing() == Standing::TooFew;
                            return if is_known { Ok(Verdict::Different(findings)) } else { Err(VerifyError::Behind) };
                        }
                        Standing::Matches | Standing::TooFew => matches_since = None,
                    }
                }
                Err(error) if error.is_final() || looked_at >= deadline => return Err(error.into()),
                Err(_) => matches_since = None,
            }
            sleep_until(looked_at + POLL).await;
        }
    }

    fn findings(&self, tally: &Tally, sent: Sent, found: &Look) -> Findings {
        Findings {
            comparison: compare(tally, &self.baseline.incidents, &found.incidents),
            balance: Balance::new(sent, &self.baseline.ledger, &found.ledger),
        }
    }
}
