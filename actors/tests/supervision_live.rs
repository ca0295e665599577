//! What an operator sees of a real engine: the tree, its restarts, and what is stuck in it.
#![allow(clippy::unwrap_used, clippy::panic, clippy::as_conversions, clippy::indexing_slicing)]

mod rig;

use actors::config::EngineConfig;
use actors::failpoint::{BLOCK, Gate, POISON, STALL};
use actors::supervision::child::ExitReason;
use actors::supervision::kind::{ActorId, Kind};
use actors::supervision::observer::Observer;
use actors::supervision::plan::Plan;
use actors::supervision::restart::RestartPolicy;
use actors::supervision::root::Engine;
use actors::supervision::view::{ActorView, Cursor, Observed, Order, RouterView, Selection, State};
use rig::servers::Server;
use rig::{BURIED, COUNTED, FINGERPRINTS, PARTITIONS, PROJECTS, Rig, event, project};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

const ALL: Selection = Selection { order: Order::LastUsed, limit: 100, after: None };
const NONE: Selection = Selection { order: Order::LastUsed, limit: 0, after: None };

fn events(from: usize, to: usize) -> impl Iterator<Item = (String, String)> {
    (from..to).map(|number| (project(number), event(number, "fine")))
}

fn incident(number: usize) -> ActorId {
    let fingerprint = format!("{:064x}", number % FINGERPRINTS);
    ActorId::Incident { project: project(number), fingerprint }
}

fn routers(root: &ActorView) -> Vec<&ActorView> {
    root.children.iter().filter(|child| child.kind == Kind::PartitionRouter).collect()
}

fn router(view: &ActorView) -> &RouterView {
    let Observed::Router(router) = &view.observed else { panic!("{view:?}") };
    router
}

