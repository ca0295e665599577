//! Places where a test makes something break. Without the feature `failpoints` they are nothing at all.
//!
//! An error event whose message contains [`POISON`] makes its IncidentActor panic, and any event whose message
//! contains [`PROJECT_POISON`] its ProjectActor, as long as [`arm`] was called.

/// Makes the IncidentActor that counts it panic.
pub const POISON: &str = "signals-test:panic-incident";
/// Makes the ProjectActor that counts it panic.
pub const PROJECT_POISON: &str = "signals-test:panic-project";

#[cfg(feature = "failpoints")]
mod armed {
    use std::sync::atomic::{AtomicBool, Ordering};

    static ARMED: AtomicBool = AtomicBool::new(false);

    /// From now on the poisons work in this process.
    pub fn arm() {
        ARMED.store(true, Ordering::Relaxed);
    }

    #[expect(clippy::panic, reason = "this is what the failpoint is for")]
    pub(crate) fn panic_on(payload: &[u8], poison: &str) {
        if ARMED.load(Ordering::Relaxed) && payload.windows(poison.len()).any(|window| window == poison.as_bytes()) {
            panic!("the record says {poison}");
        }
    }
}

#[cfg(feature = "failpoints")]
pub use armed::arm;

/// Before an incident counts a record.
pub(crate) fn count(payload: &[u8]) {
    #[cfg(feature = "failpoints")]
    armed::panic_on(payload, POISON);
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
