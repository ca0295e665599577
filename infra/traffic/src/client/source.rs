//! Cuts the stream of events into batches.

use super::wide;
use crate::event::Outgoing;
use std::time::Duration;

/// A batch ends before it grows beyond this; ingest takes 4 MiB a request.
const BATCH_BYTES: usize = 3 * 1024 * 1024;

/// Events that are made at the end only to be counted.
const MOST_COUNTED: usize = 100_000;

/// The events of one request.
#[derive(Debug)]
pub(super) struct Batch {
    /// When to send it, from the start of the run: when its last event is there.
    pub(super) due: Duration,
    /// Events in all batches before it.
    pub(super) position: u64,
    /// At least one.
    pub(super) events: Vec<Outgoing>,
}

/// What is still to be sent.
#[derive(Debug)]
pub(super) struct Source<I> {
    events: std::iter::Fuse<I>,
    batch: usize,
    /// Did not fit into the batch before.
    held: Option<Outgoing>,
    position: u64,
    stopped: Option<String>,
    /// Events of batches that were taken back.
    unsent: u64,
}

impl<I: Iterator<Item = Outgoing>> Source<I> {
    pub(super) fn new(events: I, batch: usize) -> Self {
        Self { events: events.fuse(), batch, held: None, position: 0, stopped: None, unsent: 0 }
    }

    /// The next events, or `None` at the end or after [`Source::stop`].
    pub(super) fn next_batch(&mut self) -> Option<Batch> {
        if self.stopped.is_some() {
            return None;
        }
        let mut events = Vec::with_capacity(self.batch);
        let mut bytes = 0_usize;
        while events.len() < self.batch {
            let Some(event) = self.held.take().or_else(|| self.events.next()) else { break };
            bytes = bytes.saturating_add(event.json.len() + 1);
            if bytes > BATCH_BYTES && !events.is_empty() {
                self.held = Some(event);
                break;
            }
            events.push(event);
        }
        let due = events.last()?.at;
        let position = self.position;
        self.position = position.saturating_add(wide(events.len()));
        Some(Batch { due, position, events })
    }

    /// Ends the sending, for a reason that the report will name. The first reason stays.
    pub(super) fn stop(&mut self, reason: String) {
        self.stopped.get_or_insert(reason);
    }

    /// After a stop, takes a batch back that was not sent yet.
    pub(super) fn take_back(&mut self, batch: &Batch) -> bool {
        if self.stopped.is_some() {
            self.unsent = self.unsent.saturating_add(wide(batch.events.len()));
        }
        self.stopped.is_some()
    }

    /// Why the sending ended before its time, if it did.
    pub(super) fn stopped(&self) -> Option<String> {
        self.stopped.clone()
    }

    /// Takes the events that are left and says how many were not sent. Making an event takes time: there may be more
    /// than that, and then the flag says so.
    pub(super) fn count_rest(&mut self) -> (u64, bool) {
        let held = u64::from(self.held.take().is_some());
        let rest = wide(self.events.by_ref().take(MOST_COUNTED).count());
        (self.unsent.saturating_add(held).saturating_add(rest), rest == wide(MOST_COUNTED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(count: u64, bytes: usize) -> impl Iterator<Item = Outgoing> {
        (0..count).map(move |n| Outgoing {
            at: Duration::from_secs(n),
            event_id: n.to_string(),
            json: "x".repeat(bytes),
            group: None,
        })
    }

    #[test]
    fn a_batch_is_due_with_its_last_event() {
        let mut source = Source::new(events(5, 10), 2);
        let batches = std::iter::from_fn(|| source.next_batch());
        let dues: Vec<_> = batches.map(|batch| (batch.due.as_secs(), batch.position, batch.events.len())).collect();
        assert_eq!(dues, [(1, 0, 2), (3, 2, 2), (4, 4, 1)]);
    }

    #[test]
    fn large_events_make_small_batches_and_none_is_lost() {
        let mut source = Source::new(events(5, 2 * 1024 * 1024), 100);
        let ids: Vec<_> = std::iter::from_fn(|| source.next_batch())
            .map(|batch| {
                assert_eq!(batch.events.len(), 1);
                batch.events[0].event_id.clone()
            })
            .collect();
        assert_eq!(ids, ["0", "1", "2", "3", "4"]);
    }

    #[test]
    fn after_a_stop_the_rest_is_counted_and_not_sent() {
        let mut source = Source::new(events(3, 2 * 1024 * 1024), 2);
        assert_eq!(source.next_batch().expect("a first batch").events.len(), 1);
        source.stop("first".into());
        source.stop("second".into());
        assert!(source.next_batch().is_none());
        assert_eq!((source.stopped().as_deref(), source.count_rest()), (Some("first"), (2, false)));
    }

    #[test]
    fn a_batch_that_waits_for_its_time_is_taken_back_after_a_stop() {
        let mut source = Source::new(events(5, 10), 2);
        let (first, second) = (source.next_batch().expect("a batch"), source.next_batch().expect("another"));
        assert!(!source.take_back(&first));
        source.stop("refused".into());
        assert!(source.take_back(&second));
        assert_eq!(source.count_rest(), (3, false));
    }
}
