//! How far the sending may run ahead of a batch whose fate is open.
//!
//! The engine knows an event again only within its dedupe window, measured in records. A batch that is sent again
//! must therefore not be left far behind by the other connections, or what was taken in at its first attempt would
//! count twice.

use std::collections::BTreeSet;
use tokio::sync::watch;

/// Half of the engine's window of 100,000 records, because others may write to the same project.
const SPAN: u64 = 50_000;

/// Positions, in events sent before them, of the batches that are under way.
#[derive(Debug)]
pub(super) struct Window {
    span: u64,
    open: watch::Sender<BTreeSet<u64>>,
}

impl Window {
    pub(super) fn new() -> Self {
        Self { span: SPAN, open: watch::Sender::default() }
    }

    /// Waits until the oldest open batch lies within reach of this one, which is open from now on.
    pub(super) async fn enter(&self, position: u64) {
        self.open.send_modify(|open| {
            open.insert(position);
        });
        let within =
            |open: &BTreeSet<u64>| open.first().is_none_or(|oldest| position - oldest.min(&position) <= self.span);
        // The sender is ours, so that the waiting cannot be in vain.
        let _ = self.open.subscribe().wait_for(within).await;
    }

    /// The batch's fate is known, or it is given up.
    pub(super) fn leave(&self, position: u64) {
        self.open.send_modify(|open| {
            open.remove(&position);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    const WHILE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn a_batch_far_ahead_waits_for_the_oldest_one_and_the_oldest_for_nobody() {
        let window = Window::new();
        window.enter(0).await;
        window.enter(SPAN / 2).await;
        window.enter(SPAN).await;
        assert!(timeout(WHILE, window.enter(SPAN + 1)).await.is_err(), "the batch at 0 is still open");
        window.leave(SPAN);
        assert!(timeout(WHILE, window.enter(SPAN + 1)).await.is_err());
        let (waited, ()) = tokio::join!(timeout(WHILE, window.enter(SPAN + 2)), async { window.leave(0) });
        assert!(waited.is_ok(), "it is let in when the oldest one is done");
        assert!(timeout(WHILE, window.enter(2 * SPAN)).await.is_err(), "now the one in the middle is the oldest");
    }
}