/// Looks until what it sees is as it should be.
async fn until(observer: &Observer, what: &str, is_so: impl Fn(&ActorView) -> bool) -> ActorView {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let view = observer.view(ALL).await;
        if is_so(&view) {
            return view;
        }
        assert!(Instant::now() < deadline, "not {what}: {view:#?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The policy under which tenures begin anew at once, and seldom.
fn impatient(restarts: usize) -> RestartPolicy {
    RestartPolicy {
        restarts,
        first_delay: Duration::from_millis(1),
        period: Duration::from_secs(600),
        ..RestartPolicy::default()
    }
}

/// Takes every partition away behind the engine's back, as a process would that thinks it owns them.
async fn steal(rig: &Rig) {
    let mut connection = rig.database.as_ref().unwrap().connect().await;
    for partition in 0..PARTITIONS {
        schema::checkpoint::claim(&mut connection, &rig.config().group, &rig.topic, partition).await.unwrap();
    }
}

#[actix::test]
async fn the_tree_shows_every_part_of_the_engine_and_nobody_is_left_after_its_end() {
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send_records(events(0, 1_400)).await;
    rig.wait_for(COUNTED, 1_400).await;
    let observer = engine.observer();
    let root = until(&observer, "caught up", |root| {
        routers(root).len() == PARTITIONS as usize && routers(root).iter().all(|view| router(view).lag == Some(0))
    })
    .await;
    assert_eq!((root.id.as_str(), root.state, root.restarts.count), ("RootSupervisor", State::Running, 0));
    let names: Vec<&str> = root.children.iter().map(|child| child.id.as_str()).collect();
    let parts = [
        "Flusher",
        "KafkaConsumer",
        "PartitionRouter 0",
        "PartitionRouter 1",
        "PartitionRouter 2",
        "PartitionRouter 3",
    ];
    assert_eq!(names, parts);
    assert!(root.children.iter().all(|child| child.state == State::Running), "{root:#?}");
    let Observed::Consumer(consumer) = &root.children[1].observed else { panic!() };
    assert!(consumer.rounds > 0 && consumer.tenures == PARTITIONS as usize);
    let Observed::Flusher(flusher) = &root.children[0].observed else { panic!() };
    assert!(flusher.durable > 0 && flusher.last_error.is_none());
    let Observed::Root(seen) = &root.observed else { panic!() };
    let alive = |kind| seen.alive.iter().find(|living| living.kind == kind).unwrap().count;
    assert_eq!((alive(Kind::IncidentActor), alive(Kind::ProjectActor)), (PROJECTS * FINGERPRINTS, PROJECTS));
    assert!(seen.arbiters.iter().all(|arbiter| arbiter.state == State::Running), "{seen:?}");
    assert_eq!(seen.policies.iter().map(|policy| policy.kind).collect::<Vec<_>>(), Kind::ALL);
    let budget =
        |view: &ActorView| view.restarts.budget.map(|budget| (budget.used, budget.most, budget.period_seconds));
    assert_eq!((budget(&root.children[0]), budget(&root.children[1])), (Some((0, 10, 60)), Some((0, 5, 300))));
    let writer = &root.children[0].children[0];
    assert_eq!(
        (writer.id.as_str(), writer.state, budget(writer)),
        ("DeadLetterWriter", State::Running, Some((0, 5, 60)))
    );

    let mut children = BTreeSet::new();
    for view in routers(&root) {
        let figures = router(view);
        assert_eq!((figures.next_offset, figures.undurable), (figures.position, 0), "{view:#?}");
        assert_eq!(figures.high_watermark, Some(figures.next_offset));
        assert!(figures.epoch >= 1 && figures.is_caught_up == Some(true));
        assert_eq!(view.mailbox.map(|mailbox| mailbox.capacity), Some(rig.config().batches_waiting));
        assert_eq!(view.restarts.budget.map(|budget| (budget.used, budget.most)), Some((0, 10)));
        for page in &view.residents {
            assert_eq!(page.items.len(), page.total);
            assert!(page.items.iter().all(|child| budget(child) == Some((0, 5, 60))), "children share their budget");
            children.extend(page.items.iter().map(|child| child.id.clone()));
        }
    }
    assert_eq!(children.len(), PROJECTS * FINGERPRINTS + PROJECTS);

    // Page by page, each child once.
    let busiest = routers(&root).into_iter().max_by_key(|view| router(view).incidents).unwrap();
    let id = ActorId::Router(router(busiest).partition);
    let (mut walked, mut ask) = (Vec::new(), Selection { order: Order::Letters, limit: 7, after: None });
    loop {
        let mut page = observer.actor(&id, ask, NONE).await.unwrap().residents.remove(0);
        walked.extend(page.items.drain(..).map(|child| child.id));
        let Some(next) = page.next_cursor else { break };
        ask.after = Some(next.parse::<Cursor>().unwrap().after);
    }
    assert_eq!(Some(walked.len()), router(busiest).incidents);
    assert_eq!(walked.iter().collect::<BTreeSet<_>>().len(), walked.len());

    // A child is asked itself.
    let child = engine.child(&incident(3), NONE).await.unwrap();
    let Observed::Incident(seen) = &child.observed else { panic!("{child:?}") };
    assert_eq!((seen.portrait.event_count, seen.portrait.is_dirty, seen.resident.generation), (10, false, 1));
    assert_eq!(seen.portrait.status.as_deref(), Some("open"));
    let child = engine.child(&ActorId::Project(project(3)), NONE).await.unwrap();
    let Observed::Project(seen) = &child.observed else { panic!("{child:?}") };
    assert!(!seen.portrait.is_dirty && seen.portrait.last_offset.is_some());
    assert!(engine.child(&ActorId::Project("nobody".into()), NONE).await.is_none());
    assert!(engine.child(&ActorId::Router(77), NONE).await.is_none());

    engine.stop().await;
    let root = observer.view(ALL).await;
    let Observed::Root(seen) = &root.observed else { panic!() };
    assert!(seen.alive.iter().all(|living| living.count == 0), "somebody outlives the tree: {:?}", seen.alive);
    assert_eq!((root.state, routers(&root).len()), (State::Ended, 0));
    assert!(observer.poll_thread().is_ok() && observer.arbiters().await.is_ok(), "an end in order is no death");
}

#[actix::test]
async fn g5_a_poisoned_incident_lives_again_and_its_neighbours_keep_their_actors() {
    actors::failpoint::arm();
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    // All of one fingerprint; its project and 139 other incidents get only good records.
    let poison = |number: usize| number % (PROJECTS * FINGERPRINTS) == 7 && (140..560).contains(&number);
    let records =
        (0..1_400).map(|number| (project(number), event(number, if poison(number) { POISON } else { "fine" })));
    rig.send_records(records).await;
    let buried = (0..1_400).filter(|number| poison(*number)).count() as i64;
    rig.wait_for(BURIED, buried).await;
    rig.wait_for(COUNTED, 1_400 - buried).await;

    let root = engine.view(ALL).await;
    let victim = incident(7).to_string();
    for child in routers(&root).iter().flat_map(|view| &view.residents).flat_map(|page| &page.items) {
        let Observed::Resident(resident) = &child.observed else { panic!("{child:?}") };
        let lives = if child.id == victim { 1 + 2 * buried as u32 } else { 1 };
        assert_eq!((resident.generation, child.restarts.count), (lives, u64::from(lives) - 1), "{}", child.id);
    }
    let deaths = &root.restarts.deaths;
    assert_eq!(root.restarts.count, 2 * buried as u64, "each poison kills twice");
    for death in deaths {
        assert_eq!((death.actor.as_str(), death.reason), (victim.as_str(), ExitReason::Panicked));
        assert!(death.message.contains(POISON) && death.offset.is_some(), "{death:?}");
    }
    assert!(routers(&root).iter().all(|view| view.restarts.count == 0), "no tenure died of it");
    let seen = engine.child(&incident(7), NONE).await.unwrap();
    assert!(!seen.restarts.deaths.is_empty());
    let Observed::Incident(portrait) = &seen.observed else { panic!("{seen:?}") };
    assert_eq!(portrait.portrait.event_count, 10 - buried);
    engine.stop().await;
}

#[actix::test]
async fn what_is_stuck_shows_as_stuck_in_time_and_hides_nothing_else() {
    actors::failpoint::arm();
    let rig = Rig::new().await;
    let engine = rig.engine().await;
    rig.send_records(events(0, 700)).await;
    rig.wait_for(COUNTED, 700).await;
    let observer = engine.observer();

    let gate = Gate::close();
    rig.send_records([(project(700), event(700, STALL))]).await;
    let is_stuck = |view: &ActorView| view.state == State::Stuck;
    let root = until(&observer, "stuck", |root| routers(root).into_iter().any(is_stuck)).await;
    let stuck: Vec<_> = routers(&root).into_iter().filter(|view| is_stuck(view)).collect();
    assert_eq!(stuck.len(), 1, "its neighbours answer");
    let (why, last) = (stuck[0].why.as_deref().unwrap(), router(stuck[0]));
    assert!(why.contains("routing records"), "{why}");
    assert!(
        last.position > 0 && last.next_offset == last.position && last.incidents > Some(0),
        "what it last wrote: {last:?}"
    );
    // More questions than its box holds: each comes back in time, whatever it finds.
    for _ in 0..20 {
        let asked = Instant::now();
        let again = observer.view(ALL).await;
        assert!(asked.elapsed() < Duration::from_secs(2), "a page took {:?}", asked.elapsed());
        assert_eq!(routers(&again).into_iter().filter(|view| is_stuck(view)).count(), 1);
    }
    let child = observer.actor(&ActorId::Project(project(0)), NONE, NONE).await.unwrap();
    assert!(is_stuck(&child) && child.why.unwrap().contains(&stuck[0].id));
    assert!(observer.arbiters().await.is_ok() && observer.poll_thread().is_ok(), "its thread turns on");
    drop(gate);
    rig.wait_for(COUNTED, 701).await;
    until(&observer, "running again", |root| routers(root).iter().all(|view| view.state == State::Running)).await;

    let gate = Gate::close();
    rig.send_records([(project(701), event(701, BLOCK))]).await;
    let deadline = Instant::now() + Duration::from_secs(60);
    let said = loop {
        if let Err(said) = observer.arbiters().await {
            break said;
        }
        assert!(Instant::now() < deadline, "nobody noticed the blocked thread");
    };
    assert!(said.starts_with("routers "), "{said}");
    let root = observer.view(NONE).await;
    let Observed::Root(seen) = &root.observed else { panic!() };
    assert_eq!(seen.arbiters.iter().filter(|arbiter| arbiter.state == State::Stuck).count(), 1, "{seen:?}");
    drop(gate);
    rig.wait_for(COUNTED, 702).await;
    assert!(observer.arbiters().await.is_ok());
    engine.stop().await;
}

#[actix::test]
async fn a_tenure_that_dies_shows_its_reason_and_a_spent_budget_ends_the_engine() {
    let rig = Rig::new().await;
    let config = EngineConfig { plan: Plan::default().with(Kind::PartitionRouter, impatient(2)), ..rig.config() };
    let mut engine = rig.engine_with(config).await;
    let observer = engine.observer();
    // As many events as there are projects reach every partition that is used at all.
    let mut sent = 0;
    for round in 1..=2 {
        rig.send_records(events(sent, sent + 140)).await;
        sent += 140;
        rig.wait_for(COUNTED, sent as i64).await;
        steal(&rig).await;
        rig.send_records(events(sent, sent + 140)).await;
        sent += 140;
        rig.wait_for(COUNTED, sent as i64).await;
        let root = observer.view(NONE).await;
        let most = routers(&root).into_iter().max_by_key(|view| view.restarts.count).unwrap();
        assert_eq!(most.restarts.count, round);
        assert_eq!(most.restarts.budget.map(|budget| (budget.used as u64, budget.most)), Some((round, 2)));
        let death = &most.restarts.deaths[0];
        assert_eq!((death.reason, death.actor.as_str()), (ExitReason::Revoked, most.id.as_str()));
        assert!(!death.message.is_empty() && death.restarted_after_ms.is_some(), "{death:?}");
    }
    steal(&rig).await;
    rig.send_records(events(sent, sent + 140)).await;
    let notice = engine.failed().await.unwrap();
    let id: ActorId = notice.child.parse().unwrap();
    // The root hears of it a moment before it stands in the chronicle.
    let deadline = Instant::now() + Duration::from_secs(60);
    let dead = loop {
        let dead = observer.actor(&id, NONE, NONE).await.unwrap();
        if dead.state == State::Ended || Instant::now() > deadline {
            break dead;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!((dead.state, dead.restarts.deaths[0].restarted_after_ms), (State::Ended, None), "{dead:?}");
    assert!(dead.why.unwrap().contains("budget is spent"));
    engine.stop().await;
}

#[actix::test]
async fn a_database_that_is_away_shows_where_it_is_waited_for() {
    let postgres = Server::postgres();
    let rig = Rig::on_own(rig::brokers(), &postgres).await;
    let engine: Engine = rig.engine().await;
    rig.send_records(events(0, 140)).await;
    rig.wait_for(COUNTED, 140).await;
    let observer = engine.observer();
    postgres.kill();
    rig.send_records(events(140, 280)).await;
    let root = until(&observer, "waiting", |root| root.children[0].state == State::Waiting).await;
    let Observed::Flusher(seen) = &root.children[0].observed else { panic!() };
    assert!(seen.failures > 0 && seen.last_error.is_some() && seen.oldest_ms.is_some(), "{seen:?}");
    assert!(routers(&root).iter().any(|view| router(view).flush_ms.is_some()), "{root:#?}");
    assert!(observer.poll_thread().is_ok() && observer.readiness().is_ok());
    postgres.start();
    rig.wait_for(COUNTED, 280).await;
    until(&observer, "running again", |root| root.children[0].state == State::Running).await;
    engine.stop().await;
}
