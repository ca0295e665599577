//! Places where a test makes something break. Without the feature `failpoints` they are nothing at all.
//!
//! An error event whose message contains [`POISON`] makes its IncidentActor panic, and any event whose message
//! contains [`PROJECT_POISON`] its ProjectActor, as long as [`arm`] was called. One that contains [`STALL`] makes its router
//! sleep, and one that contains [`BLOCK`] its whole arbiter, until the test drops its `Gate`.

/// Makes the IncidentActor that counts it panic.
pub const POISON: &str = "signals-test:panic-incident";
/// Makes the ProjectActor that counts it panic.
pub const PROJECT_POISON: &str = "signals-test:panic-project";

/// Makes the router sleep that routes it.
pub const STALL: &str = "signals-test:stall-router";
/// Makes the thread sleep on which its IncidentActor lives.
pub const BLOCK: &str = "signals-test:block-arbiter";

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
    }
    #[cfg(not(feature = "failpoints"))]
    let _ = payload;
}

/// Before a project counts a record.
pub(crate) fn observe(payload: &[u8]) {
    #[cfg(feature = "failpoints")]
    armed::panic_on(payload, PROJECT_POISON);
    #[cfg(not(feature = "failpoints"))]
    let _ = payload;
}
