//! How often a child may die, and how long to wait before it lives again. Pure: time is handed in.

use std::collections::VecDeque;
use std::time::Duration;

/// At most `restarts` within `period`, each after a delay that doubles from `first_delay` to `longest_delay`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartPolicy {
    /// Deaths that are forgiven within `period`.
    pub restarts: usize,
    /// A death older than this no longer counts.
    pub period: Duration,
    /// Wait after the first death.
    pub first_delay: Duration,
    /// The wait never grows beyond this.
    pub longest_delay: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            restarts: 10,
            period: Duration::from_secs(60),
            first_delay: Duration::from_millis(50),
            longest_delay: Duration::from_secs(5),
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

    /// Records a death at `now` (any monotonic time) and says what follows. `jitter` is in [0, 1) and spreads
    /// the wait between a half and the whole of it.
    #[must_use]
    pub fn died(&mut self, now: Duration, jitter: f64) -> Verdict {
        let horizon = now.saturating_sub(self.policy.period);
        while self.deaths.front().is_some_and(|&death| death < horizon) {
            self.deaths.pop_front();
        }
        if self.deaths.len() >= self.policy.restarts {
            return Verdict::Escalate;
        }
        let doublings = u32::try_from(self.deaths.len()).unwrap_or(u32::MAX).min(20);
        self.deaths.push_back(now);
        let wait = self.policy.first_delay.saturating_mul(1 << doublings).min(self.policy.longest_delay);
        Verdict::RestartAfter(wait.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0))
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
}
