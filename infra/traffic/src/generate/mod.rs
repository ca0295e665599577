//! Makes events out of a seed. Pure: the same plan gives the same events, times and ids included.

mod catalogue;
mod scenario;
mod words;

pub use scenario::{Kind, Mix, Scenario};

use crate::event::ClientEvent;
use catalogue::Moment;
use chrono::{DateTime, TimeDelta, Utc};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use ulid::Ulid;

/// Seconds over which [`sample`] spreads its events: short enough that no event lies in the server's future.
const SAMPLE_SECONDS: u64 = 60;

/// Tells the event ids of one run from those of every other: 48 bits in the middle of each ULID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run(u64);

impl Run {
    /// A run named by the lower 48 bits of `number`.
    pub const fn new(number: u64) -> Self {
        Self(number & 0xffff_ffff_ffff)
    }

    /// The id of the run's n-th event; unique for the first 2^32 events.
    pub fn event_id(self, at: DateTime<Utc>, n: u32) -> String {
        let milliseconds = u64::try_from(at.timestamp_millis()).unwrap_or(0);
        Ulid::from_parts(milliseconds, (u128::from(self.0) << 32) | u128::from(n)).to_string()
    }
}

/// What to generate.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// What happens.
    pub scenario: Scenario,
    /// Seed of everything random.
    pub seed: u64,
    /// Events per second of the undisturbed mix; a spike comes on top, a drop takes away. Must be above 0.
    pub rate: f64,
    /// How long the traffic lasts.
    pub duration: Duration,
    /// Event time of the start.
    pub started_at: DateTime<Utc>,
    /// Part of every event id.
    pub run: Run,
}

impl Plan {
    /// The events in time order, each with its distance from the start.
    pub fn events(self) -> Events {
        let rng = Xoshiro256PlusPlus::seed_from_u64(self.seed);
        Events { plan: self, rng, at: 0.0, number: 0, deploys: 0 }
    }
}

/// `count` events of the normal mix, all of them within half a minute after `started_at`.
pub fn sample(count: u32, seed: u64, run: Run, started_at: DateTime<Utc>) -> impl Iterator<Item = ClientEvent> + Send {
    // Twice as many as asked for and some more: a Poisson process has no fixed number.
    let rate = f64::from(count) / 30.0 + 10.0;
    let duration = Duration::from_secs(SAMPLE_SECONDS);
    let plan = Plan { scenario: Scenario::Normal, seed, rate, duration, started_at, run };
    let wanted = usize::try_from(count).unwrap_or(usize::MAX);
    plan.events().map(|(_, event)| event).take(wanted)
}

/// The events of a [`Plan`]: a Poisson process whose rate follows the scenario, with the deploys in between.
#[derive(Clone, Debug)]
pub struct Events {
    plan: Plan,
    rng: Xoshiro256PlusPlus,
    /// Seconds from the start.
    at: f64,
    number: u32,
    /// How many deploys have been, which is also the number of the release that runs.
    deploys: usize,
}

impl Events {
    fn progress(&self) -> f64 {
        self.at / self.plan.duration.as_secs_f64()
    }

    fn gap(&mut self) -> f64 {
        let rate = self.plan.rate * self.plan.scenario.mix(self.progress()).total();
        // 1 - u lies in (0, 1], so that its logarithm is finite.
        let u: f64 = self.rng.random();
        -(1.0 - u).ln() / rate
    }

    fn emit(&mut self, kind: Kind) -> Option<(Duration, ClientEvent)> {
        let at = Duration::try_from_secs_f64(self.at).ok()?;
        // Event times of whole microseconds, as the database keeps them.
        let micros = i64::try_from(at.as_micros()).ok()?;
        let occurred_at = self.plan.started_at.checked_add_signed(TimeDelta::microseconds(micros))?;
        let event_id = self.plan.run.event_id(occurred_at, self.number);
        self.number = self.number.checked_add(1)?;
        let moment = Moment { scenario: self.plan.scenario, release: self.deploys, occurred_at, event_id };
        Some((at, catalogue::event(kind, moment, &mut self.rng)))
    }
}

impl Iterator for Events {
    type Item = (Duration, ClientEvent);

    fn next(&mut self) -> Option<Self::Item> {
        let duration = self.plan.duration.as_secs_f64();
        let next = self.at + self.gap();
        let deploy = self.plan.scenario.deploys().get(self.deploys).map(|progress| progress * duration);
        if let Some(deploy) = deploy.filter(|deploy| *deploy <= next) {
            self.at = deploy;
            self.deploys += 1;
            return self.emit(Kind::Deploy);
        }
        if next >= duration {
            return None;
        }
        self.at = next;
        let roll: f64 = self.rng.random();
        let kind = self.plan.scenario.mix(self.progress()).choose(roll);
        self.emit(kind)
    }
}

#[cfg(test)]
mod tests;
