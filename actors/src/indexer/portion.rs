//! Records -> what is sent to the index together, and what follows from its answer. Pure.

use crate::consumer::batch::RecordBatch;
use crate::consumer::decode::decode_event;
use schema::search::{IndexedEvent, ItemOutcome};

/// Events sent together never become fewer by failures alone.
const FEWEST: usize = 16;

/// How much is sent together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub records: usize,
    pub bytes: usize,
}

/// Some records of a batch, as the events that are still to be stored.
#[derive(Debug, Default)]
pub(super) struct Portion {
    /// To be stored, in log order.
    pub events: Vec<IndexedEvent>,
    /// For each of them, which record of the batch it is.
    places: Vec<usize>,
    /// Records left out because they are people's commands.
    pub commands: u64,
    /// Records left out because nobody can decode them.
    pub undecodable: u64,
    /// The record behind the last one.
    pub end: usize,
}

/// What the index made of some events.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub stored: u64,
    pub already_there: u64,
    /// Records that the index refuses for what they contain, and why.
    pub refused: Vec<(usize, String)>,
    /// Why some must be tried again, in the words for one of them.
    pub retry: Option<String>,
    pub retries: u64,
}

impl Portion {
    /// The records from `from` on, as many as the bounds allow, but at least one.
    pub fn cut(batch: &RecordBatch, from: usize, bounds: Bounds) -> Self {
        let mut portion = Self { end: from, ..Self::default() };
        let mut bytes = 0_usize;
        for (record, payload) in batch.iter().skip(from) {
            bytes = bytes.saturating_add(payload.len());
            let is_full = portion.events.len() >= bounds.records || bytes > bounds.bytes;
            if is_full && portion.end > from {
                break;
            }
            portion.take(record.is_command, payload);
        }
        portion
    }

    fn take(&mut self, is_command: bool, payload: &[u8]) {
        let place = self.end;
        self.end += 1;
        if is_command {
            self.commands += 1;
            return;
        }
        match decode_event(payload) {
            Ok(envelope) => {
                self.events.push(IndexedEvent::from(&envelope));
                self.places.push(place);
            }
            Err(error) => {
                tracing::debug!(%error, "a record is left out of the index");
                self.undecodable += 1;
            }
        }
    }

    /// Takes what the index said to the first `sent` events; those to be tried again stay, before the others.
    pub fn settle(&mut self, sent: usize, outcomes: Vec<ItemOutcome>) -> Settled {
        let mut settled = Settled::default();
        let sent = sent.min(self.events.len());
        let (later_events, later_places) = (self.events.split_off(sent), self.places.split_off(sent));
        let items = std::mem::take(&mut self.events).into_iter().zip(std::mem::take(&mut self.places));
        // An event without an answer is as good as one that could not be stored now.
        let unanswered = std::iter::repeat_with(|| ItemOutcome::Retry("the index says nothing of it".to_owned()));
        for ((event, place), outcome) in items.zip(outcomes.into_iter().chain(unanswered)) {
            match outcome {
                ItemOutcome::Stored => settled.stored += 1,
                ItemOutcome::AlreadyThere => settled.already_there += 1,
                ItemOutcome::Refused(why) => settled.refused.push((place, why)),
                ItemOutcome::Retry(why) => {
                    settled.retry = Some(why);
                    settled.retries += 1;
                    self.events.push(event);
                    self.places.push(place);
                }
            }
        }
        self.events.extend(later_events);
        self.places.extend(later_places);
        settled
    }
}

/// How many events are sent together: half as many after a failure, twice as many after a success.
#[derive(Debug)]
pub(super) struct Throttle {
    now: usize,
    most: usize,
}

impl Throttle {
    pub fn new(most: usize) -> Self {
        Self { now: most.max(1), most: most.max(1) }
    }

    pub fn now(&self) -> usize {
        self.now
    }

    pub fn succeeded(&mut self) {
        self.now = self.now.saturating_mul(2).min(self.most);
    }

