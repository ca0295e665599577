//! Every place of the engine where something can break, and every way in which it can: under load, with duplicates and dead
//! letters, on the real servers. Afterwards each incident has exactly its events, each event stands in one line of the
//! ledger, the one that died is the one that was struck, and nobody outlives the tree (G2, G3, G5, G6).
#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, clippy::indexing_slicing)]

mod rig;

use actors::config::EngineConfig;
use actors::failpoint::{Action, Gate, Point, STALL, Strike};
use actors::supervision::kind::Kind;
use actors::supervision::observer::Observer;
use actors::supervision::plan::Plan;
use actors::supervision::restart::RestartPolicy;
use actors::supervision::root::Engine;
use actors::supervision::view::{ActorView, Observed, Selection};
use rig::{BURIED, COUNTED, FINGERPRINTS, Rig, event, project};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Points are armed for the whole process, so only one test at a time may have an engine.
static ALONE: Mutex<()> = Mutex::const_new(());

const PATIENCE: Duration = Duration::from_secs(90);
const LATE: Action = Action::Delay(Duration::from_millis(1_500));
const NONE: Selection = Selection { order: actors::supervision::view::Order::LastUsed, limit: 0, after: None };

/// All that was sent to one engine, and what must come of it.
struct Load {
    rig: Rig,
    sent: usize,
    accepted: BTreeMap<String, i64>,
    ledger: BTreeMap<(String, String), i64>,
    incidents: BTreeMap<(String, String), i64>,
}

impl Load {
    async fn new() -> Self {
        let (accepted, ledger, incidents) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { rig: Rig::new().await, sent: 0, accepted, ledger, incidents }
    }

    fn config(&self) -> EngineConfig {
        // Small batches and flushes: each point is passed many times.
        EngineConfig { batch_records: 50, flush_records: 100, shortest_pace: Duration::ZERO, ..self.rig.config() }
    }

    /// The next events: every tenth of them twice, every 17th one of the past again, every 97th is none at all.
    async fn send(&mut self, events: usize) {
        let mut records = Vec::new();
        for number in self.sent..self.sent + events {
            let outcome = if number % 97 == 13 {
                records.push((project(number), "{\"not\": \"an event\"}".to_owned()));
                "dead_lettered"
            } else {
                records.push((project(number), event(number, "fine")));
                let incident = (project(number), format!("{:064x}", number % FINGERPRINTS));
                *self.incidents.entry(incident).or_insert(0) += 1;
                "counted"
            };
            *self.ledger.entry((project(number), outcome.to_owned())).or_insert(0) += 1;
            let past = if number % 17 == 5 { Some(number / 2) } else { None };
            for again in [(number % 10 == 0).then_some(number), past].into_iter().flatten() {
                if again % 97 != 13 {
                    records.push((project(again), event(again, "fine")));
                    *self.ledger.entry((project(again), "duplicate".to_owned())).or_insert(0) += 1;
                }
            }
        }
        for (key, _) in &records {
            *self.accepted.entry(key.clone()).or_insert(0) += 1;
        }
        self.sent += events;
        self.rig.send_records(records).await;
    }

    fn total(&self, outcome: &str) -> i64 {
        self.ledger.iter().filter(|((_, known), _)| known == outcome).map(|(_, events)| events).sum()
    }

    async fn settled(&self) {
        self.rig.wait_for(COUNTED, self.total("counted")).await;
        self.rig.wait_for(BURIED, self.total("dead_lettered")).await;
        let all = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger";
        self.rig.wait_for(all, self.accepted.values().sum()).await;
    }

    /// Everything is exactly as if nothing had happened.
    async fn check(&self) {
        let rig = &self.rig;
        let incidents =
            "SELECT project_id AS a, fingerprint AS b, sum(event_count)::bigint AS n FROM incidents GROUP BY 1, 2";
        assert_eq!(rig.rows(incidents).await, self.incidents);
        let minutes =
            "SELECT project_id AS a, fingerprint AS b, sum(value)::bigint AS n FROM trend_minutes GROUP BY 1, 2";
        assert_eq!(rig.rows(minutes).await, self.incidents);
        let ledger = "SELECT project_id AS a, outcome AS b, sum(events)::bigint AS n FROM ledger GROUP BY 1, 2";
        let ledger = rig.rows(ledger).await;
        assert_eq!(ledger, self.ledger);
        for (project, accepted) in &self.accepted {
            let handled: i64 = ledger.iter().filter(|((known, _), _)| known == project).map(|(_, events)| events).sum();
            assert_eq!(handled, *accepted, "{project}: accepted = counted + duplicate + dead-lettered");
        }
        assert_eq!(rig.dead_letter_origins().len() as i64, self.total("dead_lettered"), "each is there, by its origin");
        let samples = "SELECT count(*) AS n FROM incident_events e JOIN incidents i ON i.id = e.incident_id \
                       WHERE e.ordinal > i.event_count";
        assert_eq!(rig.sum(samples).await, 0, "no sample is of an event that was not counted");
        let opened = "SELECT count(*) - (SELECT count(*) FROM incidents) AS n FROM incident_transitions";
        assert_eq!(rig.sum(opened).await, 0, "each incident opened once");
        assert_eq!(rig.sum("SELECT count(*) AS n FROM log_gaps").await, 0);
    }
}

