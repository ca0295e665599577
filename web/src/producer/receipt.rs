//! One wait for all the records of a request: a counter and a waker, whatever their number.

use super::Position;
use futures_util::task::AtomicWaker;
use rdkafka::types::RDKafkaErrorCode;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

/// What librdkafka carries along with each record and hands back with its fate.
#[derive(Debug)]
pub(super) struct Fate {
    open: AtomicUsize,
    position: OnceLock<Position>,
    failure: OnceLock<RDKafkaErrorCode>,
    waker: AtomicWaker,
    tally: Option<Tally>,
}

/// Counts the records of a request once all of them are in the log, also if nobody waits for them any more.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    pub(super) count: Arc<AtomicI64>,
    pub(super) records: i64,
}

/// Ready when every record of the request met its fate.
#[derive(Debug)]
pub(super) struct Receipt(Arc<Fate>);

impl Fate {
    /// Of so many records, and the receipt to wait for.
    pub(super) fn of(records: usize, tally: Option<Tally>) -> (Arc<Self>, Receipt) {
        let fate = Arc::new(Self {
            open: AtomicUsize::new(records),
            position: OnceLock::new(),
            failure: OnceLock::new(),
            waker: AtomicWaker::new(),
            tally,
        });
        (Arc::clone(&fate), Receipt(fate))
    }

    /// One record is in the log. The first one's place is what the receipt tells.
    pub(super) fn acknowledge(&self, position: Position) {
        self.position.get_or_init(|| position);
        self.close(1);
    }

    /// So many records are not known to be in the log. The first reason is what the receipt tells.
    pub(super) fn fail(&self, records: usize, reason: RDKafkaErrorCode) {
        self.failure.get_or_init(|| reason);
        self.close(records);
    }

    fn close(&self, records: usize) {
        if self.open.fetch_sub(records, Ordering::AcqRel) == records {
            if let (None, Some(tally)) = (self.failure.get(), &self.tally) {
                tally.count.fetch_add(tally.records, Ordering::Relaxed);
            }
            self.waker.wake();
        }
    }
}

impl Future for Receipt {
    type Output = Result<Position, RDKafkaErrorCode>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.waker.register(context.waker());
        if self.0.open.load(Ordering::Acquire) > 0 {
            return Poll::Pending;
        }
        Poll::Ready(match (self.0.failure.get(), self.0.position.get()) {
            (Some(reason), _) => Err(*reason),
            (None, Some(position)) => Ok(*position),
            // Only a request without records gets here.
            (None, None) => Err(RDKafkaErrorCode::NoError),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const HERE: Position = Position { partition: 1, offset: 7 };

    #[test]
    fn a_receipt_is_ready_when_the_last_record_is_in_the_log() {
        let (fate, mut receipt) = Fate::of(2, None);
        fate.acknowledge(HERE);
        assert_eq!((&mut receipt).now_or_never(), None);
        fate.acknowledge(Position { partition: 1, offset: 8 });
        assert_eq!((&mut receipt).now_or_never(), Some(Ok(HERE)), "the first one's place");
    }

    #[test]
    fn one_lost_record_fails_the_request_but_only_when_all_are_settled() {
        let (fate, mut receipt) = Fate::of(3, None);
        fate.fail(2, RDKafkaErrorCode::MessageTimedOut);
        assert_eq!((&mut receipt).now_or_never(), None);
        fate.acknowledge(HERE);
        assert_eq!((&mut receipt).now_or_never(), Some(Err(RDKafkaErrorCode::MessageTimedOut)));
    }

    #[test]
    fn a_request_is_counted_when_all_of_it_is_in_the_log_even_if_its_receipt_was_dropped() {
        let count = Arc::new(AtomicI64::new(0));
        let tally = |records| Some(Tally { count: Arc::clone(&count), records });
        let (fate, receipt) = Fate::of(2, tally(2));
        drop(receipt);
        fate.acknowledge(HERE);
        assert_eq!(count.load(Ordering::Relaxed), 0);
        fate.acknowledge(HERE);
        assert_eq!(count.load(Ordering::Relaxed), 2);
        let (fate, _receipt) = Fate::of(2, tally(2));
        fate.acknowledge(HERE);
        fate.fail(1, RDKafkaErrorCode::MessageTimedOut);
        assert_eq!(count.load(Ordering::Relaxed), 2, "what failed is sent again as a whole");
    }
}
