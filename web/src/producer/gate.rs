//! A linger that follows the load: when waiting records go to librdkafka. Pure; time is handed in.
//!
//! A fixed linger is wrong twice: without load it is only delay, under load it is too short for good batches.
//! Here records gather while earlier ones are on their way, and go out together once those are acknowledged (group
//! commit) and no more are just coming in. That nobody offers any more is seen by the first who offered: it looks again
//! after all else that was ready on its thread has run. So nobody waits while little happens, batches grow with the load
//! by themselves, and no timer runs. Under full load somebody always offers: then a batch goes that is [`FAIR_RECORDS`]
//! long or [`SOON`] old. [`LONGEST_WAIT`] matters when acknowledgements take long, because replicas are far away, or when
//! one does not come, because one partition's leader is away: the others go on.

use std::time::{Duration, Instant};

/// No record waits longer for earlier ones to be acknowledged.
pub(super) const LONGEST_WAIT: Duration = Duration::from_millis(5);
/// No record waits longer for later ones when all earlier ones are acknowledged.
const SOON: Duration = Duration::from_millis(2);
/// So many records are worth a request to the broker when nothing is on its way.
const FAIR_RECORDS: usize = 256;
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
    /// Releases so far.
    round: u64,
    /// Offers so far.
    offers: u64,
    is_watched: bool,
    /// Whether nobody has offered since the watch looked last.
    is_quiet: bool,
}

/// The duty of the first of those who wait together: to look again, once all else that was ready has run.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Watch {
    round: u64,
    offers: u64,
}

/// What a look brought. What is released must be sent now, in this order, by the caller.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen<T> {
    /// Others have offered meanwhile: look again.
    Busy(Watch),
    /// There is nothing to watch any more.
    Over(Option<Vec<T>>),
}

impl<T> Gate<T> {
    pub(super) fn new() -> Self {
        Self {
            waiting: Vec::new(),
            records: 0,
            bytes: 0,
            since: None,
            round: 0,
            offers: 0,
            is_watched: false,
            is_quiet: false,
        }
    }

    /// Adds a parcel of records. `is_clear` says, here and below, whether all that was released is acknowledged or given up.
    /// Returns what must be sent now, in this order, by the caller, and the watch if there is nobody who has it.
    #[must_use]
    pub(super) fn offer(
        &mut self,
        parcel: T,
        records: usize,
        bytes: usize,
        is_clear: bool,
        now: Instant,
    ) -> (Option<Vec<T>>, Option<Watch>) {
        self.waiting.push(parcel);
        self.records += records;
        self.bytes += bytes;
        self.offers += 1;
        self.is_quiet = false;
        self.since.get_or_insert(now);
        let released = self.release_if_due(is_clear, now);
        let watch = (!self.waiting.is_empty() && !std::mem::replace(&mut self.is_watched, true))
            .then_some(Watch { round: self.round, offers: self.offers });
        (released, watch)
    }

    /// Looks as the watch must.
    #[must_use]
    pub(super) fn look(&mut self, watch: &Watch, is_clear: bool, now: Instant) -> Seen<T> {
        if watch.round != self.round {
            return Seen::Over(None);
        }
        if watch.offers == self.offers {
            (self.is_quiet, self.is_watched) = (true, false);
            return Seen::Over(self.release_if_due(is_clear, now));
        }
        match self.release_if_due(is_clear, now) {
            Some(released) => Seen::Over(Some(released)),
            None => Seen::Busy(Watch { round: self.round, offers: self.offers }),
        }
    }

    /// The watch was given up: those who wait are not to wait for it.
    pub(super) fn abandon(&mut self, watch: &Watch) {
        if watch.round == self.round {
            (self.is_quiet, self.is_watched) = (true, false);
        }
    }

    /// To be asked when all is acknowledged, and now and then. Returns as [`Gate::offer`].
    #[must_use]
    pub(super) fn release_if_due(&mut self, is_clear: bool, now: Instant) -> Option<Vec<T>> {
        let waited = now.saturating_duration_since(self.since?);
        let is_due = (is_clear && (self.is_quiet || self.records >= FAIR_RECORDS || waited >= SOON))
            || self.records >= ENOUGH_RECORDS
            || self.bytes >= ENOUGH_BYTES
            || waited >= LONGEST_WAIT;
        is_due.then(|| self.release())
    }

