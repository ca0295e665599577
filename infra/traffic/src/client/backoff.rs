//! How long to wait before a resend.

use rand::RngExt;
use std::time::Duration;

/// The longest pause, in first pauses.
const GROWTH_LIMIT: u32 = 20;
/// A server may ask for more patience; we come back after this at the latest.
const LONGEST_ASKED: Duration = Duration::from_secs(10);

/// Pauses that double, with jitter, so that connections do not come back all at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    first: Duration,
    next: Duration,
}

impl Backoff {
    pub(super) fn new(first: Duration) -> Self {
        Self { first, next: first }
    }

    /// The next pause: half of it fixed, half of it random; never less than what the server asked for, within bounds.
    pub(super) fn pause(&mut self, retry_after: Option<Duration>) -> Duration {
        let pause = self.next.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.next = self.next.saturating_mul(2).min(self.first.saturating_mul(GROWTH_LIMIT));
        pause.max(retry_after.unwrap_or_default().min(LONGEST_ASKED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let first = Duration::from_millis(50);
        let mut backoff = Backoff::new(first);
        let mut longest = first;
        for _ in 0..40 {
            let pause = backoff.pause(None);
            assert!(pause >= longest / 2 && pause <= longest, "{pause:?} of {longest:?}");
            longest = (longest * 2).min(first * GROWTH_LIMIT);
        }
        assert_eq!(longest, Duration::from_secs(1));
    }

    #[test]
    fn the_servers_wish_is_honoured_within_bounds() {
        let mut backoff = Backoff::new(Duration::from_millis(1));
        assert_eq!(backoff.pause(Some(Duration::from_secs(2))), Duration::from_secs(2));
        assert_eq!(backoff.pause(Some(Duration::from_secs(86_400))), LONGEST_ASKED);
        assert!(backoff.pause(Some(Duration::ZERO)) > Duration::ZERO, "never a busy loop");
    }
}
