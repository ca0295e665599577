//! The living tree as data: what `GET /v1/supervision` and `signals top` show.
//!
//! Durations are milliseconds until now, so that nobody's clock matters.

use super::child::ExitReason;
use super::kind::Kind;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

mod observed;
mod paging;

pub use observed::{
    ArbiterView, ConsumerView, DeadLettersView, FlusherView, IncidentView, IndexerView, Living, Observed, ProjectView,
    ResidentView, RootView, RouterView, SummarizerView, SummarizersView,
};
pub use paging::{Cursor, Order, Place, Selection};

/// One actor, and those below it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ActorView {
    /// What it is.
    pub kind: Kind,
    /// Its name, as `/v1/supervision/{actor}` takes it.
    pub id: String,
    /// How it is.
    pub state: State,
    /// A sentence, where the state calls for one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Its box; none for a thread and for a child that is only listed in passing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<Mailbox>,
    /// How often it was begun anew, and why.
    pub restarts: Restarts,
    /// Milliseconds since it last got something done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_progress_ms: Option<u64>,
    /// Its one small state.
    pub observed: Observed,
    /// Its children, where they are few.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(no_recursion)]
    pub children: Vec<ActorView>,
    /// Its children by kind, page by page, where they are many.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub residents: Vec<Page>,
}

/// How an actor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// At work, or ready for it.
    Running,
    /// Its partition is paused until it has caught up: back-pressure instead of memory.
    Paused,
    /// For a server that does not answer, or for the rest of the group.
    Waiting,
    /// Dead; a new one begins shortly.
    Restarting,
    /// It did not answer in time. What is shown is what it last wrote down.
    Stuck,
    /// Its restart budget is spent, or the engine ends.
    Ended,
    /// It lives in another process; what is shown is what the database knows.
    Elsewhere,
}

impl State {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Waiting => "waiting",
            Self::Restarting => "restarting",
            Self::Stuck => "stuck",
            Self::Ended => "ended",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// A box of letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Mailbox {
    /// Letters that wait in it.
    pub waiting: usize,
    /// Letters that it holds at most.
    pub capacity: usize,
}

/// How often an actor was begun anew.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Restarts {
    /// Since this process started; for a child, since its tenure began.
    pub count: u64,
    /// What it may still bear; children of the same kind and partition share theirs. None for the root, which may bear nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Budget>,
    /// The last deaths, the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deaths: Vec<DeathView>,
}

/// A restart budget; once it is spent, the parent decides.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Budget {
    /// Deaths within the period.
    pub used: usize,
    /// Deaths that are forgiven within it.
    pub most: usize,
    /// The period in seconds.
    pub period_seconds: u64,
}

/// One death.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct DeathView {
    /// Who.
    pub actor: String,
    /// In which partition, if it belongs to one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partition: Option<i32>,
    /// `panicked`, `failed`, `revoked` or `rewound`.
    pub reason: ExitReason,
    /// The panic's or the error's words.
    pub message: String,
    /// The record that it was at work on, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<i64>,
    /// How long ago.
    pub ms_ago: u64,
    /// After which wait a new one was begun; none if the budget was spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restarted_after_ms: Option<u64>,
}

/// Some children of one kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Page {
    /// Their kind.
    pub kind: Kind,
    /// How many there are in all.
    pub total: usize,
    /// Their order.
    pub sort: Order,
    /// The page.
    #[schema(no_recursion)]
    pub items: Vec<ActorView>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}
