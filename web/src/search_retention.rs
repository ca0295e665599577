//! Old days of the search index go. By the database's clock, for the search server may keep another.

use anyhow::Context;
use chrono::{Days, NaiveDate};
use schema::database::Database;
use schema::search::SearchIndex;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;

/// A day goes within this time after its last hour.
const EVERY: Duration = Duration::from_secs(3_600);
/// After a failure.
const AGAIN: Duration = Duration::from_secs(60);

/// A task that deletes old days.
#[derive(Debug)]
pub struct SearchRetention(JoinHandle<()>);

impl SearchRetention {
    /// Begins at once. Today and the `days` before it are kept.
    pub fn start(database: Database, index: Arc<dyn SearchIndex>, days: NonZeroU32) -> Self {
        Self(actix_rt::spawn(async move {
            loop {
                let wait = match drop_old_days(&database, &*index, days).await {
                    Ok(gone) => {
                        if !gone.is_empty() {
                            tracing::info!(?gone, "days of the search index were deleted");
                        }
                        EVERY
                    }
                    Err(error) => {
                        tracing::warn!(error = format!("{error:#}"), "old days of the search index were not deleted");
                        AGAIN
                    }
                };
                tokio::time::sleep(wait).await;
            }
        }))
    }

    /// Ends it, wherever it is: deleting can be done again.
    pub fn stop(self) {
        self.0.abort();
    }
}

/// Deletes the days before today and the `days` before it; says which.
///
/// # Errors
/// The database's and the index's.
pub async fn drop_old_days(
    database: &Database,
    index: &dyn SearchIndex,
    days: NonZeroU32,
) -> anyhow::Result<Vec<NaiveDate>> {
    let today = schema::retention::today(&mut *database.get().await?).await?;
    let oldest = today.checked_sub_days(Days::new(days.get().into())).context("there is no such day")?;
    Ok(index.drop_days_before(oldest).await?)
}
