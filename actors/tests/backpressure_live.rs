//! What is slow shows as a state with a reason, pauses its partition instead of filling memory, and recovers by itself.
#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, clippy::indexing_slicing)]

mod rig;

use actors::config::EngineConfig;
use actors::failpoint::{Action, Gate, Point, STALL, Strike};
use actors::supervision::kind::Kind;
use actors::supervision::observer::Observer;
use actors::supervision::view::{ActorView, Observed, Order, Selection, State};
use diesel_async::SimpleAsyncConnection;
use rig::{COUNTED, Rig, event, project};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;

/// Points are armed, and gates closed, for the whole process.
static ALONE: Mutex<()> = Mutex::const_new(());

const NONE: Selection = Selection { order: Order::LastUsed, limit: 0, after: None };
const BACKLOG: usize = 10_000;
const FLUSH: usize = 200;
const BATCH: usize = 50;

fn events(from: usize, to: usize) -> impl Iterator<Item = (String, String)> {
    // All of one project: one partition has to bear it.
    (from..to).map(|number| (project(0), event(number * rig::PROJECTS, "fine")))
}

fn config(rig: &Rig) -> EngineConfig {
    EngineConfig { batch_records: BATCH, flush_records: FLUSH, ..rig.config() }
}

async fn until(observer: &Observer, what: &str, is_so: impl Fn(&ActorView) -> bool) -> ActorView {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let view = observer.view(NONE).await;
        if is_so(&view) {
            return view;
        }
        assert!(Instant::now() < deadline, "not {what}: {view:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The router that has the work, once there is one.
fn busy(root: &ActorView) -> Option<&ActorView> {
    root.children.iter().find(|child| matches!(&child.observed, Observed::Router(router) if router.position > 0))
}

/// Records that the busy router has taken in and no transaction contains.
fn held(root: &ActorView) -> i64 {
    let Observed::Router(router) = &busy(root).unwrap().observed else { panic!() };
    router.position - router.next_offset
}

fn all_run(root: &ActorView) -> bool {
    root.children.iter().all(|child| child.state == State::Running)
}

/// While it is paused it takes nothing more in, however much there is.
async fn stays_bounded(observer: &Observer, most: usize) {
    let root = observer.view(NONE).await;
    let first = held(&root);
    assert!(first <= most as i64, "{first} records are in memory");
    let Observed::Consumer(before) = &root.children[1].observed else { panic!() };
    let rounds = before.rounds + 20;
    let later = until(
        observer,
        "polling on",
        |root| matches!(&root.children[1].observed, Observed::Consumer(consumer) if consumer.rounds > rounds),
    )
    .await;
    assert_eq!(held(&later), first, "a paused partition grows");
}

#[actix::test]
async fn a_slow_database_shows_and_pauses_the_partition() {
    let _alone = ALONE.lock().await;
    let rig = Rig::new().await;
    let engine = rig.engine_with(config(&rig)).await;
    let observer = engine.observer();
    rig.send_records(events(0, 100)).await;
    rig.wait_for(COUNTED, 100).await;

    // Somebody holds the row that every flush begins with.
    let mut lock = rig.database.as_ref().unwrap().connect().await;
    let hold = "SET idle_in_transaction_session_timeout = 0; BEGIN; SELECT 1 FROM partition_checkpoints FOR UPDATE";
    lock.batch_execute(hold).await.unwrap();
    rig.send_records(events(100, 100 + BACKLOG)).await;
    let root = until(&observer, "paused behind a slow database", |root| {
        busy(root).is_some_and(|router| router.state == State::Paused) && root.children[0].state == State::Waiting
    })
    .await;
    let why = busy(&root).unwrap().why.as_deref().unwrap();
    assert!(why.contains("its inbox is full and it is behind its flush"), "{why}");
    let why = root.children[0].why.as_deref().unwrap();
    assert!(why.contains("the database has not answered a flush for"), "{why}");
    // Two cuts: one in flight and one that is gathered, each at most a batch over its bound.
    stays_bounded(&observer, 2 * (FLUSH + 2 * BATCH)).await;
    assert!(observer.poll_thread().is_ok() && observer.arbiters().await.is_ok() && observer.readiness().is_ok());

    lock.batch_execute("COMMIT").await.unwrap();
    rig.wait_for(COUNTED, 100 + BACKLOG as i64).await;
    let root = until(&observer, "running again", all_run).await;
    assert_eq!(root.restarts.count, 0, "slowness is no death");
    engine.stop().await;
}

#[actix::test]
async fn a_slow_router_shows_and_its_full_inbox_pauses_the_partition() {
    let _alone = ALONE.lock().await;
    actors::failpoint::arm();
    let rig = Rig::new().await;
    let engine = rig.engine_with(config(&rig)).await;
    let observer = engine.observer();
    rig.send_records(events(0, 100)).await;
    rig.wait_for(COUNTED, 100).await;
    let gate = Gate::close();
    rig.send_records([(project(0), event(100 * rig::PROJECTS, STALL))]).await;
    rig.send_records(events(101, 100 + BACKLOG)).await;
    let root = until(&observer, "stuck with a full inbox", |root| {
        let router = busy(root).unwrap();
        router.state == State::Stuck && router.why.as_deref().unwrap().contains("its partition paused")
    })
    .await;
    let router = busy(&root).unwrap();
    assert!(router.mailbox.is_some_and(|inbox| inbox.waiting == inbox.capacity), "{router:?}");
    stays_bounded(&observer, FLUSH + 2 * BATCH).await;
    drop(gate);
    rig.wait_for(COUNTED, 100 + BACKLOG as i64).await;
    until(&observer, "running again", all_run).await;
    engine.stop().await;
}

#[actix::test]
async fn a_poll_thread_that_stands_still_shows_with_its_reason() {
    let _alone = ALONE.lock().await;
    let rig = Rig::new().await;
    let engine = rig.engine_with(config(&rig)).await;
    let observer = engine.observer();
    rig.send_records(events(0, 100)).await;
    rig.wait_for(COUNTED, 100).await;
    let strike = Strike::at(Point::Poll, 1, Action::Delay(Duration::from_secs(8)));
    assert!(strike.wait(1, Duration::from_secs(60)).await);
    let root = until(&observer, "stuck", |root| root.children[1].state == State::Stuck).await;
    let consumer = &root.children[1];
    assert_eq!(consumer.kind, Kind::KafkaConsumer);
    assert!(consumer.why.as_deref().unwrap().starts_with("no round for "), "{consumer:?}");
    rig.send_records(events(100, 200)).await;
    rig.wait_for(COUNTED, 200).await;
    until(&observer, "running again", all_run).await;
    engine.stop().await;
}
