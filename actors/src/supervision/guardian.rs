//! The one who decides what follows a death: enters it, charges the budget, tells the root when that is spent.
//!
//! Any child can be kept: one that is a future by [`keep`]; one that is a thread or lives inside its parent asks its
//! [`Guardian`] itself.

use super::child::{DeathNotice, Ended, Obituary};
use super::chronicle::{Chronicle, Death};
use super::kind::{ActorId, Kind};
use super::panics;
use super::plan::{ChildSpec, Plan};
use super::restart::{RestartBudget, Verdict};
use futures_util::FutureExt;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use tokio::time::Instant;

/// What all guardians of one engine share.
#[derive(Clone, Debug)]
pub struct Tree {
    /// The policies.
    pub plan: Arc<Plan>,
    /// Where births and deaths are entered.
    pub chronicle: Arc<Chronicle>,
    /// Where a spent budget is told, if nobody but the root stands above.
    pub obituary: Obituary,
}

impl Tree {
    /// A guardian for this child.
    pub fn guard(&self, id: ActorId) -> Guardian {
        let spec = self.plan.of(id.kind());
        Guardian { id, spec, budget: RestartBudget::new(spec.policy), tree: self.clone(), began: Instant::now() }
    }
}

/// The guardian of one child.
#[derive(Debug)]
pub struct Guardian {
    id: ActorId,
    spec: ChildSpec,
    budget: RestartBudget,
    tree: Tree,
    began: Instant,
}

impl Guardian {
    /// The child has died; says what follows. The notice to the root is sent from here.
    #[must_use]
    pub fn died(&mut self, ended: &Ended) -> Verdict {
        let verdict = self.budget.died(self.began.elapsed(), rand::random());
        self.note(ended, verdict, true);
        verdict
    }

    /// The child has died of something that is not its fault: it is begun anew after the first delay, for nothing.
    #[must_use]
    pub fn died_for_nothing(&mut self, ended: &Ended) -> Verdict {
        let verdict = Verdict::RestartAfter(self.spec.policy.first_delay);
        self.note(ended, verdict, false);
        verdict
    }

    fn note(&self, ended: &Ended, verdict: Verdict, is_charged: bool) {
        let (kind, name) = (self.id.kind(), self.id.to_string());
        let restarts_after = match verdict {
            Verdict::RestartAfter(wait) => Some(wait),
            Verdict::Escalate => None,
        };
        let Ended { reason, words } = ended.clone();
        tracing::error!(child = name, ?reason, words, ?restarts_after, "a child died");
        if restarts_after.is_some() {
            crate::metrics::restarted(kind, reason);
        } else if self.spec.escalates_to == Some(Kind::RootSupervisor) {
            // Nobody listens any more: then the whole tree is going down already.
            let _ = self.tree.obituary.send(DeathNotice { child: name.clone(), reason, words: words.clone() });
        }
        let partition = match self.id {
            ActorId::Router(partition) | ActorId::Indexer(partition) => Some(partition),
            _ => None,
        };
        let at = std::time::Instant::now();
        let death = Death { actor: name, partition, reason, words, offset: None, restarts_after, is_charged, at };
        self.tree.chronicle.enter(kind, death);
    }
}

/// Keeps a child alive whose life is a future: begins it anew after each death, until it ends in order or its budget is
/// spent. A panic is a death like any other.
///
/// # Errors
/// How the last life ended, if the budget is spent; the root knows already, if it is the child's parent.
pub async fn keep<L, F>(mut guardian: Guardian, mut live: L) -> Result<(), Ended>
where
    L: FnMut() -> F,
    F: Future<Output = Result<(), Ended>>,
{
    loop {
        // Making the life is a part of it, so that a panic there is caught as well.
        let life = AssertUnwindSafe(async { live().await }).catch_unwind();
        let ended = match life.await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(ended)) => ended,
            Err(_) => Ended::panicked(panics::last_message()),
        };
        match guardian.died(&ended) {
            Verdict::RestartAfter(wait) => tokio::time::sleep(wait).await,
            Verdict::Escalate => return Err(ended),
        }
    }
}

#[cfg(test)]
#[path = "guardian_tests.rs"]
mod tests;
