//! Which fault comes next: cards of a shuffled deck, so that each kind comes about equally often, in a random order.

use crate::chance::Chance;

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9` of one engine; it is started again.
    EngineKilled,
    /// `kill -9` of all engines at once.
    EnginesKilled,
    /// One engine stands still and goes on later, perhaps as a stale owner.
    EngineFrozen,
    /// Another engine joins the group; if there are two, the second one leaves, in order or not.
    Rebalance,
    /// `kill -9` of ingest.
    IngestKilled,
    /// `kill -9` of core.
    CoreKilled,
    /// PostgreSQL is killed or stopped, and is away for some time.
    PostgresAway,
    /// So is the broker.
    BrokerAway,
    /// Both at once.
    BothAway,
    /// An engine is killed while the database is away.
    EngineKilledWithoutPostgres,
    /// Records that nobody can read.
    Garbage,
    /// A person lifts a quarantine, if there is one.
    Lift,
}

const CARDS: [Fault; 14] = [
    Fault::EngineKilled,
    Fault::EngineKilled,
    Fault::EnginesKilled,
    Fault::EngineFrozen,
    Fault::Rebalance,
    Fault::Rebalance,
    Fault::IngestKilled,
    Fault::CoreKilled,
    Fault::PostgresAway,
    Fault::BrokerAway,
    Fault::BothAway,
    Fault::EngineKilledWithoutPostgres,
    Fault::Garbage,
    Fault::Lift,
];

/// The cards that are left, and the chance that shuffles them and decides everything else.
pub struct Deck {
    pub chance: Chance,
    /// Cards drawn so far.
    pub drawn: u64,
    left: Vec<Fault>,
}

impl Deck {
    pub fn new(chance: Chance) -> Self {
        Self { chance, drawn: 0, left: Vec::new() }
    }

    pub fn draw(&mut self) -> Fault {
        if self.left.is_empty() {
            self.left = CARDS.to_vec();
            self.chance.shuffle(&mut self.left);
        }
        self.drawn += 1;
        self.left.pop().unwrap()
    }
}
