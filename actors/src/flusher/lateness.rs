//! How late events become durable. The one place of the engine that reads the wall clock, and nothing is decided by it:
//! received time was stamped by another process's wall clock, so only a wall clock can be compared with it.

use chrono::{DateTime, Utc};
use std::time::Duration;

/// Time since `received_at`; zero if our clock is behind ingest's.
#[expect(clippy::disallowed_methods, reason = "it is measured and shown, and decides nothing (G9)")]
pub(crate) fn since(received_at: DateTime<Utc>) -> Duration {
    Utc::now().signed_duration_since(received_at).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_the_future_is_not_late_and_one_of_the_past_is() {
        assert_eq!(since(DateTime::<Utc>::MAX_UTC), Duration::ZERO);
        assert!(since(DateTime::UNIX_EPOCH) > Duration::from_secs(1_700_000_000));
    }
}
