//! A switch for a bench: how dear is it that an operator can look on? Without the feature `failpoints` there is none.

#[cfg(feature = "failpoints")]
mod switch {
    use std::sync::atomic::{AtomicBool, Ordering};

    static IS_OFF: AtomicBool = AtomicBool::new(false);

    /// From now on nothing in this process writes down what only the operator's view shows: steps, rounds, progress, births.
    pub fn switch_off() {
        IS_OFF.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_on() -> bool {
        !IS_OFF.load(Ordering::Relaxed)
    }
}

#[cfg(feature = "failpoints")]
pub(crate) use switch::is_on;
#[cfg(feature = "failpoints")]
pub use switch::switch_off;

/// Whether what the operator's view shows is written down: always.
#[cfg(not(feature = "failpoints"))]
pub(crate) const fn is_on() -> bool {
    true
}
