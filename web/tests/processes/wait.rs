//! Waiting: always for a condition, never longer than a deadline.

use std::time::{Duration, Instant};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(40);

/// Looks until it finds something; at the deadline it fails with what the last look said.
pub async fn eventually<T>(what: &str, within: Duration, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(found) => return found,
            Err(last) => assert!(begun.elapsed() < within, "{what} did not come about in {within:?}: {last}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// The same for a plain condition.
pub async fn until(what: &str, within: Duration, mut holds: impl FnMut() -> bool) {
    eventually(what, within, async || if holds() { Ok(()) } else { Err("not yet".to_owned()) }).await;
}
