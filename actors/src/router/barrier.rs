//! When a consistent cut is due. Pure: the router tells what has happened and how long ago.

use std::time::Duration;

/// What decides about a cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pressure {
    /// Records routed since the last cut, duplicates and all.
    pub records: usize,
    /// Whether more records are waiting to be routed.
    pub more_waiting: bool,
    /// Time since the last cut began.
    pub since_last: Duration,
    /// What the last flush cost, from cut to durable.
    pub last_cost: Duration,
}

/// Bounds of the policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BarrierPolicy {
    /// A cut is due after so many records, whatever the time.
    pub most_records: usize,
    /// Under load, at least this long between two cuts.
    pub shortest: Duration,
    /// Under load, at most this long.
    pub longest: Duration,
}

impl BarrierPolicy {
    /// At once when nothing more is waiting; under load so rarely that flushing takes a tenth of the time.
    pub fn is_due(&self, now: Pressure) -> bool {
        if now.records == 0 {
            return false;
        }
        !now.more_waiting || now.records >= self.most_records || now.since_last >= self.pace(now.last_cost)
    }

    /// Under load, the time from one cut to the next.
    pub fn pace(&self, last_cost: Duration) -> Duration {
        last_cost.saturating_mul(9).clamp(self.shortest, self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: BarrierPolicy = BarrierPolicy {
        most_records: 1_000,
        shortest: Duration::from_millis(100),
        longest: Duration::from_millis(1_000),
    };

    fn due(records: usize, more_waiting: bool, since: u64, cost: u64) -> bool {
        POLICY.is_due(Pressure {
            records,
            more_waiting,
            since_last: Duration::from_millis(since),
            last_cost: Duration::from_millis(cost),
        })
    }

    #[test]
    fn cuts_follow_idleness_records_time_and_cost() {
        assert!(!due(0, false, 9_999, 0), "nothing to write");
        assert!(due(1, false, 0, 500), "idle: at once, whatever a flush costs");
        assert!(!due(1, true, 99, 0), "under load: not before the shortest pace");
        assert!(due(1, true, 100, 0));
        assert!(!due(1, true, 899, 100), "a dear flush is made rarely");
        assert!(due(1, true, 900, 100));
        assert!(due(1, true, 1_000, 60_000), "but not more rarely than the longest pace");
        assert!(due(1_000, true, 0, 100));
    }
}