/// Kinds of those who died.
async fn died(observer: &Observer) -> BTreeSet<Kind> {
    let root = observer.view(NONE).await;
    let kinds = root.restarts.deaths.iter().map(|death| {
        let name = death.actor.split(' ').next().unwrap();
        Kind::ALL.into_iter().find(|kind| kind.as_str() == name).unwrap()
    });
    kinds.collect()
}

async fn nobody_is_left(observer: &Observer) {
    let root = observer.view(NONE).await;
    let Observed::Root(seen) = &root.observed else { panic!() };
    assert!(seen.alive.iter().all(|living| living.count == 0), "somebody outlives the tree: {:?}", seen.alive);
}

async fn end(engine: Engine) -> BTreeSet<Kind> {
    let observer = engine.observer();
    let kinds = died(&observer).await;
    engine.stop().await;
    nobody_is_left(&observer).await;
    kinds
}

/// The `nth` passing of `point` is struck under load; exactly these kinds die of it.
async fn survives(point: Point, nth: u64, action: Action, dead: &[Kind]) {
    let _alone = ALONE.lock().await;
    let mut load = Load::new().await;
    let strike = Strike::at(point, nth, action);
    let engine = load.rig.engine_with(load.config()).await;
    for _ in 0..6 {
        load.send(200).await;
    }
    assert!(strike.wait(1, PATIENCE).await, "{point:?} was not passed {nth} times");
    load.send(300).await;
    load.settled().await;
    let kinds = end(engine).await;
    assert_eq!((strike.fired(), kinds), (1, dead.iter().copied().collect()));
    load.check().await;
}

/// The same while a second engine joins and leaves.
async fn survives_hand_over(point: Point, action: Action, dead: &[Kind]) {
    let _alone = ALONE.lock().await;
    let mut load = Load::new().await;
    let first = load.rig.engine_with(load.config()).await;
    load.send(300).await;
    load.settled().await;
    let strike = Strike::at(point, 1, action);
    let second = load.rig.engine_with(load.config()).await;
    let deadline = Instant::now() + PATIENCE;
    while strike.fired() == 0 {
        assert!(Instant::now() < deadline, "{point:?} was not passed");
        load.send(50).await;
    }
    load.send(300).await;
    load.settled().await;
    let mut kinds = end(second).await;
    load.send(300).await;
    load.settled().await;
    kinds.extend(end(first).await);
    assert_eq!((strike.fired(), kinds), (1, dead.iter().copied().collect()));
    load.check().await;
}

macro_rules! matrix {
    ($($name:ident: $run:ident($($argument:expr),*);)*) => {
        $(#[actix::test]
        async fn $name() {
            $run($($argument),*).await;
        })*
    };
}

