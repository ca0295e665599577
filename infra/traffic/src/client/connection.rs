//! What each connection does: batch after batch, each until its fate is known.

use super::attempt::Sender;
use super::backoff::Backoff;
use super::pace::Pace;
use super::settle::Settling;
use super::source::{Batch, Source};
use super::window::Window;
use super::{ClientConfig, ClientError, Delivery, MAX_BATCH, Progress, wide};
use crate::event::Outgoing;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

/// What the connections of one delivery share.
pub(super) struct Shared<I> {
    sender: Sender,
    pub(super) source: Mutex<Source<I>>,
    window: Window,
    pace: Pace,
    patience: Duration,
    first_pause: Duration,
    progress: Arc<Progress>,
}

impl<I: Iterator<Item = Outgoing>> Shared<I> {
    pub(super) fn new(
        config: &ClientConfig,
        pace: Pace,
        events: I,
        progress: Arc<Progress>,
    ) -> Result<Self, ClientError> {
        Ok(Self {
            sender: Sender::new(config)?,
            source: Mutex::new(Source::new(events, config.batch.clamp(1, MAX_BATCH))),
            window: Window::new(),
            pace,
            patience: config.patience,
            first_pause: config.first_pause,
            progress,
        })
    }

    /// One connection's life.
    pub(super) async fn connection(self: Arc<Self>) -> Delivery {
        let mut share = Delivery::default();
        loop {
            // A statement of its own: the lock must not be held while the batch is delivered.
            let next = self.source.lock().await.next_batch();
            let Some(batch) = next else { return share };
            let position = batch.position;
            let origin = self.pace.wait(batch.due).await;
            if self.source.lock().await.take_back(&batch) {
                return share;
            }
            self.window.enter(position).await;
            let stop = self.deliver(batch, origin, &mut share).await;
            self.window.leave(position);
            if let Some(reason) = stop {
                self.source.lock().await.stop(reason);
            }
        }
    }

    /// Sends one batch until the fate of each of its events is known or patience ends. Returns a reason if nothing
    /// else needs to be sent by anyone.
    async fn deliver(&self, batch: Batch, origin: Instant, share: &mut Delivery) -> Option<String> {
        let began = Instant::now();
        let mut backoff = Backoff::new(self.first_pause);
        let mut settling = Settling::new(batch);
        share.report.sent += wide(settling.len());
        let body = settling.body(self.sender.is_batched());
        loop {
            let answer = self.sender.attempt(body.clone(), settling.len()).await;
            share.report.requests += 1;
            let step = settling.apply(answer, share);
            if step.acknowledged > 0 {
                share.report.latency.record(origin.elapsed());
                self.progress.acknowledged.fetch_add(step.acknowledged, Ordering::Relaxed);
            }
            let Some((cause, retry_after)) = step.again else { return step.stop };
            let pause = backoff.pause(retry_after);
            if began.elapsed().saturating_add(pause) >= self.patience {
                settling.give_up(cause, share);
                let seconds = self.patience.as_secs_f64();
                return Some(format!("a request got no acknowledgement within {seconds} s: {}", cause.as_str()));
            }
            tokio::time::sleep(pause).await;
            let resent = wide(settling.len());
            share.report.add_retry(cause.as_str(), resent);
            self.progress.resent.fetch_add(resent, Ordering::Relaxed);
        }
    }
}
