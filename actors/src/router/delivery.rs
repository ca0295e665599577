//! How a letter and a question get into a child's box: in their turn, and never beyond its bound.

use super::nursery::Child;
use crate::supervision::mail::{Apply, Letter};
use actix::{Actor, Addr, Context, Handler};
use schema::instrument::Histogram;
use std::sync::Arc;
use std::time::Instant;

/// False if the child is dead.
pub(super) async fn send<C: Child>(address: &Addr<C>, letter: Arc<Letter<C::Record>>, full_box: &Histogram) -> bool {
    match address.try_send(Apply(letter)) {
        Ok(()) => true,
        Err(actix::prelude::SendError::Closed(_)) => false,
        // `send` keeps the letter that a full box refuses until it is taken.
        Err(actix::prelude::SendError::Full(letter)) => {
            let began = Instant::now();
            let is_taken = address.send(letter).await.is_ok();
            full_box.record(began.elapsed());
            is_taken
        }
    }
}

/// Puts a question into a box in its turn; a dead child drops it, which the asker notices at the reply.
pub(super) async fn question<C, M>(address: &Addr<C>, mut question: M)
where
    C: Actor<Context = Context<C>> + Handler<M>,
    M: actix::Message<Result = ()> + Send + 'static,
{
    // Not `send`: what it cannot enqueue at once may be overtaken by a later letter.
    while let Err(actix::prelude::SendError::Full(refused)) = address.try_send(question) {
        question = refused;
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::consumer::batch::RecordBatch;
    use crate::project::actor::{MAILBOX, ProjectActor};
    use crate::project::messages::Observation;
    use crate::supervision::chronicle::Chronicle;
    use crate::supervision::kind::Kind;
    use crate::supervision::mail::{Birth, Life, TakeSnapshot};
    use schema::event::EventType;
    use schema::instrument::Histogram;
    use smallvec::smallvec;
    use tokio::sync::{mpsc, oneshot};

    #[actix::test]
    async fn a_full_box_makes_the_router_wait_and_holds_no_more_than_its_bound() {
        let (deaths, _told) = mpsc::unbounded_channel();
        let alive = Arc::new(Chronicle::default()).birth(Kind::ProjectActor);
        let birth = Birth::new(Life { slot: 0, generation: 1 }, deaths, alive);
        let address = ProjectActor::new("p".into(), birth).start();
        let observation = |offset| Observation {
            index: 0,
            offset,
            minute: 0,
            event_type: EventType::Signup,
            environment: "prod".into(),
        };
        let (batch, letters) = (Arc::new(RecordBatch::default()), 10 * MAILBOX);
        let (full_box, mut most) = (Histogram::noop(), 0);
        let mut sent = Vec::new();
        for number in 0..letters {
            let letter = Arc::new(Letter {
                batch: Arc::clone(&batch),
                records: smallvec![observation(i64::try_from(number).unwrap())],
            });
            assert!(send(&address, Arc::clone(&letter), &full_box).await);
            sent.push(letter);
            // A letter is held here and, until the child has taken it, in its box.
            most = most.max(sent.iter().filter(|letter| Arc::strong_count(letter) > 1).count());
        }
        let (reply, answer) = oneshot::channel();
        question(&address, TakeSnapshot { is_pressed: false, reply }).await;
        let minutes = answer.await.unwrap();
        assert_eq!(minutes.buckets.iter().map(|(_, events)| events).sum::<i64>(), i64::try_from(letters).unwrap());
        assert!((MAILBOX..=MAILBOX + 1).contains(&most), "{most} letters waited in a box for {MAILBOX}");
    }
}
