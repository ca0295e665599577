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
        }
    }
}

/// Sent by an actor from `stopped()`, also while a panic unwinds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeathNotice {
    /// Kind and key, `PartitionRouter 3` say.
    pub child: String,
    /// Why.
    pub reason: ExitReason,
}

/// Where death notices go. Unbounded: a notice must never wait, and an actor dies once.
pub type Obituary = UnboundedSender<DeathNotice>;
