//! The client's clock. Only event times come from it; every decision is made by monotonic time.

use chrono::{DateTime, Utc};
use std::time::SystemTime;

/// Now, as this machine believes.
pub(crate) fn now() -> DateTime<Utc> {
    SystemTime::now().into()
}
