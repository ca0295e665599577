//! Whether an arbiter still turns: a heartbeat goes through its queue like everything else. At most one is under way, so
//! asking a blocked arbiter again and again costs nothing.

use actix::ArbiterHandle;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// An arbiter that owes a beat for longer is dead to the world.
const BOUND: Duration = Duration::from_secs(5);

/// What an arbiter said, or that it said nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// It answered after this time.
    Heard(Duration),
    /// It owes an answer since then.
    Owed(Duration),
    /// Its thread has ended.
    Ended,
}

impl Beat {
    /// Whether the arbiter counts as alive; a moment at hard work is no death.
    pub fn is_alive(self) -> bool {
        match self {
            Self::Heard(_) => true,
            Self::Owed(since) => since < BOUND,
            Self::Ended => false,
        }
    }
}

#[derive(Debug)]
struct Asked {
    number: u64,
    at: Instant,
}

/// The pulse of one arbiter.
#[derive(Debug)]
pub struct Pulse {
    /// What lives there.
    pub name: String,
    arbiter: ArbiterHandle,
    asked: Mutex<Asked>,
    heard: watch::Sender<u64>,
}

impl Pulse {
    /// Of this arbiter.
    pub fn new(name: String, arbiter: ArbiterHandle) -> Self {
        let asked = Mutex::new(Asked { number: 0, at: Instant::now() });
        Self { name, arbiter, asked, heard: watch::Sender::new(0) }
    }

    /// Waits for a beat, at most so long.
    pub async fn feel(&self, patience: Duration) -> Beat {
        let mut heard = self.heard.subscribe();
        let Some((number, at)) = self.ask() else { return Beat::Ended };
        let beat = tokio::time::timeout(patience, heard.wait_for(|heard| *heard >= number)).await;
        match beat {
            Ok(_) => Beat::Heard(at.elapsed()),
            Err(_) if !self.arbiter.alive() => Beat::Ended,
            Err(_) => Beat::Owed(at.elapsed()),
        }
    }

    /// The beat that is under way, else a new one.
    fn ask(&self) -> Option<(u64, Instant)> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        if *self.heard.borrow() >= asked.number {
            *asked = Asked { number: asked.number.wrapping_add(1), at: Instant::now() };
            let (number, heard) = (asked.number, self.heard.clone());
            let beat = async move {
                heard.send_replace(number);
            };
            if !self.arbiter.spawn(beat) {
                return None;
            }
        }
        Some((asked.number, asked.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const SHORT: Duration = Duration::from_millis(50);

    #[actix::test]
    async fn an_arbiter_beats_owes_its_beat_while_it_is_blocked_and_has_ended_after_its_end() {
        let arbiter = actix::Arbiter::new();
        let pulse = Pulse::new("routers 1".to_owned(), arbiter.handle());
        while !matches!(pulse.feel(SHORT).await, Beat::Heard(_)) {}

        let (open, gate) = mpsc::channel::<()>();
        arbiter.spawn_fn(move || {
            // It returns when the other end is dropped.
            let _ = gate.recv();
        });
        let first = pulse.feel(SHORT).await;
        let second = pulse.feel(SHORT).await;
        let (Beat::Owed(first), Beat::Owed(second)) = (first, second) else { panic!("{first:?} {second:?}") };
        assert!(second > first, "it is still the same beat that is owed");
        assert_eq!(pulse.asked.lock().unwrap().number, 2, "nothing was put on top of it");
        drop(open);
        while !matches!(pulse.feel(SHORT).await, Beat::Heard(_)) {}

        arbiter.stop();
        arbiter.join().unwrap();
        assert_eq!(pulse.feel(SHORT).await, Beat::Ended);
    }

    #[test]
    fn a_moment_at_hard_work_is_no_death() {
        assert!(Beat::Owed(Duration::from_secs(4)).is_alive());
        assert!(!Beat::Owed(Duration::from_secs(6)).is_alive());
        assert!(!Beat::Ended.is_alive());
    }
}
