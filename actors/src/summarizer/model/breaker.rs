//! Leaves an endpoint alone that fails or has asked for a pause. Pure: time is handed in.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Failures in a row that open it.
const FAILURES: u32 = 5;
/// First time that it stays open; it doubles with every probe that fails.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
/// Longest time that it stays open.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);
/// While a probe is under way: when others may look again.
const PROBING: Duration = Duration::from_secs(5);

/// One endpoint's.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    circuit: Circuit,
    /// The endpoint has asked to be left alone until then.
    held: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Circuit {
    Closed {
        failures: u32,
    },
    Open {
        until: Instant,
        pause: Duration,
    },
    /// One probe is under way.
    HalfOpen {
        pause: Duration,
    },
}

impl Default for Circuit {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

impl Breaker {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks to be let through; else how long to wait.
    pub fn enter(self: &Arc<Self>, now: Instant) -> Result<Pass, Duration> {
        let mut state = self.state();
        if let Some(held) = state.held.filter(|held| *held > now) {
            return Err(held.duration_since(now));
        }
        state.held = None;
        let probe = match state.circuit {
            Circuit::Closed { .. } => None,
            Circuit::Open { until, .. } if until > now => return Err(until.duration_since(now)),
            Circuit::Open { pause, .. } => {
                state.circuit = Circuit::HalfOpen { pause };
                Some((now, pause))
            }
            Circuit::HalfOpen { .. } => return Err(PROBING),
        };
        Ok(Pass { breaker: Arc::clone(self), probe })
    }
}

/// Leave to send one request. A probe that is given up without a verdict lets the next one probe.
#[derive(Debug)]
#[must_use]
pub(super) struct Pass {
    breaker: Arc<Breaker>,
    /// When it began and the pause before it, if it is the probe of a half-open circuit.
    probe: Option<(Instant, Duration)>,
}

impl Pass {
    /// The endpoint works, whatever it answered.
    pub fn works(mut self) {
        self.close();
    }

    fn close(&mut self) {
        let mut state = self.breaker.state();
        if self.probe.take().is_some() || matches!(state.circuit, Circuit::Closed { .. }) {
            state.circuit = Circuit::default();
        }
    }

    /// It works and wants to be left alone for so long.
    pub fn hold(mut self, now: Instant, pause: Duration) {
        self.close();
        let mut state = self.breaker.state();
        let until = now + pause;
        state.held = Some(state.held.map_or(until, |held| held.max(until)));
    }

    /// It does not work.
    pub fn fails(mut self, now: Instant) {
        let probe = self.probe.take();
        let mut state = self.breaker.state();
        state.circuit = match (state.circuit, probe) {
            (_, Some((_, pause))) => {
                let pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                Circuit::Open { until: now + pause, pause }
            }
            (Circuit::Closed { failures }, None) if failures + 1 < FAILURES => {
                Circuit::Closed { failures: failures + 1 }
            }
            (Circuit::Closed { .. }, None) => Circuit::Open { until: now + FIRST_PAUSE, pause: FIRST_PAUSE },
            // It was sent before the circuit opened and tells nothing new.
            (other, None) => other,
        };
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        if let Some((began, pause)) = self.probe.take() {
            self.breaker.state().circuit = Circuit::Open { until: began, pause };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn opened(start: Instant) -> Arc<Breaker> {
        let breaker = Arc::new(Breaker::default());
        (0..FAILURES).for_each(|_| breaker.enter(start).unwrap().fails(start));
        breaker
    }

    #[test]
    fn it_opens_after_failures_in_a_row_only() {
        let (breaker, start) = (Arc::new(Breaker::default()), Instant::now());
        for _ in 0..FAILURES - 1 {
            breaker.enter(start).unwrap().fails(start);
        }
        breaker.enter(start).unwrap().works();
        for _ in 0..FAILURES {
            breaker.enter(start).expect("not yet").fails(start);
        }
        assert_eq!(breaker.enter(start + seconds(1)).unwrap_err(), seconds(9));
    }

    #[test]
    fn one_probe_at_a_time_and_its_failure_doubles_the_pause() {
        let start = Instant::now();
        let breaker = opened(start);
        let mut now = start;
        for pause in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.enter(now).unwrap_err(), seconds(pause));
            now += seconds(pause);
            let probe = breaker.enter(now).unwrap();
            assert_eq!(breaker.enter(now).unwrap_err(), PROBING, "others wait for the probe");
            probe.fails(now);
        }
        now += LONGEST_PAUSE;
        breaker.enter(now).unwrap().works();
        let _both = (breaker.enter(now).unwrap(), breaker.enter(now).unwrap());
    }

    #[test]
    fn a_probe_that_was_given_up_does_not_close_the_door_for_ever() {
        let start = Instant::now();
        let breaker = opened(start);
        drop(breaker.enter(start + seconds(10)).unwrap());
        breaker.enter(start + seconds(10)).unwrap().works();
        assert!(breaker.enter(start + seconds(10)).is_ok());
    }

    #[test]
    fn a_pause_that_was_asked_for_holds_everyone_and_the_longest_counts() {
        let (breaker, start) = (Arc::new(Breaker::default()), Instant::now());
        let passes = [breaker.enter(start).unwrap(), breaker.enter(start).unwrap()];
        for (pass, pause) in passes.into_iter().zip([30, 7]) {
            pass.hold(start, seconds(pause));
        }
        assert_eq!(breaker.enter(start + seconds(10)).unwrap_err(), seconds(20));
        assert!(breaker.enter(start + seconds(30)).is_ok());
    }

    #[test]
    fn what_was_sent_before_the_opening_changes_nothing() {
        let (breaker, start) = (Arc::new(Breaker::default()), Instant::now());
        let early: Vec<_> = (0..2).map(|_| breaker.enter(start).unwrap()).collect();
        (0..FAILURES).for_each(|_| breaker.enter(start).unwrap().fails(start));
        for (pass, works) in early.into_iter().zip([true, false]) {
            if works { pass.works() } else { pass.fails(start + seconds(1)) }
        }
        assert_eq!(breaker.enter(start + seconds(2)).unwrap_err(), seconds(8));
    }
}
