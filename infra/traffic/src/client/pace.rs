//! When a request is sent, and from when on its latency is measured.

use std::time::Duration;
use tokio::time::Instant;

/// A timer may wake us this much late; that delay is ours and not the server's.
const TIMER_SLACK: Duration = Duration::from_millis(2);

/// Whether requests wait for their time or for the answer before them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Pace {
    /// Each at its time, whatever the server does. The latency counts from that time, so a request that had to
    /// wait for a free connection is as late as it is ("coordinated omission" avoided).
    Open {
        /// Time zero.
        start: Instant,
    },
    /// Each as soon as a connection is free; the latency counts from the sending.
    Closed,
}

/// Nothing is scheduled later than this; so that no sum of times overflows.
const FAR: Duration = Duration::from_secs(10 * 365 * 86_400);

impl Pace {
    /// An open loop whose time zero is now.
    pub(crate) fn open() -> Self {
        Self::Open { start: Instant::now() }
    }

    /// Waits until `due` after the start and says from when on the latency counts.
    pub(crate) async fn wait(self, due: Duration) -> Instant {
        let Self::Open { start } = self else { return Instant::now() };
        let intended = start + due.min(FAR);
        if intended <= Instant::now() {
            return intended;
        }
        tokio::time::sleep_until(intended).await;
        Instant::now().min(intended + TIMER_SLACK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn requests_wait_for_their_time() {
        let start = Instant::now();
        let pace = Pace::Open { start };
        for due in [10, 500, 500, 90_000].map(Duration::from_millis) {
            let origin = pace.wait(due).await;
            assert!(start.elapsed() >= due && start.elapsed() <= due + TIMER_SLACK, "{:?}", start.elapsed());
            assert!(origin >= start + due && origin <= start + due + TIMER_SLACK);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_comes_late_is_measured_from_its_time() {
        let start = Instant::now();
        let pace = Pace::Open { start };
        advance(Duration::from_secs(3)).await;
        let origin = pace.wait(Duration::from_secs(1)).await;
        assert_eq!(start.elapsed(), Duration::from_secs(3), "it does not wait");
        assert_eq!(origin.elapsed(), Duration::from_secs(2), "it is two seconds late already");
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_closed_loop_nothing_waits() {
        advance(Duration::from_secs(3)).await;
        let before = Instant::now();
        assert_eq!(Pace::Closed.wait(Duration::from_secs(60)).await, before);
    }
}
