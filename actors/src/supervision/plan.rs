//! What is done when a child dies, kind by kind, as data: the whole restart policy of the engine stands on this page.
//!
//! A child that dies is begun anew by its parent after a wait. When it has died too often, its budget is spent and the
//! parent dies of it, which that one's own budget pays for; at the root the process ends with an error, after a last
//! attempt to flush.

use super::kind::Kind;
use super::restart::RestartPolicy;
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::ToSchema;

/// The policy for one kind of child.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ChildSpec {
    /// Which kind.
    pub kind: Kind,
    /// How often it may die, and how soon it lives again.
    pub policy: RestartPolicy,
    /// A record may be at work on so many deaths before it goes to the dead letters; such deaths are the record's and no
    /// budget pays for them. None where nobody can tell which record it was.
    pub record_lives: Option<u32>,
    /// Who dies of a spent budget; none for the root, with which the process ends.
    pub escalates_to: Option<Kind>,
}

impl ChildSpec {
    /// The policy that is tested.
    pub fn of(kind: Kind) -> Self {
        let policy = RestartPolicy::default();
        match kind {
            Kind::RootSupervisor => {
                Self { kind, policy: RestartPolicy { restarts: 0, ..policy }, record_lives: None, escalates_to: None }
            }
            Kind::Flusher | Kind::PartitionRouter => {
                Self { kind, policy, record_lives: None, escalates_to: Some(Kind::RootSupervisor) }
            }
            Kind::DeadLetterWriter => Self {
                kind,
                policy: RestartPolicy { restarts: 5, first_delay: Duration::from_millis(100), ..policy },
                record_lives: None,
                escalates_to: Some(Kind::Flusher),
            },
            // Whatever it had in hand is read again, and every tenure begins anew: that must stay rare.
            Kind::KafkaConsumer => Self {
                kind,
                policy: RestartPolicy { restarts: 5, period: Duration::from_secs(300), ..policy },
                record_lives: None,
                escalates_to: Some(Kind::RootSupervisor),
            },
            // They are guests: their waits are so long that the budget is never spent, and nothing else dies of them.
            Kind::SummarizerPool | Kind::AiSummarizer | Kind::IndexConsumer | Kind::Indexer => Self {
                kind,
                policy: RestartPolicy {
                    restarts: 1_000,
                    first_delay: Duration::from_millis(100),
                    longest_delay: Duration::from_secs(30),
                    ..policy
                },
                record_lives: None,
                escalates_to: Some(match kind {
                    Kind::AiSummarizer => Kind::SummarizerPool,
                    Kind::Indexer => Kind::IndexConsumer,
                    _ => Kind::RootSupervisor,
                }),
            },
            // All children of one kind and partition share the budget; while one waits, its partition does.
            Kind::ProjectActor | Kind::IncidentActor => Self {
                kind,
                policy: RestartPolicy {
                    restarts: 5,
                    first_delay: Duration::from_millis(10),
                    longest_delay: Duration::from_secs(1),
                    ..policy
                },
                record_lives: Some(2),
                escalates_to: Some(Kind::PartitionRouter),
            },
        }
    }

    /// As it is shown.
    pub fn view(&self) -> SpecView {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        SpecView {
            kind: self.kind,
            restarts: self.policy.restarts,
            period_seconds: self.policy.period.as_secs(),
            first_delay_ms: millis(self.policy.first_delay),
            longest_delay_ms: millis(self.policy.longest_delay),
            jitter: self.policy.jitter,
            record_lives: self.record_lives,
            escalates_to: self.escalates_to,
        }
    }
}

/// The policies of all kinds.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan([ChildSpec; Kind::ALL.len()]);

impl Default for Plan {
    fn default() -> Self {
        Self(Kind::ALL.map(ChildSpec::of))
    }
}

impl Plan {
    /// The policy for this kind.
    pub fn of(&self, kind: Kind) -> ChildSpec {
        self.0.iter().find(|spec| spec.kind == kind).copied().unwrap_or_else(|| ChildSpec::of(kind))
    }

    /// The same plan, but with this policy for its kind's restarts.
    #[must_use]
    pub fn with(mut self, kind: Kind, policy: RestartPolicy) -> Self {
        for spec in self.0.iter_mut().filter(|spec| spec.kind == kind) {
            spec.policy = policy;
        }
        self
    }

    /// All policies, parents before children.
    pub fn view(&self) -> Vec<SpecView> {
        self.0.iter().map(ChildSpec::view).collect()
    }
}

/// A kind's restart policy as an operator sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SpecView {
    /// Which kind.
    pub kind: Kind,
    /// Deaths that are forgiven within the period.
    pub restarts: usize,
    /// The period in seconds.
    pub period_seconds: u64,
    /// Wait after the first death; it doubles with each further one.
    pub first_delay_ms: u64,
    /// The wait never grows beyond this.
    pub longest_delay_ms: u64,
    /// The part of the wait that chance may take away, 0 to 1.
    pub jitter: f64,
    /// Deaths that one record may cause before it goes to the dead letters; they are not charged to the budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record_lives: Option<u32>,
    /// Who dies when the budget is spent; none: the process ends with an error, after a last attempt to flush.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalates_to: Option<Kind>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_a_policy_and_every_spent_budget_ends_at_the_root() {
        let plan = Plan::default();
        for kind in Kind::ALL {
            assert_eq!(plan.of(kind).kind, kind);
            let mut above = vec![kind];
            while let Some(parent) = plan.of(above[above.len() - 1]).escalates_to {
                assert!(!above.contains(&parent), "{above:?} goes in a circle");
                above.push(parent);
            }
            assert_eq!(above.last(), Some(&Kind::RootSupervisor), "{above:?}");
        }
    }

    #[test]
    fn a_policy_can_be_replaced_and_is_shown() {
        let hasty = RestartPolicy { restarts: 1, ..RestartPolicy::default() };
        let plan = Plan::default().with(Kind::Flusher, hasty);
        assert_eq!((plan.of(Kind::Flusher).policy, plan.of(Kind::PartitionRouter).policy.restarts), (hasty, 10));
        let json = serde_json::to_value(plan.view()).unwrap();
        assert_eq!((&json[1]["kind"], &json[1]["restarts"]), (&"Flusher".into(), &1.into()));
        assert_eq!(json[1]["escalates_to"], "RootSupervisor");
        assert!(json[0].get("escalates_to").is_none() && json[1].get("record_lives").is_none());
    }
}
