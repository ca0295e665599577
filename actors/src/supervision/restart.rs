//! How often a child may die, and how long to wait before it lives again. Pure: time is handed in.

use std::collections::VecDeque;
use std::time::Duration;

/// At most `restarts` within `period`, each after a delay that doubles from `first_delay` to `longest_delay`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RestartPolicy {
    /// Deaths that are forgiven within `period`.
    pub restarts: usize,
    /// A death older than this no longer counts.
    pub period: Duration,
    /// Wait after the first death.
    pub first_delay: Duration,
    /// The wait never grows beyond this.
    pub longest_delay: Duration,
    /// The part of the wait that chance may take away, from 0 (none) to 1 (all of it): those that died together do not
    /// come back together.
    pub jitter: f64,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            restarts: 10,
            period: Duration::from_secs(60),
            first_delay: Duration::from_millis(50),
            longest_delay: Duration::from_secs(5),
            jitter: 0.5,
        }
    }
}

/// What to do about a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Start a new one after this long.
    RestartAfter(Duration),
    /// The budget is spent: the parent's parent decides.
    Escalate,
}

/// The deaths of one child, remembered for the policy's period.
#[derive(Clone, Debug)]
pub struct RestartBudget {
    policy: RestartPolicy,
    deaths: VecDeque<Duration>,
}

impl RestartBudget {
    /// A clean record.
    pub fn new(policy: RestartPolicy) -> Self {
        Self { policy, deaths: VecDeque::new() }
    }

    /// Records a death at `now` (any monotonic time) and says what follows. `chance` is in [0, 1]: how much of what the
    /// policy's jitter may take from the wait is left to it.
    #[must_use]
    pub fn died(&mut self, now: Duration, chance: f64) -> Verdict {
        self.forget(now);
        if self.deaths.len() >= self.policy.restarts {
            return Verdict::Escalate;
        }
        let doublings = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX).min(20);
        self.deaths.push_back(now);
        let wait = self.policy.first_delay.saturating_mul(1 << doublings).min(self.policy.longest_delay);
        let least = 1.0 - self.policy.jitter.clamp(0.0, 1.0);
        Verdict::RestartAfter(wait.mul_f64(least + (1.0 - least) * chance.clamp(0.0, 1.0)))
    }

    /// Deaths that still count at `now`.
    pub fn used(&mut self, now: Duration) -> usize {
        self.forget(now);
        self.deaths.len()
    }

    fn forget(&mut self, now: Duration) {
        let horizon = now.saturating_sub(self.policy.period);
        while self.deaths.front().is_some_and(|&death| death < horizon) {
            self.deaths.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RestartPolicy = RestartPolicy {
        restarts: 3,
        period: Duration::from_secs(10),
        first_delay: Duration::from_millis(100),
        longest_delay: Duration::from_millis(300),
        jitter: 0.5,
    };

    #[test]
    fn the_wait_doubles_to_its_bound_and_then_the_budget_is_spent() {
        let mut budget = RestartBudget::new(POLICY);
        let verdicts: Vec<_> = (0..4).map(|second| budget.died(Duration::from_secs(second), 1.0)).collect();
        let wait = |millis| Verdict::RestartAfter(Duration::from_millis(millis));
        assert_eq!(verdicts, [wait(100), wait(200), wait(300), Verdict::Escalate]);
    }

    #[test]
    fn deaths_of_the_past_are_forgiven() {
        let mut budget = RestartBudget::new(POLICY);
        for second in [0, 11, 22, 33, 44] {
            assert_eq!(
                budget.died(Duration::from_secs(second), 0.0),
                Verdict::RestartAfter(Duration::from_millis(50)),
                "at {second} s"
            );
        }
    }

    #[test]
    fn the_window_slides_death_by_death() {
        let mut budget = RestartBudget::new(POLICY);
        for second in [0, 4, 8] {
            assert!(matches!(budget.died(Duration::from_secs(second), 0.0), Verdict::RestartAfter(_)));
        }
        assert_eq!(
            budget.died(Duration::from_secs(10), 0.0),
            Verdict::Escalate,
            "all three are younger than ten seconds"
        );
        // The first is forgiven, so one more is; the wait is that of a third death.
        assert_eq!(budget.died(Duration::from_secs(11), 1.0), Verdict::RestartAfter(Duration::from_millis(300)));
        assert_eq!(budget.died(Duration::from_secs(12), 1.0), Verdict::Escalate);
        assert_eq!((budget.used(Duration::from_secs(14)), budget.used(Duration::from_secs(22))), (3, 0));
    }

    #[test]
    fn no_jitter_and_all_jitter_are_the_bounds() {
        for (jitter, chance, millis) in
            [(0.0, 0.0, 100), (0.0, 1.0, 100), (1.0, 0.0, 0), (1.0, 0.25, 25), (9.0, 1.0, 100)]
        {
            let mut budget = RestartBudget::new(RestartPolicy { jitter, ..POLICY });
            let expected = Verdict::RestartAfter(Duration::from_millis(millis));
            assert_eq!(budget.died(Duration::ZERO, chance), expected, "{jitter} {chance}");
        }
    }
}
