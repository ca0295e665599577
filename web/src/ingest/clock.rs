//! The one place that reads the wall clock: when an event is received.

use chrono::{DateTime, SubsecRound, Utc};

/// The present moment, to the millisecond.
#[expect(clippy::disallowed_methods, reason = "received time is stamped here and nowhere else")]
pub fn received_now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(3)
}
