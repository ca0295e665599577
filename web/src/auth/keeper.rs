//! The background task that keeps the memory of keys true.

use super::cache::{Cache, REFRESH};
use std::sync::Weak;
use tokio::time::{MissedTickBehavior, interval};

/// `last_used_at` is written every so many refreshes.
const NOTES_EVERY: u64 = 6;

/// Runs until the cache is dropped.
pub(super) async fn keep(cache: Weak<Cache>) {
    let mut ticks = interval(REFRESH);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reachable = true;
    for round in 0_u64.. {
        ticks.tick().await;
        let Some(cache) = cache.upgrade() else { return };
        let mut outcome = cache.refresh().await;
        if outcome.is_ok() && round % NOTES_EVERY == 0 {
            outcome = cache.note_used().await;
        }
        match outcome {
            Ok(()) if !reachable => tracing::info!("API keys can be checked again"),
            Err(ref error) if reachable => {
                tracing::warn!(%error, "API keys cannot be checked; known ones go on being served")
            }
            _ => {}
        }
        reachable = outcome.is_ok();
    }
}
