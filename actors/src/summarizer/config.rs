//! What the summarizers can be told.

use schema::ai::budget::Allowance;
use serde::Deserialize;
use std::time::Duration;

/// `SIGNALS_AI_*`: how many summarizers there are and what they may spend.
#[derive(Clone, Debug, Deserialize)]
#[serde(default)]
pub struct AiConfig {
    /// `SIGNALS_AI_WORKERS`: incidents explained at the same time by this process.
    pub workers: usize,
    /// `SIGNALS_AI_TOKENS_PER_DAY`: tokens that all processes together may spend on one day (UTC).
    pub tokens_per_day: u32,
    /// `SIGNALS_AI_TOKENS_PER_INCIDENT`: tokens that one incident may cost in its life.
    pub tokens_per_incident: u32,
    /// `SIGNALS_AI_POLL_SECONDS`: a worker that nobody wakes looks for jobs this often.
    pub poll_seconds: u32,
    /// `SIGNALS_AI_LEASE_SECONDS`: the job of a worker that gives no sign of life for so long goes to another one.
    pub lease_seconds: u32,
    /// `SIGNALS_AI_FACTS_BYTES`: what a model is sent of an incident, in bytes of JSON; 4000 is the least.
    pub facts_bytes: usize,
    /// `SIGNALS_AI_REFRESH_SECONDS`: how often summaries are looked through for those whose incidents have changed.
    pub refresh_seconds: u32,
    /// `SIGNALS_AI_REST_SECONDS`: a summary is not written again sooner, unless a person asks.
    pub rest_seconds: u32,
}

impl Default for AiConfig {
    fn default() -> Self {
        Self {
            workers: 2,
            tokens_per_day: 1_000_000,
            tokens_per_incident: 40_000,
            poll_seconds: 5,
            lease_seconds: 120,
            facts_bytes: super::facts::bound::USUAL_BYTES,
            refresh_seconds: 15,
            rest_seconds: 60,
        }
    }
}

/// Sizes of the summarizers; the default is what is tested.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// How many there are; at least one.
    pub workers: usize,
    /// A worker that nobody wakes looks for jobs this often.
    pub poll: Duration,
    /// A job belongs to its worker for so long after each sign of life.
    pub lease: Duration,
    /// Wait after a job's first failed attempt; it doubles with each further one.
    pub first_delay: Duration,
    /// The wait never grows beyond this.
    pub longest_delay: Duration,
    /// Bytes of facts.
    pub facts_bytes: usize,
    /// What may be spent.
    pub allowance: Allowance,
    /// How often summaries are looked through.
    pub refresh: Duration,
    /// How long a summary rests.
    pub rest: Duration,
}

impl From<&AiConfig> for PoolConfig {
    fn from(config: &AiConfig) -> Self {
        Self {
            workers: config.workers.max(1),
            poll: Duration::from_secs(config.poll_seconds.max(1).into()),
            lease: Duration::from_secs(config.lease_seconds.max(1).into()),
            first_delay: Duration::from_secs(5),
            longest_delay: Duration::from_secs(120),
            facts_bytes: config.facts_bytes,
            allowance: Allowance {
                per_day: config.tokens_per_day.into(),
                per_incident: config.tokens_per_incident.into(),
            },
            refresh: Duration::from_secs(config.refresh_seconds.max(1).into()),
            rest: Duration::from_secs(config.rest_seconds.into()),
        }
    }
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self::from(&AiConfig::default())
    }
}

impl PoolConfig {
    /// How long a job waits after its n-th attempt has failed. `jitter` is in [0, 1) and spreads the wait between a half and
    /// the whole of it.
    pub fn wait_after(&self, attempt: i32, jitter: f64) -> Duration {
        let doublings = u32::try_from(attempt.saturating_sub(1)).unwrap_or(0).min(20);
        let wait = self.first_delay.saturating_mul(1 << doublings).min(self.longest_delay);
        wait.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_doubles_from_five_seconds_to_two_minutes() {
        let config = PoolConfig::default();
        let waits = [1, 2, 3, 6, i32::MAX, i32::MIN].map(|attempt| config.wait_after(attempt, 1.0).as_secs());
        assert_eq!(waits, [5, 10, 20, 120, 120, 5]);
        assert_eq!(config.wait_after(1, 0.0), Duration::from_millis(2_500));
    }

    #[test]
    fn the_environment_reaches_the_pool_and_there_is_always_a_worker() {
        let variables =
            [("SIGNALS_AI_WORKERS", "0"), ("SIGNALS_AI_TOKENS_PER_DAY", "7"), ("SIGNALS_AI_REST_SECONDS", "0")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config: AiConfig = envy::prefixed("SIGNALS_AI_").from_iter(variables).unwrap();
        let pool = PoolConfig::from(&config);
        assert_eq!((pool.workers, pool.allowance.per_day, pool.rest), (1, 7, Duration::ZERO));
    }
}
