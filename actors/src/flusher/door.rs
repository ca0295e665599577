//! The way to whichever Flusher lives now.

use super::actor::Flusher;
use super::messages::Flush;
use actix::Addr;
use actix::prelude::SendError;
use std::time::Duration;
use tokio::sync::watch;

/// How long a full box is left alone; each partition has at most one letter in it, so it hardly ever is full.
const FULL: Duration = Duration::from_millis(5);

/// There will be no Flusher any more: its restart budget is spent, or the engine ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no flusher any more")]
pub struct NoFlusher;

/// The outside of the door; clones lead to the same Flusher.
#[derive(Clone, Debug)]
pub struct FlusherDoor(watch::Receiver<Option<Addr<Flusher>>>);

/// The inside: who keeps the Flusher alive says here which one it is. Dropped when there will be no other.
#[derive(Debug)]
pub struct Doorkeeper(watch::Sender<Option<Addr<Flusher>>>);

/// A door behind which nobody lives yet.
pub fn door() -> (Doorkeeper, FlusherDoor) {
    let (keeper, door) = watch::channel(None);
    (Doorkeeper(keeper), FlusherDoor(door))
}

impl Doorkeeper {
    /// This one lives there now.
    pub fn moved_in(&self, flusher: Addr<Flusher>) {
        self.0.send_replace(Some(flusher));
    }

    /// The one who lived there is dead.
    pub fn moved_out(&self) {
        self.0.send_replace(None);
    }
}

impl FlusherDoor {
    /// Hands a flush to the Flusher that lives now, and waits for one while there is none.
    ///
    /// # Errors
    /// [`NoFlusher`].
    pub async fn hand_over(&self, mut flush: Flush) -> Result<(), NoFlusher> {
        let mut door = self.0.clone();
        loop {
            let Some(flusher) = door.wait_for(Option::is_some).await.map_err(|_| NoFlusher)?.clone() else { continue };
            flush = match flusher.try_send(flush) {
                Ok(()) => return Ok(()),
                Err(SendError::Full(flush)) => {
                    tokio::time::sleep(FULL).await;
                    flush
                }
                // It died a moment ago. Whoever keeps it alive will say so, and then who is next.
                Err(SendError::Closed(flush)) => {
                    door.changed().await.map_err(|_| NoFlusher)?;
                    flush
                }
            };
        }
    }
}
