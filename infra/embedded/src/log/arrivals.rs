//! The bell that rings when records were written.

use std::sync::Arc;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// Told by who writes, heard by who waits for records; clones share one bell.
#[derive(Clone, Debug, Default)]
pub(super) struct Arrivals(Arc<Notify>);

impl Arrivals {
    /// Wakes everybody who listens now.
    pub(super) fn announce(&self) {
        self.0.notify_waiters();
    }

    /// Completes at the next announcement. It must be enabled before the log is looked at, else one could be missed.
    pub(super) fn next(&self) -> Notified<'_> {
        self.0.notified()
    }
}
