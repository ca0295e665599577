//! What follows the death of a child: the record that it was at work on is struck, or the budget of its kind pays. Pure,
//! but for the clock of its budgets.

use crate::supervision::kind::Kind;
use crate::supervision::plan::{ChildSpec, Plan};
use crate::supervision::restart::{RestartBudget, Verdict};
use hashbrown::HashMap;
use std::time::{Duration, Instant};

/// Who has killed how often. Deaths that no record can be blamed for are charged to the budget that all children of a
/// kind share.
#[derive(Debug)]
pub(super) struct Strikes {
    by_offset: HashMap<i64, u32>,
    incidents: Charge,
    projects: Charge,
    began: Instant,
}

#[derive(Debug)]
struct Charge {
    /// A record may kill a child once; an accident is not its fault.
    lives: u32,
    budget: RestartBudget,
}

impl Charge {
    fn new(spec: ChildSpec) -> Self {
        Self { lives: spec.record_lives.unwrap_or(u32::MAX), budget: RestartBudget::new(spec.policy) }
    }
}

/// What follows the death of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sentence {
    /// It lives again at once.
    Pardon,
    /// This record has killed too often.
    Bury(i64),
    /// It lives again after a wait.
    Wait(Duration),
    /// The budget is spent.
    Escalate,
}

impl Sentence {
    /// After which time the child lives again, and whether its budget pays; none if it does not.
    pub(super) fn wait(self) -> (Option<Duration>, bool) {
        match self {
            Self::Pardon | Self::Bury(_) => (Some(Duration::ZERO), false),
            Self::Wait(wait) => (Some(wait), true),
            Self::Escalate => (None, true),
        }
    }
}

impl Strikes {
    /// Nobody has died yet.
    pub(super) fn new(plan: &Plan) -> Self {
        let charge = |kind| Charge::new(plan.of(kind));
        Self {
            by_offset: HashMap::new(),
            incidents: charge(Kind::IncidentActor),
            projects: charge(Kind::ProjectActor),
            began: Instant::now(),
        }
    }

    fn charge(&mut self, kind: Kind) -> &mut Charge {
        if kind == Kind::ProjectActor { &mut self.projects } else { &mut self.incidents }
    }

    /// Deaths of this kind that no record explains, within the policy's period.
    pub(super) fn used(&mut self, kind: Kind) -> usize {
        let now = self.began.elapsed();
        self.charge(kind).budget.used(now)
    }

    /// Notes a death.
    pub(super) fn note(&mut self, kind: Kind, offset: Option<i64>) -> Sentence {
        self.note_at(kind, offset, self.began.elapsed(), rand::random())
    }

    fn note_at(&mut self, kind: Kind, offset: Option<i64>, now: Duration, chance: f64) -> Sentence {
        let charge = self.charge(kind);
        let Some(offset) = offset else {
            return match charge.budget.died(now, chance) {
                Verdict::RestartAfter(wait) => Sentence::Wait(wait),
                Verdict::Escalate => Sentence::Escalate,
            };
        };
        let lives = charge.lives;
        let strikes = self.by_offset.entry(offset).or_insert(0);
        *strikes = strikes.saturating_add(1);
        if *strikes >= lives { Sentence::Bury(offset) } else { Sentence::Pardon }
    }

    /// A cut contains everything before it: those records cannot come again.
    pub(super) fn forget(&mut self) {
        self.by_offset.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::restart::RestartPolicy;

    #[test]
    fn a_record_is_buried_at_its_second_death_and_no_budget_pays() {
        let mut strikes = Strikes::new(&Plan::default());
        let mut note = |kind, offset| strikes.note(kind, Some(offset));
        for offset in 0..100 {
            assert_eq!(note(Kind::IncidentActor, offset), Sentence::Pardon);
            assert_eq!(note(Kind::IncidentActor, offset), Sentence::Bury(offset));
        }
        assert_eq!((strikes.used(Kind::IncidentActor), strikes.used(Kind::ProjectActor)), (0, 0));
        strikes.forget();
        assert_eq!(strikes.note(Kind::IncidentActor, Some(7)), Sentence::Pardon);
    }

    #[test]
    fn deaths_that_no_record_explains_spend_the_budget_of_their_kind() {
        let policy = RestartPolicy {
            restarts: 2,
            period: Duration::from_secs(10),
            first_delay: Duration::from_millis(10),
            ..RestartPolicy::default()
        };
        let mut strikes = Strikes::new(&Plan::default().with(Kind::IncidentActor, policy));
        let mut note = |kind, second| strikes.note_at(kind, None, Duration::from_secs(second), 1.0);
        assert_eq!(note(Kind::IncidentActor, 0), Sentence::Wait(Duration::from_millis(10)));
        assert_eq!(note(Kind::IncidentActor, 1), Sentence::Wait(Duration::from_millis(20)));
        assert_eq!(note(Kind::IncidentActor, 2), Sentence::Escalate);
        assert!(matches!(note(Kind::ProjectActor, 2), Sentence::Wait(_)), "the other kind has its own");
        assert_eq!(note(Kind::IncidentActor, 11), Sentence::Wait(Duration::from_millis(20)), "the first is forgiven");
    }
}
