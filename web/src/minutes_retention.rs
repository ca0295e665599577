//! The days of the minutes (`metrics_bucket`, `trend_hours`): made ahead, and dropped when they are old.

use schema::database::Database;
use std::num::NonZeroU16;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Days are made three days ahead, so this is often enough.
const EVERY: Duration = Duration::from_secs(3_600);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(60);

/// A task that makes and drops days. Any number of processes may have one.
#[derive(Debug)]
pub struct MinutesRetention(JoinHandle<()>);

impl MinutesRetention {
    /// Begins at once. Today and the `days` before it are kept.
    pub fn start(database: Database, days: NonZeroU16) -> Self {
        Self(actix_rt::spawn(async move {
            loop {
                let wait = match tidy(&database, days).await {
                    Ok(()) => EVERY,
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "the days of the minutes were not tidied");
                        AGAIN
                    }
                };
                tokio::time::sleep(wait).await;
            }
        }))
    }

    /// Ends it, wherever it is: it can be done again.
    pub fn stop(self) {
        self.0.abort();
    }
}

async fn tidy(database: &Database, days: NonZeroU16) -> anyhow::Result<()> {
    let mut connection = database.get().await?;
    schema::retention::ensure_days(&mut connection).await?;
    schema::retention::drop_old_days(&mut connection, days.get().into()).await?;
    Ok(())
}
