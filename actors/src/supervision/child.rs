//! What a parent learns of a child's end.

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::UnboundedSender;
use utoipa::ToSchema;

/// Why an actor is no more. The parent acts on this, never on a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExitReason {
    /// It was asked to end and has: nothing to do.
    Finished,
    /// It was idle and clean and made room: it is woken again when its next record comes.
    Passivated,
    /// Its partition went to another owner: everything in memory is forgotten.
    Revoked,
    /// It met an error that it cannot go on from: its tree is built anew from the durable rows and the log.
    Failed,
    /// A handler panicked: as `Failed`, since its memory cannot be trusted.
    Panicked,
    /// The database refuses what some records say: its tree is built anew, and those records go to the dead letters. It is
    /// not the actor's fault, so no budget pays for it.
    Rewound,
}

impl ExitReason {
    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Passivated => "passivated",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
            Self::Panicked => "panicked",
            Self::Rewound => "rewound",
        }
    }
}

/// How one life ended, before anybody has decided what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Why.
    pub reason: ExitReason,
    /// The panic's or the error's words.
    pub words: String,
}

impl Ended {
    /// It met an error.
    pub fn failed(words: impl Into<String>) -> Self {
        Self { reason: ExitReason::Failed, words: words.into() }
    }

    /// It panicked.
    pub fn panicked(words: impl Into<String>) -> Self {
        Self { reason: ExitReason::Panicked, words: words.into() }
    }
}

/// A child has died once more than its budget allows, and its parent is the root: the process must end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathNotice {
    /// Kind and key, `PartitionRouter 3` say.
    pub child: String,
    /// Why it died the last time.
    pub reason: ExitReason,
    /// What it said.
    pub words: String,
}

/// Where death notices go. Unbounded: a notice must never wait, and an actor dies once.
pub type Obituary = UnboundedSender<DeathNotice>;