matrix! {
    before_a_commit_a_panic: survives(Point::FlushBeforeCommit, 5, Action::Panic, &[Kind::Flusher]);
    before_a_commit_an_error: survives(Point::FlushBeforeCommit, 5, Action::Fail, &[]);
    before_a_commit_a_delay: survives(Point::FlushBeforeCommit, 5, LATE, &[]);
    after_a_commit_a_panic: survives(Point::FlushAfterCommit, 5, Action::Panic, &[Kind::Flusher]);
    after_a_commit_an_error: survives(Point::FlushAfterCommit, 5, Action::Fail, &[]);
    after_a_commit_a_delay: survives(Point::FlushAfterCommit, 5, LATE, &[]);
    at_a_dead_letter_a_panic: survives(Point::DeadLetter, 3, Action::Panic, &[Kind::Flusher]);
    at_a_dead_letter_an_error: survives(Point::DeadLetter, 3, Action::Fail, &[Kind::DeadLetterWriter]);
    at_a_dead_letter_a_delay: survives(Point::DeadLetter, 3, LATE, &[]);
    at_a_cut_a_panic: survives(Point::Cut, 5, Action::Panic, &[Kind::PartitionRouter]);
    at_a_cut_an_error: survives(Point::Cut, 5, Action::Fail, &[Kind::PartitionRouter]);
    at_a_cut_a_delay: survives(Point::Cut, 5, LATE, &[]);
    at_a_snapshot_a_panic: survives(Point::Snapshot, 100, Action::Panic, &[Kind::IncidentActor]);
    at_a_snapshot_a_delay: survives(Point::Snapshot, 100, LATE, &[]);
    in_an_incident_a_panic: survives(Point::ApplyIncident, 500, Action::Panic, &[Kind::IncidentActor]);
    in_an_incident_a_delay: survives(Point::ApplyIncident, 500, LATE, &[]);
    in_a_project_a_panic: survives(Point::ApplyProject, 500, Action::Panic, &[Kind::ProjectActor]);
    in_a_project_a_delay: survives(Point::ApplyProject, 500, LATE, &[]);
    at_a_wake_a_panic: survives(Point::Wake, 3, Action::Panic, &[Kind::PartitionRouter]);
    at_a_wake_an_error: survives(Point::Wake, 3, Action::Fail, &[]);
    at_a_wake_a_delay: survives(Point::Wake, 3, LATE, &[]);
    in_the_poll_thread_a_panic: survives(Point::Poll, 20, Action::Panic, &[Kind::KafkaConsumer]);
    in_the_poll_thread_a_delay: survives(Point::Poll, 20, LATE, &[]);
    at_the_first_claim_a_panic: survives(Point::Assign, 2, Action::Panic, &[Kind::PartitionRouter]);
    at_the_first_claim_an_error: survives(Point::Assign, 2, Action::Fail, &[]);
    at_a_handed_over_claim_a_panic: survives_hand_over(Point::Assign, Action::Panic, &[Kind::PartitionRouter]);
    at_a_handed_over_claim_an_error: survives_hand_over(Point::Assign, Action::Fail, &[]);
    at_a_handed_over_claim_a_delay: survives_hand_over(Point::Assign, LATE, &[]);
    at_a_revocation_a_panic: survives_hand_over(Point::Revoke, Action::Panic, &[]);
    at_a_revocation_a_delay: survives_hand_over(Point::Revoke, LATE, &[]);
}

fn hasty(restarts: usize) -> RestartPolicy {
    let first_delay = Duration::from_millis(1);
    RestartPolicy { restarts, first_delay, period: Duration::from_secs(600), ..RestartPolicy::default() }
}

fn part<'a>(root: &'a ActorView, name: &str) -> &'a ActorView {
    let children = || root.children.iter().flat_map(|child| std::iter::once(child).chain(&child.children));
    children().find(|child| child.id == name).unwrap()
}

#[actix::test]
async fn a_flusher_that_keeps_dying_ends_the_engine_after_a_last_flush() {
    let _alone = ALONE.lock().await;
    let mut load = Load::new().await;
    let config = EngineConfig { plan: Plan::default().with(Kind::Flusher, hasty(1)), ..load.config() };
    let mut engine = load.rig.engine_with(config).await;
    let observer = engine.observer();
    load.send(100).await;
    load.settled().await;
    // Two deaths are one more than the budget, and of two flushes at the same time both are struck in one life: so until the
    // end is told. The Flusher after that is the one for the last flushes.
    let strike = Strike::times(Point::FlushBeforeCommit, 1, u64::MAX, Action::Panic);
    load.send(100).await;
    let notice = tokio::time::timeout(PATIENCE, engine.failed()).await.unwrap().unwrap();
    assert!(notice.child == "Flusher" && strike.fired() >= 2, "{notice:?}");
    drop(strike);
    assert!(notice.words.contains("FlushBeforeCommit"), "{notice:?}");
    let restarts = part(&observer.view(NONE).await, "Flusher").restarts.clone();
    assert!(
        restarts.count >= 2 && restarts.budget.is_some_and(|budget| budget.used >= 2 && budget.most == 1),
        "{restarts:?}"
    );
    engine.stop().await;
    nobody_is_left(&observer).await;
    // What was read before the end is durable; whatever was not, the next start reads.
    let engine = load.rig.engine_with(load.config()).await;
    load.settled().await;
    assert_eq!(end(engine).await, BTreeSet::new());
    load.check().await;
}

#[actix::test]
async fn a_flush_that_kills_flusher_after_flusher_rewinds_its_tenure() {
    let _alone = ALONE.lock().await;
    let mut load = Load::new().await;
    let plan = Plan::default().with(Kind::Flusher, hasty(10));
    let engine = load.rig.engine_with(EngineConfig { plan, ..load.config() }).await;
    load.send(100).await;
    load.settled().await;
    // Each partition has one flush under way: of nine deaths in a row, three are of the same flush.
    let strike = Strike::times(Point::FlushAfterCommit, 1, 2 * rig::PARTITIONS as u64 + 1, Action::Panic);
    load.send(300).await;
    assert!(strike.wait(9, PATIENCE).await);
    load.settled().await;
    assert_eq!(end(engine).await, BTreeSet::from([Kind::Flusher, Kind::PartitionRouter]));
    load.check().await;
}