    fn release(&mut self) -> Vec<T> {
        self.round += 1;
        (self.records, self.bytes, self.since, self.is_watched, self.is_quiet) = (0, 0, None, false, false);
        std::mem::take(&mut self.waiting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const CLEAR: bool = true;

    /// Offers one record and looks as often as must be.
    fn offer(gate: &mut Gate<char>, parcel: char, is_clear: bool, now: Instant) -> Option<Vec<char>> {
        let (released, watch) = gate.offer(parcel, 1, 10, is_clear, now);
        match watch.map(|watch| gate.look(&watch, is_clear, now)) {
            Some(Seen::Over(later)) => released.or(later),
            Some(Seen::Busy(_)) => panic!("nobody else has offered"),
            None => released,
        }
    }

    #[test]
    fn an_idle_log_makes_nobody_wait() {
        let (mut gate, now) = (Gate::new(), Instant::now());
        assert_eq!(offer(&mut gate, 'a', CLEAR, now), Some(vec!['a']));
        assert_eq!(gate.release_if_due(CLEAR, now), None);
        assert_eq!(offer(&mut gate, 'b', CLEAR, now), Some(vec!['b']));
    }

    #[test]
    fn under_load_records_gather_until_those_before_them_are_acknowledged() {
        let (mut gate, now) = (Gate::new(), Instant::now());
        assert_eq!(offer(&mut gate, 'a', !CLEAR, now), None);
        assert_eq!(offer(&mut gate, 'b', !CLEAR, now), None);
        assert_eq!(gate.release_if_due(CLEAR, now), Some(vec!['a', 'b']));
        assert_eq!(gate.release_if_due(CLEAR, now), None, "nothing waits");
    }

    #[test]
    fn those_who_are_just_coming_are_waited_for_but_not_for_long() {
        let (mut gate, start) = (Gate::new(), Instant::now());
        let (released, watch) = gate.offer('a', 1, 10, CLEAR, start);
        assert_eq!(released, None);
        assert_eq!(gate.offer('b', 1, 10, CLEAR, start), (None, None), "the watch is taken");
        assert_eq!(gate.release_if_due(CLEAR, start), None, "an acknowledgement changes nothing as long as some come");
        let Seen::Busy(watch) = gate.look(&watch.unwrap(), CLEAR, start) else { panic!("somebody has offered") };
        assert_eq!(gate.look(&watch, CLEAR, start), Seen::Over(Some(vec!['a', 'b'])), "nobody comes any more");

        let (_, watch) = gate.offer('c', 1, 10, CLEAR, start);
        assert_eq!(gate.offer('d', 1, 10, CLEAR, start + SOON), (Some(vec!['c', 'd']), None));
        let (_, next) = gate.offer('e', 1, 10, CLEAR, start + SOON);
        assert_eq!(gate.look(&watch.unwrap(), CLEAR, start + SOON), Seen::Over(None), "that round is over");
        assert!(next.is_some(), "the next has a watch of its own");
        assert!(gate.offer('f', FAIR_RECORDS, 10, CLEAR, start + SOON).0.is_some(), "many need not wait for more");
    }

    #[test]
    fn a_watch_that_is_given_up_holds_nobody_back() {
        let (mut gate, now) = (Gate::new(), Instant::now());
        let (_, watch) = gate.offer('a', 1, 10, !CLEAR, now);
        gate.abandon(&watch.unwrap());
        assert_eq!(gate.release_if_due(CLEAR, now), Some(vec!['a']));
        let (_, watch) = gate.offer('b', 1, 10, CLEAR, now);
        gate.abandon(&watch.unwrap());
        assert!(gate.offer('c', 1, 10, CLEAR, now).1.is_some(), "the next one watches");
    }

    #[test]
    fn a_missing_acknowledgement_delays_the_others_by_the_longest_wait_at_most() {
        let (mut gate, start) = (Gate::new(), Instant::now());
        assert_eq!(offer(&mut gate, 'b', !CLEAR, start), None);
        assert_eq!(gate.release_if_due(!CLEAR, start + LONGEST_WAIT / 2), None);
        assert_eq!(gate.release_if_due(!CLEAR, start + LONGEST_WAIT), Some(vec!['b']));
        assert_eq!(gate.release_if_due(!CLEAR, start + 2 * LONGEST_WAIT), None, "nothing waits");
    }

    #[test]
    fn a_good_batch_does_not_wait() {
        let (mut gate, now) = (Gate::new(), Instant::now());
        assert_eq!(gate.offer('b', ENOUGH_RECORDS - 1, 10, !CLEAR, now).0, None);
        assert_eq!(gate.offer('c', 1, 10, !CLEAR, now).0, Some(vec!['b', 'c']));
        assert_eq!(gate.offer('d', 1, ENOUGH_BYTES, !CLEAR, now).0, Some(vec!['d']));
    }

    proptest! {
        #[test]
        fn all_parcels_come_out_once_in_order_and_none_stays_when_all_is_acknowledged_and_watched(
            steps in prop::collection::vec((0_u8..4, 1_usize..5), 1..200),
        ) {
            let (mut gate, now) = (Gate::new(), Instant::now());
            let (mut offered, mut out, mut on_the_way) = (0_usize, Vec::new(), 0_usize);
            let mut watches: Vec<Watch> = Vec::new();
            let mut settle = |released: Option<Vec<(usize, usize)>>, on_the_way: &mut usize| {
                for (parcel, records) in released.into_iter().flatten() {
                    out.push(parcel);
                    *on_the_way += records;
                }
            };
            for (what, records) in steps {
                let is_clear = on_the_way == 0;
                let released = match (what, watches.pop()) {
                    (0, Some(watch)) => match gate.look(&watch, is_clear, now) {
                        Seen::Busy(watch) => {
                            watches.push(watch);
                            None
                        }
                        Seen::Over(released) => released,
                    },
                    (1, Some(watch)) => {
                        gate.abandon(&watch);
                        None
                    }
                    (2, watch) => {
                        watches.extend(watch);
                        on_the_way -= records.min(on_the_way);
                        gate.release_if_due(on_the_way == 0, now)
                    }
                    (_, watch) => {
                        watches.extend(watch);
                        offered += 1;
                        let (released, watch) = gate.offer((offered, records), records, 1, is_clear, now);
                        watches.extend(watch);
                        released
                    }
                };
                settle(released, &mut on_the_way);
            }
            while let Some(watch) = watches.pop() {
                on_the_way = 0;
                match gate.look(&watch, true, now) {
                    Seen::Busy(watch) => watches.push(watch),
                    Seen::Over(released) => settle(released, &mut on_the_way),
                }
            }
            on_the_way = 0;
            settle(gate.release_if_due(true, now), &mut on_the_way);
            prop_assert_eq!(out, (1..=offered).collect::<Vec<_>>());
            prop_assert_eq!(gate.records, 0);
        }
    }
}
