//! Who of one engine lives, and who died of what. Shared by all its parts; it outlives every tenure.

use super::child::ExitReason;
use super::kind::{ActorId, Kind};
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Deaths kept of each actor, and of each kind of which there are many.
const KEPT: usize = 32;
/// Characters kept of what was said at a death.
const WORDS: usize = 500;

/// One death.
#[derive(Clone, Debug)]
pub struct Death {
    /// Who: kind and key.
    pub actor: String,
    /// In which partition, if it belongs to one.
    pub partition: Option<i32>,
    /// How.
    pub reason: ExitReason,
    /// The panic's or the error's words.
    pub words: String,
    /// The record that it was at work on, if that is known.
    pub offset: Option<i64>,
    /// After which time it is begun anew; none if its budget is spent.
    pub restarts_after: Option<Duration>,
    /// Whether its restart budget pays for it.
    pub is_charged: bool,
    /// When.
    pub at: Instant,
}

/// Deaths of one actor or of one kind, the newest last.
#[derive(Clone, Debug, Default)]
pub struct Deaths {
    /// All that ever were.
    pub total: u64,
    /// The newest.
    pub last: VecDeque<Death>,
}

impl Deaths {
    fn add(&mut self, death: Death) {
        self.total = self.total.saturating_add(1);
        if self.last.len() >= KEPT {
            self.last.pop_front();
        }
        self.last.push_back(death);
    }

    /// How many of them are younger than `period`: what is used of a restart budget.
    pub fn within(&self, period: Duration) -> usize {
        self.last.iter().filter(|death| death.is_charged && death.at.elapsed() <= period).count()
    }
}

#[derive(Debug, Default)]
struct Dead {
    /// By name, of those that are few.
    named: BTreeMap<String, Deaths>,
    /// By kind, of those that are many.
    kinds: BTreeMap<Kind, Deaths>,
}

/// Births and deaths of one engine.
#[derive(Debug)]
pub struct Chronicle {
    /// When the engine was started.
    pub born: Instant,
    alive: [AtomicUsize; Kind::ALL.len()],
    dead: Mutex<Dead>,
}

impl Default for Chronicle {
    fn default() -> Self {
        Self { born: Instant::now(), alive: Default::default(), dead: Mutex::default() }
    }
}

/// Counts its holder among the living until it is dropped.
#[derive(Debug)]
pub struct Alive {
    chronicle: Arc<Chronicle>,
    kind: Kind,
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.chronicle.counter(self.kind).fetch_sub(1, Ordering::Relaxed);
    }
}

impl Chronicle {
    /// To be kept by the one who is born.
    #[must_use]
    pub fn birth(self: &Arc<Self>, kind: Kind) -> Alive {
        self.counter(kind).fetch_add(1, Ordering::Relaxed);
        Alive { chronicle: Arc::clone(self), kind }
    }

    /// Actors of this kind that exist now, reachable or not.
    pub fn alive(&self, kind: Kind) -> usize {
        self.counter(kind).load(Ordering::Relaxed)
    }

    fn counter(&self, kind: Kind) -> &AtomicUsize {
        let [root, flusher, letters, consumer, router, project, incident, pool, summarizer, index_consumer, indexer] =
            &self.alive;
        match kind {
            Kind::RootSupervisor => root,
            Kind::Flusher => flusher,
            Kind::DeadLetterWriter => letters,
            Kind::KafkaConsumer => consumer,
            Kind::PartitionRouter => router,
            Kind::ProjectActor => project,
            Kind::IncidentActor => incident,
            Kind::SummarizerPool => pool,
            Kind::AiSummarizer => summarizer,
            Kind::IndexConsumer => index_consumer,
            Kind::Indexer => indexer,
        }
    }

