//! What happens when: random, and printed so that it can be repeated.

use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use std::time::Duration;

/// A seeded source of moments.
pub struct Chance(StdRng);

impl Chance {
    /// Seeded by `SIGNALS_TEST_SEED`, else anew in each run.
    pub fn new(test: &str) -> Self {
        let seed = std::env::var("SIGNALS_TEST_SEED").map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
        println!("{test}: SIGNALS_TEST_SEED={seed}");
        Self(StdRng::seed_from_u64(seed))
    }

    /// A seed for something that makes its own choices.
    pub fn seed(&mut self) -> u64 {
        self.0.random()
    }

    /// Puts them into a random order.
    pub fn shuffle<T>(&mut self, all: &mut [T]) {
        all.shuffle(&mut self.0);
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.random_range(0..end)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.0.random()
    }

    /// Lets a random time go by. This is no waiting for something: it moves a fault to a moment that nobody chose.
    pub async fn moment(&mut self, longest: Duration) {
        tokio::time::sleep(self.span(longest)).await;
    }

    /// A random time, shorter than this.
    pub fn span(&mut self, longest: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(longest.as_micros()).unwrap()))
    }
}
