//! What the database knows of the engines, whichever process they run in.

use super::SupervisionState;
use super::shapes::{Known, Partition};
use super::sight::Sight;
use crate::error::Problem;
use actors::supervision::kind::ActorId;
use actors::supervision::view::{ActorView, Observed, Restarts, RouterView, State};
use diesel::QueryResult;
use diesel_async::AsyncPgConnection;
use schema::names::{ENGINE_GROUP, RAW_TOPIC};
use schema::oversight;
use std::time::Duration;

/// How long the database may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// Rows shown of each table.
const SHOWN: i64 = 100;

impl SupervisionState {
    /// What the database knows, of quarantines those that `sight` covers; it says so itself if the database does not
    /// answer.
    pub(super) async fn known(&self, sight: &Sight) -> Known {
        let read = async |connection: &mut AsyncPgConnection, group: &str, topic: &str| {
            read(connection, group, topic, sight.only()).await
        };
        self.ask(read).await.unwrap_or_default()
    }

    /// The router of a partition that another process owns, as its checkpoint says.
    pub(super) async fn elsewhere(&self, id: &ActorId) -> Result<Option<ActorView>, Problem> {
        let ActorId::Router(partition) = id else { return Ok(None) };
        let asked =
            self.ask(async |connection, group, topic| oversight::partitions(connection, group, topic).await).await;
        let rows = asked.ok_or_else(super::unavailable)?;
        let row = rows.into_iter().find(|row| row.partition == *partition);
        Ok(row.map(|row| shown_from_afar(id, row.into())))
    }

    async fn ask<T>(
        &self,
        question: impl AsyncFnOnce(&mut AsyncPgConnection, &str, &str) -> QueryResult<T>,
    ) -> Option<T> {
        let (group, topic) = match &self.observer {
            Some(observer) => (observer.group(), observer.topic()),
            None => (ENGINE_GROUP, RAW_TOPIC),
        };
        let asked = async {
            let mut connection = self.database.get().await.map_err(|error| error.to_string())?;
            question(&mut connection, group, topic).await.map_err(|error| error.to_string())
        };
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(answer)) => return Some(answer),
            Ok(Err(error)) => tracing::warn!(error, "the database does not tell what it knows of the engines"),
            Err(_) => tracing::warn!("the database does not tell in time what it knows of the engines"),
        }
        None
    }
}

async fn read(connection: &mut AsyncPgConnection, group: &str, topic: &str, only: Option<&str>) -> QueryResult<Known> {
    let rows = oversight::partitions(connection, group, topic).await?;
    let partitions: Vec<Partition> = rows.into_iter().map(Into::into).collect();
    Ok(Known {
        database_answers: true,
        complete_until: partitions.iter().filter_map(|partition| partition.complete_until).min(),
        partitions,
        log_gaps: oversight::gaps(connection, topic, SHOWN).await?.into(),
        quarantine: oversight::quarantined(connection, only, SHOWN).await?.into(),
    })
}

impl Known {
    /// Marks the partitions that the engine of this process owns.
    pub(super) fn beside(mut self, engine: Option<&ActorView>) -> Self {
        let Some(engine) = engine else { return self };
        let ours: Vec<(i32, i64)> = engine
            .children
            .iter()
            .filter_map(|child| match &child.observed {
                Observed::Router(router) => Some((router.partition, router.epoch)),
                _ => None,
            })
            .collect();
        for known in &mut self.partitions {
            known.is_here = ours.contains(&(known.partition, known.epoch));
        }
        self
    }
}

fn shown_from_afar(id: &ActorId, known: Partition) -> ActorView {
    let observed = Observed::Router(RouterView {
        topic: known.topic,
        partition: known.partition,
        epoch: known.epoch,
        next_offset: known.next_offset,
        position: known.next_offset,
        high_watermark: Some(known.high_watermark),
        lag: Some(known.lag),
        step: "of which only its checkpoint is known here".to_owned(),
        ..RouterView::default()
    });
    ActorView {
        kind: id.kind(),
        id: id.to_string(),
        state: State::Elsewhere,
        why: Some("no tenure of this partition lives in this process".to_owned()),
        mailbox: None,
        restarts: Restarts::default(),
        last_progress_ms: None,
        observed,
        children: Vec::new(),
        residents: Vec::new(),
    }
}
