//! What the answers to a batch's attempts mean for each of its events. Pure.

use super::answer::{Answer, Cause};
use super::source::Batch;
use super::{Delivery, wide};
use crate::event::Outgoing;
use bytes::Bytes;
use std::time::Duration;

/// What follows from an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Step {
    /// Events that it acknowledged.
    pub(super) acknowledged: u64,
    /// Why the rest has to be sent again, and after what time at the earliest.
    pub(super) again: Option<(Cause, Option<Duration>)>,
    /// Why nothing else needs to be sent by anyone.
    pub(super) stop: Option<String>,
}

/// The events of one batch, as long as their fate is open. An acknowledgement or a refusal settles all of them.
#[derive(Debug)]
pub(super) struct Settling {
    events: Vec<Outgoing>,
    may_have_arrived: bool,
}

impl Settling {
    pub(super) fn new(batch: Batch) -> Self {
        Self { events: batch.events, may_have_arrived: false }
    }

    /// How many events are open.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// The request body of every attempt.
    pub(super) fn body(&self, is_batched: bool) -> Bytes {
        let events = self.events.iter().map(|event| event.json.as_str());
        if is_batched { batch_body(events) } else { events.collect::<String>().into() }
    }

    /// Settles the events, or keeps them open if they have to be sent again.
    pub(super) fn apply(&mut self, answer: Answer, share: &mut Delivery) -> Step {
        match answer {
            Answer::Accepted { rejected, received_at } => {
                share.report.received_until = share.report.received_until.max(Some(received_at));
                let acknowledged = self.len().saturating_sub(rejected.len());
                for (index, event) in self.events.drain(..).enumerate() {
                    match rejected.get(&index) {
                        None => share.accepted(&event),
                        Some(code) => share.report.add_refused(code),
                    }
                }
                Step { acknowledged: wide(acknowledged), ..Step::default() }
            }
            Answer::Refused { code, by_content, stop } => {
                // An earlier attempt may have been taken in before, say, the key was revoked.
                let is_settled = by_content || !self.may_have_arrived;
                for event in self.events.drain(..) {
                    if is_settled { share.report.add_refused(&code) } else { share.unknown(&event, &code) }
                }
                Step { stop, ..Step::default() }
            }
            Answer::Again { cause, retry_after } => {
                self.may_have_arrived |= cause.may_have_arrived();
                Step { again: Some((cause, retry_after)), ..Step::default() }
            }
        }
    }

    /// Counts what is open as never acknowledged.
    pub(super) fn give_up(self, cause: Cause, share: &mut Delivery) {
        for event in self.events {
            if self.may_have_arrived {
                share.unknown(&event, cause.as_str());
            } else {
                share.report.add_undelivered(cause.as_str());
            }
        }
    }
}

fn batch_body<'a>(events: impl Iterator<Item = &'a str>) -> Bytes {
    let mut body = String::from("{\"events\":[");
    for (index, event) in events.enumerate() {
        if index > 0 {
            body.push(',');
        }
        body.push_str(event);
    }
    body.push_str("]}");
    body.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Group;
    use chrono::DateTime;
    use std::collections::BTreeMap;

    fn settling(events: usize) -> (Settling, Delivery) {
        let group = Group { fingerprint: "f".into(), title: "t".into(), environment: "prod".into() };
        let event = |n: usize| Outgoing {
            at: Duration::ZERO,
            event_id: n.to_string(),
            json: format!("{{\"n\":{n}}}"),
            group: Some(group.clone()),
        };
        let batch = Batch { due: Duration::ZERO, position: 0, events: (0..events).map(event).collect() };
        (Settling::new(batch), Delivery::default())
    }

    fn rejected(items: &[(usize, &str)]) -> Answer {
        let rejected = items.iter().map(|(index, code)| (*index, (*code).to_owned())).collect();
        Answer::Accepted { rejected, received_at: DateTime::UNIX_EPOCH }
    }

    fn refused(by_content: bool) -> Answer {
        Answer::Refused { code: "no".into(), by_content, stop: None }
    }

    #[test]
    fn a_batch_is_one_body_and_its_items_may_be_refused_one_by_one() {
        let (mut settling, mut share) = settling(3);
        assert_eq!(settling.body(true).as_ref(), br#"{"events":[{"n":0},{"n":1},{"n":2}]}"#);
        let step = settling.apply(rejected(&[(1, "too_large"), (2, "invalid")]), &mut share);
        assert_eq!(step, Step { acknowledged: 1, ..Step::default() });
        let refused = [("invalid".to_owned(), 1), ("too_large".to_owned(), 1)];
        assert_eq!(share.report.refused, BTreeMap::from(refused));
        assert_eq!((share.tally.certain(), share.tally.uncertain()), (1, 0));
    }

    #[test]
    fn an_acknowledged_batch_is_done() {
        let (mut settling, mut share) = settling(2);
        assert_eq!(settling.apply(rejected(&[]), &mut share), Step { acknowledged: 2, ..Step::default() });
        assert_eq!((settling.len(), share.report.accepted, share.tally.certain()), (0, 2, 2));
        assert_eq!(share.report.received_until, Some(DateTime::UNIX_EPOCH));
    }

    #[test]
    fn what_never_arrived_is_undelivered_and_what_may_have_is_unknown() {
        for (cause, unknown) in [(Cause::Unreachable, 0), (Cause::RateLimited, 0), (Cause::TimedOut, 2)] {
            let (mut settling, mut share) = settling(2);
            let step = settling.apply(Answer::again(cause), &mut share);
            assert_eq!(step.again, Some((cause, None)));
            settling.apply(Answer::again(Cause::Unreachable), &mut share);
            settling.give_up(Cause::Unreachable, &mut share);
            assert_eq!(share.tally.uncertain(), unknown, "{cause:?}");
            assert_eq!(share.report.unknown.values().sum::<u64>(), unknown);
            assert_eq!(share.report.undelivered.values().sum::<u64>(), 2 - unknown);
        }
    }

    #[test]
    fn a_refusal_settles_an_earlier_attempt_only_if_it_depends_on_the_bytes_alone() {
        for (by_content, unknown) in [(true, 0), (false, 1)] {
            let (mut settling, mut share) = settling(1);
            settling.apply(Answer::again(Cause::ConnectionLost), &mut share);
            assert_eq!(settling.apply(refused(by_content), &mut share), Step::default());
            assert_eq!((settling.len(), share.tally.uncertain()), (0, unknown));
            assert_eq!(share.report.refused.values().sum::<u64>(), 1 - unknown);
        }
        let (mut settling, mut share) = settling(1);
        settling.apply(refused(false), &mut share);
        assert_eq!(share.report.refused.values().sum::<u64>(), 1, "the first attempt was refused");
    }
}