    /// Enters the death of an actor of this kind.
    pub fn enter(&self, kind: Kind, death: Death) {
        let death = Death { words: death.words.chars().take(WORDS).collect(), ..death };
        let mut dead = self.lock();
        if kind.is_numerous() {
            dead.kinds.entry(kind).or_default().add(death);
        } else {
            dead.named.entry(death.actor.clone()).or_default().add(death);
        }
    }

    /// Deaths of one actor of which there are few: of a partition's tenures, say.
    pub fn deaths(&self, id: &ActorId) -> Deaths {
        self.lock().named.get(&id.to_string()).cloned().unwrap_or_default()
    }

    /// Deaths of the children of a kind of which there are many, of all partitions.
    pub fn child_deaths(&self, kind: Kind) -> Deaths {
        self.lock().kinds.get(&kind).cloned().unwrap_or_default()
    }

    /// All deaths: how many there ever were, and the newest, the newest first.
    pub fn all_deaths(&self) -> (u64, Vec<Death>) {
        let dead = self.lock();
        let all = || dead.named.values().chain(dead.kinds.values());
        let total = all().map(|deaths| deaths.total).sum();
        let mut last: Vec<Death> = all().flat_map(|deaths| deaths.last.iter().cloned()).collect();
        last.sort_by_key(|death| std::cmp::Reverse(death.at));
        last.truncate(KEPT);
        (total, last)
    }

    fn lock(&self) -> MutexGuard<'_, Dead> {
        self.dead.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn death(partition: i32, words: &str) -> Death {
        Death {
            actor: format!("PartitionRouter {partition}"),
            partition: Some(partition),
            reason: ExitReason::Failed,
            words: words.to_owned(),
            offset: None,
            restarts_after: Some(Duration::ZERO),
            is_charged: true,
            at: Instant::now(),
        }
    }

    #[test]
    fn the_living_are_counted_by_kind_until_they_are_dropped() {
        let chronicle = Arc::new(Chronicle::default());
        let kept: Vec<Alive> = (0..3).map(|_| chronicle.birth(Kind::IncidentActor)).collect();
        let router = chronicle.birth(Kind::PartitionRouter);
        assert_eq!((chronicle.alive(Kind::IncidentActor), chronicle.alive(Kind::PartitionRouter)), (3, 1));
        drop(kept);
        assert_eq!((chronicle.alive(Kind::IncidentActor), chronicle.alive(Kind::PartitionRouter)), (0, 1));
        drop(router);
        assert_eq!(Kind::ALL.map(|kind| chronicle.alive(kind)), [0; Kind::ALL.len()]);
    }

    #[test]
    fn deaths_are_all_counted_and_the_newest_kept_in_few_words() {
        let chronicle = Chronicle::default();
        let tenure = Kind::PartitionRouter;
        for number in 0..KEPT + 5 {
            chronicle.enter(tenure, death(1, &number.to_string()));
        }
        chronicle.enter(tenure, death(2, &"x".repeat(WORDS + 1)));
        chronicle.enter(tenure, Death { is_charged: false, ..death(2, "for nothing") });
        chronicle.enter(Kind::IncidentActor, death(1, "child"));
        let first = chronicle.deaths(&ActorId::Router(1));
        assert_eq!((first.total, first.last.len(), first.last[0].words.as_str()), (37, KEPT, "5"));
        assert_eq!(first.within(Duration::from_secs(60)), KEPT);
        let second = chronicle.deaths(&ActorId::Router(2));
        assert_eq!((second.last[0].words.len(), second.total, second.within(Duration::from_secs(60))), (WORDS, 2, 1));
        assert_eq!(chronicle.deaths(&ActorId::Router(3)).total, 0);
        assert_eq!(
            (chronicle.child_deaths(Kind::IncidentActor).total, chronicle.child_deaths(Kind::ProjectActor).total),
            (1, 0)
        );
        let (total, newest) = chronicle.all_deaths();
        assert_eq!((total, newest.len(), newest[0].words.as_str()), (40, KEPT, "child"));
    }
}