    pub fn failed(&mut self) {
        self.now = (self.now / 2).max(FEWEST).min(self.most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::batch::Labels;

    const WIDE: Bounds = Bounds { records: 100, bytes: 1 << 20 };

    fn record(number: usize) -> String {
        format!(
            r#"{{"schema_version":"1.0","event_id":"e{number}","occurred_at":"2026-11-24T05:00:00Z",
            "received_at":"2026-11-24T05:00:00Z","org_id":"o","project_id":"p","environment":"prod","event_type":"error",
            "severity":"error","message":"m","fingerprint":"f","attributes":{{}},"payload":{{}}}}"#
        )
    }

    fn batch(records: usize) -> RecordBatch {
        let mut batch = RecordBatch::default();
        for number in 0..records {
            let offset = i64::try_from(number).unwrap();
            match number % 5 {
                3 => batch.push(offset, Labels { is_command: true, ..Labels::default() }, b"p", b"{}"),
                4 => batch.push(offset, Labels::default(), b"p", b"broken"),
                _ => batch.push(offset, Labels::default(), b"p", record(number).as_bytes()),
            }
        }
        batch
    }

    fn ids(portion: &Portion) -> Vec<&str> {
        portion.events.iter().map(|event| event.event_id.as_str()).collect()
    }

    #[test]
    fn portions_cover_every_record_once_and_leave_out_what_is_no_event() {
        let batch = batch(23);
        for bounds in
            [WIDE, Bounds { records: 2, ..WIDE }, Bounds { bytes: 600, ..WIDE }, Bounds { records: 1, bytes: 0 }]
        {
            let (mut from, mut seen, mut left_out) = (0, Vec::new(), (0, 0));
            while from < batch.len() {
                let portion = Portion::cut(&batch, from, bounds);
                assert!(portion.end > from, "{bounds:?}");
                assert!(portion.events.len() <= bounds.records, "{bounds:?}");
                seen.extend(ids(&portion).into_iter().map(str::to_owned));
                left_out = (left_out.0 + portion.commands, left_out.1 + portion.undecodable);
                from = portion.end;
            }
            let wanted: Vec<_> = (0..23).filter(|n| n % 5 < 3).map(|n| format!("e{n}")).collect();
            assert_eq!((seen, left_out), (wanted, (4, 4)), "{bounds:?}");
        }
    }

    #[test]
    fn what_must_be_tried_again_stays_before_what_was_not_sent() {
        let mut portion = Portion::cut(&batch(10), 0, WIDE);
        assert_eq!(ids(&portion), ["e0", "e1", "e2", "e5", "e6", "e7"]);
        let outcomes = vec![
            ItemOutcome::Stored,
            ItemOutcome::Retry("full".into()),
            ItemOutcome::AlreadyThere,
            ItemOutcome::Refused("bad".into()),
        ];
        // The fifth was sent and not answered.
        let settled = portion.settle(5, outcomes);
        assert_eq!((settled.stored, settled.already_there, settled.retries), (1, 1, 2));
        assert_eq!(settled.refused, [(5, "bad".to_owned())]);
        assert_eq!(settled.retry.as_deref(), Some("the index says nothing of it"));
        assert_eq!(ids(&portion), ["e1", "e6", "e7"]);
        let settled = portion.settle(3, vec![ItemOutcome::Stored; 3]);
        assert_eq!((settled.stored, settled.retry, portion.events.len()), (3, None, 0));
    }

    #[test]
    fn failures_halve_what_is_sent_together_and_successes_double_it() {
        let mut throttle = Throttle::new(100);
        let sizes: Vec<_> = [false, false, false, false, true, true, true, true]
            .map(|is_success| {
                if is_success {
                    throttle.succeeded()
                } else {
                    throttle.failed()
                }
                throttle.now()
            })
            .into();
        assert_eq!(sizes, [50, 25, 16, 16, 32, 64, 100, 100]);
        let mut small = Throttle::new(3);
        small.failed();
        assert_eq!(small.now(), 3);
    }
}
