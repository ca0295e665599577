//! What a parent knows of a child: how to make one, how often it may die, and how it died.

use super::restart::RestartPolicy;
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
    /// Whether the parent must build something anew.
    pub fn is_death(self) -> bool {
        matches!(self, Self::Failed | Self::Panicked)
    }

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

/// A kind of child as data: its name, its factory, and how often it may die.
pub struct ChildSpec<F> {
    /// Name for logs and the operator's view.
    pub name: &'static str,
    /// Makes a new one; never hands back an old value.
    pub start: F,
    /// Budget and backoff.
    pub restart: RestartPolicy,
}

impl<F> std::fmt::Debug for ChildSpec<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ChildSpec").field("name", &self.name).field("restart", &self.restart).finish_non_exhaustive()
    }
}

/// To be called in `stopped()`: tells a panic from a stop, and reports what is not an ordinary end.
pub fn report_end(obituary: &Obituary, reason: ExitReason, child: impl FnOnce() -> String) {
    let reason = if std::thread::panicking() { ExitReason::Panicked } else { reason };
    if reason.is_death() {
        // A closed channel means that the whole tree is going down already.
        let _ = obituary.send(DeathNotice { child: child(), reason });
    }
}
