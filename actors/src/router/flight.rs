//! A cut on its way to the database. The router keeps it until it is durable: if the Flusher dies of it, or with it, the
//! same cut goes to the next Flusher. Whether the dead one had committed it, the fence tells (G2, G3).

use super::actor::TenureError;
use super::trace;
use crate::flusher::door::FlusherDoor;
use crate::flusher::messages::{Answer, Cut, Flush};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::oneshot;

/// Flushers that may die with the same cut in hand; then the tenure begins anew from what is durable.
const LIVES: u32 = 3;

/// A cut on its way.
pub(super) struct InFlight {
    pub next_offset: i64,
    pub began: Instant,
    cut: Arc<Cut>,
    answer: oneshot::Receiver<Answer>,
    lost: u32,
    spans: Vec<tracing::Span>,
}

impl InFlight {
    /// Hands the cut to the Flusher.
    pub async fn launch(
        door: &FlusherDoor,
        cut: Cut,
        began: Instant,
        spans: Vec<tracing::Span>,
    ) -> Result<Self, TenureError> {
        let next_offset = cut.batch.checkpoint.next_offset;
        let (cut, (reply, answer)) = (Arc::new(cut), oneshot::channel());
        door.hand_over(Flush { cut: Arc::clone(&cut), reply }).await?;
        Ok(Self { next_offset, began, cut, answer, lost: 0, spans })
    }

    /// Its answer will not come. The next one is waited for by a task of its own, for whoever waits for the answer may
    /// turn to something else meanwhile.
    fn launch_again(&mut self, door: &FlusherDoor) -> Result<(), TenureError> {
        self.lost = self.lost.saturating_add(1);
        if self.lost >= LIVES {
            return Err(TenureError::FlusherDied);
        }
        let (reply, answer) = oneshot::channel();
        self.answer = answer;
        let (door, flush) = (door.clone(), Flush { cut: Arc::clone(&self.cut), reply });
        actix::spawn(async move {
            // If there is no Flusher any more, the answer is lost once more.
            let _ = door.hand_over(flush).await;
        });
        Ok(())
    }
}

/// The flush in flight, once it is durable. Never, while none is: a branch of a select that waits.
pub(super) async fn landed(in_flight: &mut Option<InFlight>, door: &FlusherDoor) -> Result<InFlight, TenureError> {
    loop {
        let Some(flush) = in_flight.as_mut() else { return std::future::pending().await };
        let Ok(answer) = (&mut flush.answer).await else {
            flush.launch_again(door)?;
            continue;
        };
        let flush = in_flight.take().ok_or(TenureError::FlusherDied)?;
        answer?;
        trace::durable(&flush.spans);
        return Ok(flush);
    }
}
