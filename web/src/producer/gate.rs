//! A linger that follows the load: when waiting records go to librdkafka. Pure; time is handed in.
//!
//! A fixed linger is wrong twice: without load it is only delay, under load it is too short for good batches.
//! Here nobody waits while the log is idle, and under load records gather while earlier ones are on their way and
//! go out together once those are acknowledged (group commit). So batches grow with the load by themselves and no
//! timer runs. [`LONGEST_WAIT`] matters when acknowledgements take long, because replicas are far away, or when one
//! does not come, because one partition's leader is away: the others go on.

use std::time::{Duration, Instant};

/// No record waits longer for earlier ones to be acknowledged.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(5);
/// So many records make a good batch; more need not gather.
const ENOUGH_RECORDS: usize = 2_000;
/// So many bytes make a good batch.
const ENOUGH_BYTES: usize = 1 << 20;

/// Records that wait.
#[derive(Debug)]
pub(super) struct Gate<T> {
    waiting: Vec<T>,
    records: usize,
    bytes: usize,
    since: Option<Instant>,
}

impl<T> Gate<T> {
    pub(super) fn new() -> Self {
        Self { waiting: Vec::new(), records: 0, bytes: 0, since: None }
    }

    /// Adds a parcel of records. Returns what must be sent now, in this order, by the caller. `is_clear` says, here and
    /// below, whether all that was released before is acknowledged or given up.
    #[must_use]
    pub(super) fn offer(
        &mut self,
        parcel: T,
        records: usize,
        bytes: usize,
        is_clear: bool,
        now: Instant,
    ) -> Option<Vec<T>> {
        self.waiting.push(parcel);
        self.records += records;
        self.bytes += bytes;
        self.since.get_or_insert(now);
        self.release_if_due(is_clear, now)
    }

    /// To be asked when the way is clear, and now and then. Returns as [`Gate::offer`].
    #[must_use]
    pub(super) fn release_if_due(&mut self, is_clear: bool, now: Instant) -> Option<Vec<T>> {
        let since = self.since?;
        let due = is_clear
            || self.records >= ENOUGH_RECORDS
            || self.bytes >= ENOUGH_BYTES
            || now.saturating_duration_since(since) >= LONGEST_WAIT;
        due.then(|| self.release())
    }

    fn release(&mut self) -> Vec<T> {
        (self.records, self.bytes, self.since) = (0, 0, None);
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLEAR: bool = true;

    #[test]
    fn an_idle_log_makes_nobody_wait() {
        let (mut gate, now) = (Gate::new(), Instant::now());
        assert_eq!(gate.offer('a', 1, 10, CLEAR, now), Some(vec!['a']));
        assert_eq!(gate.release_if_due(CLEAR, now), None);
        assert_eq!(gate.offer('b', 1, 10, CLEAR, now), Some(vec!['b']));
    }

    #[test]
    fn under_load_records_gather_until_those_before_them_are_acknowledged() {
        let (mut gate, now) = (Gate::new(), Instant::now());
        assert_eq!(gate.offer('b', 1, 10, !CLEAR, now), None);
        assert_eq!(gate.offer('c', 4, 10, !CLEAR, now), None);
        assert_eq!(gate.release_if_due(CLEAR, now), Some(vec!['b', 'c']));
        assert_eq!(gate.release_if_due(CLEAR, now), None, "nothing waits");
    }

    #[test]
    fn a_missing_acknowledgement_delays_the_others_by_the_longest_wait_at_most() {
        let (mut gate, start) = (Gate::new(), Instant::now());
        assert_eq!(gate.offer('b', 1, 10, !CLEAR, start), None);
        assert_eq!(gate.release_if_due(!CLEAR, start + LONGEST_WAIT / 2), None);
        assert_eq!(gate.release_if_due(!CLEAR, start + LONGEST_WAIT), Some(vec!['b']));
        assert_eq!(gate.release_if_due(!CLEAR, start + 2 * LONGEST_WAIT), None, "nothing waits");
    }

    #[test]
    fn a_good_batch_does_not_wait() {
        let (mut gate, now) = (Gate::new(), Instant::now());
        assert_eq!(gate.offer('b', ENOUGH_RECORDS - 1, 10, !CLEAR, now), None);
        assert_eq!(gate.offer('c', 1, 10, !CLEAR, now), Some(vec!['b', 'c']));
        assert_eq!(gate.offer('d', 1, ENOUGH_BYTES, !CLEAR, now), Some(vec!['d']));
    }

    proptest! {
        #[test]
        fn all_parcels_come_out_once_in_order_and_none_stays_when_all_is_acknowledged(
            steps in prop::collection::vec((any::<bool>(), 1_usize..5), 1..200),
        ) {
            let (mut gate, now) = (Gate::new(), Instant::now());
            let (mut offered, mut out, mut on_the_way) = (0_usize, Vec::new(), 0_usize);
            for (offers, records) in steps {
                let released = if offers {
                    offered += 1;
                    gate.offer((offered, records), records, 1, on_the_way == 0, now)
                } else {
                    on_the_way -= records.min(on_the_way);
                    gate.release_if_due(on_the_way == 0, now)
                };
                for (parcel, records) in released.into_iter().flatten() {
                    out.push(parcel);
                    on_the_way += records;
                }
            }
            out.extend(gate.release_if_due(CLEAR, now).into_iter().flatten().map(|(parcel, _)| parcel));
            prop_assert_eq!(out, (1..=offered).collect::<Vec<_>>());
        }
    }
}
