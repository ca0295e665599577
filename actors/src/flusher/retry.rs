//! How long to wait for a server that does not answer.

use std::time::Duration;

/// Waits longer after each failure, up to a second and a half; says so once.
#[derive(Debug, Default)]
pub struct Patience(u32);

impl Patience {
    /// Waits. `sentence` goes to the log with the error of the first failure and of every 32nd.
    pub async fn after(&mut self, error: &str, sentence: &'static str) {
        if self.0.is_multiple_of(32) {
            tracing::warn!(error, "{sentence}");
        }
        let whole = Duration::from_millis(25 << self.0.min(6));
        tokio::time::sleep(whole.mul_f64(0.5 + rand::random::<f64>() / 2.0)).await;
        self.0 = self.0.saturating_add(1);
    }
}
