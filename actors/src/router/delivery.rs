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
