//! The one small state that an actor of each kind shows.

use super::State;
use crate::incident::messages::Portrait as IncidentPortrait;
use crate::project::messages::Portrait as ProjectPortrait;
use crate::supervision::kind::Kind;
use crate::supervision::plan::SpecView;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The one small state that an actor of each kind shows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Observed {
    /// Of the RootSupervisor.
    Root(RootView),
    /// Of the Flusher.
    Flusher(FlusherView),
    /// Of the DeadLetterWriter.
    DeadLetters(DeadLettersView),
    /// Of the KafkaConsumer.
    Consumer(ConsumerView),
    /// Of a PartitionRouter.
    Router(RouterView),
    /// Of a child as its router knows it.
    Resident(ResidentView),
    /// Of an IncidentActor that was asked itself.
    Incident(IncidentView),
    /// Of a ProjectActor that was asked itself.
    Project(ProjectView),
    /// Of the SummarizerPool.
    Summarizers(SummarizersView),
    /// Of an AiSummarizer.
    Summarizer(SummarizerView),
    /// Of an Indexer.
    Indexer(IndexerView),
}

/// What the engine shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RootView {
    /// Time since it was started.
    pub up_ms: u64,
    /// Consumer group.
    pub group: String,
    /// Topic.
    pub topic: String,
    /// Actors that exist in this process, reachable or not, by kind.
    pub alive: Vec<Living>,
    /// The threads on which they live.
    pub arbiters: Vec<ArbiterView>,
    /// What is done when one of them dies, by kind.
    #[serde(default)]
    pub policies: Vec<SpecView>,
}

/// A thread that actors live on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ArbiterView {
    /// What lives there.
    pub name: String,
    /// Whether it turns: `running`, `stuck` if it owes its heartbeat, or `ended`.
    pub state: State,
    /// Age of its heartbeat when it was heard, or until now if it is owed.
    pub beat_ms: u64,
}

/// Actors of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Living {
    /// The kind.
    pub kind: Kind,
    /// How many.
    pub count: usize,
}

/// What the Flusher shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlusherView {
    /// Flushes under way.
    pub under_way: usize,
    /// Age of the oldest of them.
    pub oldest_ms: Option<u64>,
    /// Flushes made durable since the start.
    pub durable: u64,
    /// Flushes that the fence refused.
    pub refused: u64,
    /// How often the flush under way that fares worst has failed.
    pub failures: u32,
    /// Its last error.
    pub last_error: Option<String>,
}

/// What the writer of dead letters shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DeadLettersView {
    /// Letters that wait for their acknowledgements.
    pub waiting: usize,
    /// Letters acknowledged since the start.
    pub sent: u64,
    /// The last error, until a letter is acknowledged again.
    pub last_error: Option<String>,
}

/// What the poll thread shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ConsumerView {
    /// Rounds since the start; it makes at least ten a second.
    pub rounds: u64,
    /// Time since the last one began.
    pub last_round_ms: u64,
    /// What it is at, as part of a sentence.
    pub work: String,
    /// Since when.
    pub work_ms: u64,
    /// Partitions that this process owns.
    pub tenures: usize,
}

/// What a router shows.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouterView {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Fencing token of the tenure.
    pub epoch: i64,
    /// Age of the tenure.
    pub tenure_ms: u64,
    /// First offset that no transaction contains.
    pub next_offset: i64,
    /// First offset that is not routed.
    pub position: i64,
    /// The log's end as it was last seen.
    pub high_watermark: Option<i64>,
    /// Records in the log that no transaction contains.
    pub lag: Option<i64>,
    /// Records routed since the last cut.
    pub undurable: usize,
    /// Whether all of the log, as it was last seen, is routed.
    pub is_caught_up: Option<bool>,
    /// Age of the flush in flight.
    pub flush_ms: Option<u64>,
    /// What the last flush took, from cut to durable.
    pub last_flush_ms: Option<u64>,
    /// What it is at, as part of a sentence.
    pub step: String,
    /// Since when.
    pub step_ms: u64,
    /// IncidentActors that live with it; none if it lives elsewhere.
    pub incidents: Option<usize>,
    /// ProjectActors that live with it; none if the router did not answer.
    pub projects: Option<usize>,
}

/// What the pool of summarizers shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SummarizersView {
    /// The models in the order in which they are asked; empty: none is, the summaries are deterministic.
    pub models: Vec<String>,
    /// Summarizers at work on an incident.
    pub busy: usize,
    /// Times that the summaries were looked through.
    pub rounds: u64,
    /// Summaries that were asked for again because their incidents had changed.
    pub refreshed: u64,
    /// Why the last look for such, or for jobs whose workers vanished, failed.
    pub last_error: Option<String>,
}

/// What a summarizer shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SummarizerView {
    /// The incident that it is at work on; none if it is idle.
    pub incident_id: Option<String>,
    /// Which attempt of the incident's job it is.
    pub attempt: Option<i32>,
    /// How long it has been at it, or idle.
    pub since_ms: u64,
    /// Jobs that it took.
    pub jobs: u64,
    /// Jobs that it ended well.
    pub succeeded: u64,
    /// Jobs that went wrong with it, that time at least.
    pub failed: u64,
    /// Times that it asked a model.
    pub calls: u64,
    /// What last went wrong.
    pub last_error: Option<String>,
}

/// What an indexer shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IndexerView {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// The index: `opensearch` or `tantivy`.
    pub index: String,
    /// Time since it began.
    pub age_ms: u64,
    /// First offset that is not settled: neither stored, nor dead-lettered, nor left out; null before the first record.
    pub next_offset: Option<i64>,
    /// The log's end as it was last seen.
    pub high_watermark: Option<i64>,
    /// Records between the two.
    pub lag: Option<i64>,
    /// Events that the index took or had, since it began.
    pub events: u64,
    /// How often the index failed in a row.
    pub failures: u32,
    /// What it said last.
    pub last_error: Option<String>,
    /// What it is at, as part of a sentence.
    pub step: String,
    /// Since when.
    pub step_ms: u64,
}

/// What a router knows of a child without asking it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ResidentView {
    /// 1 for the actor's first life in this tenure; one more after each death.
    pub generation: u32,
    /// Letters sent to it that no cut contains yet; it is rebuilt from them if it dies.
    pub letters: usize,
    /// Time since it last got a letter.
    pub last_used_ms: u64,
}

/// An IncidentActor.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IncidentView {
    /// As its router knows it.
    #[serde(flatten)]
    pub resident: ResidentView,
    /// As it says itself.
    #[serde(flatten)]
    pub portrait: IncidentPortrait,
}

/// A ProjectActor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProjectView {
    /// As its router knows it.
    #[serde(flatten)]
    pub resident: ResidentView,
    /// As it says itself.
    #[serde(flatten)]
    pub portrait: ProjectPortrait,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_observed_state_names_its_type_and_keeps_its_members_flat() {
        let view = IncidentView::default();
        let json = serde_json::to_value(Observed::Incident(view.clone())).unwrap();
        assert_eq!((json["type"].as_str(), json["generation"].as_i64()), (Some("incident"), Some(0)));
        assert_eq!(json["event_count"], 0);
        assert_eq!(serde_json::from_value::<Observed>(json).unwrap(), Observed::Incident(view));
    }
}
