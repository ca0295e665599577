//! Places where a test makes something break. Without the feature `failpoints` they are nothing at all.
//!
//! An error event whose message contains [`POISON`] makes its IncidentActor panic, and any event whose message
//! contains [`PROJECT_POISON`] its ProjectActor, as long as [`arm`] was called. One that contains [`STALL`] makes its router
//! sleep, and one that contains [`BLOCK`] its whole arbiter, until the test drops its `Gate`.
//!
//! Apart from what records say, each [`Point`] can be struck: the n-th passing of it panics, fails or is late. A test
//! arms it with a `Strike`, which also tells whether it has fired.

/// Makes the IncidentActor that counts it panic.
pub const POISON: &str = "signals-test:panic-incident";
/// Makes the ProjectActor that counts it panic.
pub const PROJECT_POISON: &str = "signals-test:panic-project";

/// Makes the router sleep that routes it.
pub const STALL: &str = "signals-test:stall-router";
/// Makes the thread sleep on which its IncidentActor lives.
pub const BLOCK: &str = "signals-test:block-arbiter";

#[cfg(feature = "failpoints")]
mod strike;

/// A place that can be struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Point {
    /// The Flusher, before the transaction.
    FlushBeforeCommit,
    /// The Flusher, after the transaction: it is committed, but nobody learns of it.
    FlushAfterCommit,
    /// The writer of dead letters, before it sends one. A failure is one that its producer does not survive.
    DeadLetter,
    /// A router that begins a cut.
    Cut,
    /// An IncidentActor that is asked for its part of a cut.
    Snapshot,
    /// An IncidentActor that counts a record.
    ApplyIncident,
    /// A ProjectActor that counts a record.
    ApplyProject,
    /// A router that loads the rows of incidents which it does not know.
    Wake,
    /// The poll thread that claims a partition.
    Assign,
    /// The poll thread that gives partitions back.
    Revoke,
    /// The poll thread at the beginning of a round.
    Poll,
    /// The indexers' poll thread at the beginning of a round.
    IndexPoll,
    /// A summarizer that has gathered an incident's facts.
    Summarize,
}

/// A point was struck and shall fail. Without the feature there is no such thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg(feature = "failpoints")]
#[error("the failpoint {0:?} was struck")]
pub struct Struck(pub Point);

/// Without the feature no point is ever struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg(not(feature = "failpoints"))]
pub enum Struck {}

/// A place that can wait and fail.
#[inline]
pub(crate) async fn pass(point: Point) -> Result<(), Struck> {
    #[cfg(feature = "failpoints")]
    return strike::pass(point).await;
    #[cfg(not(feature = "failpoints"))]
    {
        let _ = point;
        Ok(())
    }
}

/// A place that cannot fail and blocks its thread if it is late.
#[inline]
pub(crate) fn hit(point: Point) {
    #[cfg(feature = "failpoints")]
    strike::hit(point);
    #[cfg(not(feature = "failpoints"))]
    let _ = point;
}

#[cfg(feature = "failpoints")]
mod armed {
    use crate::consumer::batch::RecordBatch;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Condvar, Mutex, PoisonError};
    use tokio::sync::watch;

    static ARMED: AtomicBool = AtomicBool::new(false);

    /// From now on the poisons work in this process.
    pub fn arm() {
        ARMED.store(true, Ordering::Relaxed);
    }

    #[expect(clippy::panic, reason = "this is what the failpoint is for")]
    pub(crate) fn panic_on(payload: &[u8], poison: &str) {
        if says(payload, poison) {
            panic!("the record says {poison}");
        }
    }

    fn says(payload: &[u8], poison: &str) -> bool {
        ARMED.load(Ordering::Relaxed) && payload.windows(poison.len()).any(|window| window == poison.as_bytes())
    }

    static SLEEPERS: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

    /// Holds back those who meet a record that says so, until it is dropped.
    #[derive(Debug)]
    pub struct Gate(());

    impl Gate {
        /// Closed.
        pub fn close() -> Self {
            Self::set(true);
            Self(())
        }

        fn set(is_closed: bool) {
            *SLEEPERS.0.lock().unwrap_or_else(PoisonError::into_inner) = is_closed;
            SLEEPERS.1.notify_all();
            closed().send_replace(is_closed);
        }
    }

    impl Drop for Gate {
        fn drop(&mut self) {
            Self::set(false);
        }
    }

    fn closed() -> &'static watch::Sender<bool> {
        static CLOSED: std::sync::OnceLock<watch::Sender<bool>> = std::sync::OnceLock::new();
        CLOSED.get_or_init(|| watch::Sender::new(false))
    }

    pub(crate) async fn stall_on(batch: &RecordBatch, poison: &str) {
        if batch.iter().any(|(_, payload)| says(payload, poison)) {
            // The sender is static, so it is never gone.
            let _ = closed().subscribe().wait_for(|is_closed| !is_closed).await;
        }
    }

    pub(crate) fn block_on(payload: &[u8], poison: &str) {
        if says(payload, poison) {
            let is_closed = SLEEPERS.0.lock().unwrap_or_else(PoisonError::into_inner);
            drop(SLEEPERS.1.wait_while(is_closed, |is_closed| *is_closed));
        }
    }
}

#[cfg(feature = "failpoints")]
pub use armed::{Gate, arm};
#[cfg(feature = "failpoints")]
pub use strike::{Action, Strike};

/// Before a router routes a batch.
pub(crate) async fn stall(batch: &crate::consumer::batch::RecordBatch) {
    #[cfg(feature = "failpoints")]
    armed::stall_on(batch, STALL).await;
    #[cfg(not(feature = "failpoints"))]
    let _ = batch;
}

/// Before an incident counts a record.
pub(crate) fn count(payload: &[u8]) {
    #[cfg(feature = "failpoints")]
    {
        armed::panic_on(payload, POISON);
        armed::block_on(payload, BLOCK);
        strike::hit(Point::ApplyIncident);
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = payload;
}

/// Before a project counts a record.
pub(crate) fn observe(payload: &[u8]) {
    #[cfg(feature = "failpoints")]
    {
        armed::panic_on(payload, PROJECT_POISON);
        strike::hit(Point::ApplyProject);
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = payload;
}