#[actix::test]
async fn a_writer_of_dead_letters_that_keeps_dying_takes_its_flusher_along_and_no_letter_is_lost() {
    let _alone = ALONE.lock().await;
    let mut load = Load::new().await;
    let plan = Plan::default().with(Kind::DeadLetterWriter, hasty(1)).with(Kind::Flusher, hasty(5));
    let engine = load.rig.engine_with(EngineConfig { plan, ..load.config() }).await;
    let strike = Strike::times(Point::DeadLetter, 1, 2, Action::Fail);
    load.send(100).await;
    assert!(strike.wait(2, PATIENCE).await);
    load.settled().await;
    let root = engine.observer().view(NONE).await;
    assert_eq!((part(&root, "DeadLetterWriter").restarts.count, part(&root, "Flusher").restarts.count), (2, 1));
    assert_eq!(end(engine).await, BTreeSet::from([Kind::DeadLetterWriter, Kind::Flusher]));
    load.check().await;
}

#[actix::test]
async fn a_poll_thread_that_keeps_dying_ends_the_engine_after_last_flushes() {
    let _alone = ALONE.lock().await;
    let mut load = Load::new().await;
    let config = EngineConfig { plan: Plan::default().with(Kind::KafkaConsumer, hasty(2)), ..load.config() };
    let mut engine = load.rig.engine_with(config).await;
    let observer = engine.observer();
    load.send(300).await;
    load.settled().await;
    let strike = Strike::times(Point::Poll, 1, 3, Action::Panic);
    load.send(300).await;
    let notice = engine.failed().await.unwrap();
    assert_eq!((notice.child.as_str(), strike.fired()), ("KafkaConsumer", 3));
    engine.stop().await;
    nobody_is_left(&observer).await;
    let engine = load.rig.engine_with(load.config()).await;
    load.settled().await;
    assert_eq!(end(engine).await, BTreeSet::new());
    load.check().await;
}

#[actix::test]
async fn a_partition_that_was_paused_is_read_on_after_the_poll_thread_has_died() {
    let _alone = ALONE.lock().await;
    actors::failpoint::arm();
    let mut load = Load::new().await;
    let engine = load.rig.engine_with(load.config()).await;
    load.send(100).await;
    load.settled().await;
    // A duplicate that stalls its router; behind it more than the inbox holds.
    let gate = Gate::close();
    load.rig.send_records([(project(1), event(1, STALL))]).await;
    *load.accepted.get_mut(&project(1)).unwrap() += 1;
    *load.ledger.entry((project(1), "duplicate".to_owned())).or_insert(0) += 1;
    for _ in 0..10 {
        load.send(200).await;
    }
    let deadline = Instant::now() + PATIENCE;
    while !engine.tenures().iter().any(|tenure| tenure.progress.is_paused()) {
        assert!(Instant::now() < deadline, "no partition was paused");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let strike = Strike::at(Point::Poll, 1, Action::Panic);
    assert!(strike.wait(1, PATIENCE).await);
    drop(gate);
    load.settled().await;
    assert_eq!(end(engine).await, BTreeSet::from([Kind::KafkaConsumer]));
    load.check().await;
}

#[actix::test]
async fn children_that_keep_dying_for_no_record_end_their_tenure_and_only_theirs() {
    let _alone = ALONE.lock().await;
    let mut load = Load::new().await;
    let plan = Plan::default().with(Kind::IncidentActor, hasty(2));
    let engine = load.rig.engine_with(EngineConfig { plan, ..load.config() }).await;
    load.send(200).await;
    load.settled().await;
    // All of one project, so of one partition.
    let strike = Strike::times(Point::Snapshot, 1, 3, Action::Panic);
    load.send(1).await;
    assert!(strike.wait(3, PATIENCE).await);
    load.settled().await;
    let root = engine.observer().view(NONE).await;
    let routers = root.children.iter().filter(|child| child.kind == Kind::PartitionRouter);
    let deaths: Vec<u64> = routers.map(|child| child.restarts.count).filter(|count| *count > 0).collect();
    assert_eq!(deaths, [1], "{root:#?}");
    assert_eq!(end(engine).await, BTreeSet::from([Kind::IncidentActor, Kind::PartitionRouter]));
    load.check().await;
}
