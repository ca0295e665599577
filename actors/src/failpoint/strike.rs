//! What a test arms: the n-th passing of a point, and what happens there.

use super::{Point, Struck};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// What happens at a point that is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It panics.
    Panic,
    /// It fails, if it is a place that can.
    Fail,
    /// It is late.
    Delay(Duration),
}

#[derive(Debug)]
struct Aim {
    /// Passings before the first that is struck.
    before: u64,
    /// Passings that are still to be struck.
    left: u64,
    action: Action,
    fired: watch::Sender<u64>,
}

/// Points that are armed now: a passing looks no further while there are none.
static ARMED: AtomicUsize = AtomicUsize::new(0);
static AIMS: Mutex<BTreeMap<Point, Aim>> = Mutex::new(BTreeMap::new());

fn aims() -> MutexGuard<'static, BTreeMap<Point, Aim>> {
    AIMS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A point that is armed, until this is dropped. All engines of this process pass the same points.
#[derive(Debug)]
pub struct Strike {
    point: Point,
    fired: watch::Receiver<u64>,
}

impl Strike {
    /// The `nth` passing from now, counted from 1, is struck.
    pub fn at(point: Point, nth: u64, action: Action) -> Self {
        Self::times(point, nth, 1, action)
    }

    /// The `nth` passing from now and those behind it, `times` in all.
    pub fn times(point: Point, nth: u64, times: u64, action: Action) -> Self {
        let (tell, fired) = watch::channel(0);
        let aim = Aim { before: nth.saturating_sub(1), left: times, action, fired: tell };
        if aims().insert(point, aim).is_none() {
            ARMED.fetch_add(1, Ordering::Relaxed);
        }
        Self { point, fired }
    }

    /// How often it has fired.
    pub fn fired(&self) -> u64 {
        *self.fired.borrow()
    }

    /// Waits until it has fired so often; false if it had not in time.
    pub async fn wait(&self, times: u64, patience: Duration) -> bool {
        let mut fired = self.fired.clone();
        matches!(tokio::time::timeout(patience, fired.wait_for(|fired| *fired >= times)).await, Ok(Ok(_)))
    }
}

impl Drop for Strike {
    fn drop(&mut self) {
        if aims().remove(&self.point).is_some() {
            ARMED.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// What happens at this passing.
fn take(point: Point) -> Option<Action> {
    if ARMED.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let mut aims = aims();
    let aim = aims.get_mut(&point)?;
    if aim.before > 0 {
        aim.before -= 1;
        return None;
    }
    aim.left = aim.left.checked_sub(1)?;
    aim.fired.send_modify(|fired| *fired += 1);
    Some(aim.action)
}

#[expect(clippy::panic, reason = "this is what the failpoint is for")]
fn panic_at(point: Point) -> ! {
    panic!("the failpoint {point:?} was struck")
}

pub(super) async fn pass(point: Point) -> Result<(), Struck> {
    match take(point) {
        None => {}
        Some(Action::Panic) => panic_at(point),
        Some(Action::Fail) => return Err(Struck(point)),
        Some(Action::Delay(time)) => tokio::time::sleep(time).await,
    }
    Ok(())
}

pub(super) fn hit(point: Point) {
    match take(point) {
        // A place that cannot fail has no other way than to panic.
        Some(Action::Panic | Action::Fail) => panic_at(point),
        Some(Action::Delay(time)) => {
            let nobody = Mutex::new(());
            let guard = nobody.lock().unwrap_or_else(PoisonError::into_inner);
            drop(Condvar::new().wait_timeout_while(guard, time, |()| true));
        }
        None => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_passings_that_are_aimed_at_are_struck_and_no_others() {
        let strike = Strike::times(Point::Poll, 3, 2, Action::Fail);
        let mut passings = Vec::new();
        for _ in 0..6 {
            passings.push(pass(Point::Poll).await.is_ok());
        }
        assert_eq!(passings, [true, true, false, false, true, true]);
        assert_eq!((strike.fired(), strike.wait(2, Duration::ZERO).await), (2, true));
        assert!(!strike.wait(3, Duration::from_secs(1)).await);
        drop(strike);
        let late = Strike::at(Point::Poll, 1, Action::Delay(Duration::from_secs(3)));
        let began = tokio::time::Instant::now();
        assert_eq!(pass(Point::Poll).await, Ok(()));
        assert!(began.elapsed() >= Duration::from_secs(3));
        drop(late);
        let deadly = Strike::at(Point::Poll, 1, Action::Panic);
        assert!(std::panic::catch_unwind(|| hit(Point::Poll)).is_err());
        hit(Point::Poll);
        assert_eq!(deadly.fired(), 1);
    }
}
