//! The engine as a process of its own: killed, joined by another, frozen; the doors stay open meanwhile (G2, G3).

use crate::chance::Chance;
use crate::load::{Load, acknowledged};
use crate::program::Program;
use crate::proof::{SETTLED, grown, prove};
use crate::stack::Stack;
use crate::wait::until;
use std::time::{Duration, Instant};

const KILLS: u64 = 5;
/// How often another engine comes and goes.
const ROUNDS: u64 = 4;
/// Events a second and project, while partitions go from hand to hand.
const RATE: f64 = 250.0;
/// As good as endless: such a load is stopped.
const ENDLESS: u64 = 10_000_000;
const SENDING_WITHIN: Duration = Duration::from_secs(120);
/// A hand-over may take 20 s, more if a member was killed.
const TAKES_OVER_WITHIN: Duration = Duration::from_secs(90);
/// What an engine logs when a partition is its own.
const TAKEN: &str = "tenure begins";

/// Ingest and core, ready; and projects enough that several partitions have records.
async fn doors(stack: &Stack) -> (Program, Vec<crate::api::Api>) {
    let mut doors = stack.run("doors", &["run", "ingest,core"]);
    stack.ready(&mut doors).await;
    let mut apis = vec![stack.api()];
    for number in 0..3 {
        apis.push(stack.project(&format!("proj_{number}")).await);
    }
    (doors, apis)
}

async fn stop(loads: Vec<Load>) -> Vec<crate::load::Sent> {
    let mut sent = Vec::new();
    for load in loads {
        sent.push(load.stop().await);
    }
    sent
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_g3_the_engine_alone_is_killed_at_random_moments_and_every_count_is_exact() {
    let (stack, mut chance) = (Stack::real().await, Chance::new("engine"));
    let (mut doors, apis) = doors(&stack).await;
    let begun = Instant::now();
    let mut engine = stack.run("engine", &["engine"]);
    let loads: Vec<Load> = apis.iter().map(|api| Load::start(api, ENDLESS, Some(RATE * 8.0))).collect();
    for kill in 0..KILLS {
        if kill % 2 == 0 {
            // While it flushes; else while it joins, or fills its dedupe window from the log.
            grown(&stack, SETTLED, stack.number(SETTLED).await).await;
        }
        chance.moment(Duration::from_secs(2)).await;
        println!("engine: {:?} kill -9, {} acknowledged", begun.elapsed(), acknowledged(&loads));
        engine.kill9();
        engine = stack.run("engine", &["engine"]);
    }
    // Sent without an end, so that there is something to count after each death, however fast the engine is.
    prove(&stack, &stop(loads).await).await;
    assert!(doors.is_running() && engine.is_running());
    engine.end().await;
    doors.end().await;
    println!("engine: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g2_g3_another_engine_joins_and_leaves_under_load_and_every_count_is_exact() {
    let (stack, mut chance) = (Stack::real().await, Chance::new("two engines"));
    let (mut doors, apis) = doors(&stack).await;
    let begun = Instant::now();
    let mut first = stack.run("engine-first", &["engine"]);
    let loads: Vec<Load> = apis.iter().map(|api| Load::start(api, ENDLESS, Some(RATE))).collect();
    grown(&stack, SETTLED, 0).await;
    for round in 0..ROUNDS {
        let second = stack.run(&format!("engine-second-{round}"), &["engine"]);
        until("a partition for the second engine", TAKES_OVER_WITHIN, || second.has_said(TAKEN) > 0).await;
        println!("two engines: {:?} the second one has joined", begun.elapsed());
        chance.moment(Duration::from_secs(2)).await;
        let (taken, known) = (second.has_said(TAKEN), first.has_said(TAKEN));
        if round % 2 == 0 {
            second.end().await;
        } else {
            second.kill9();
        }
        until("its partitions to come back", TAKES_OVER_WITHIN, || first.has_said(TAKEN) >= known + taken).await;
        println!("two engines: {:?} the first one has its {taken} partitions again", begun.elapsed());
    }
    prove(&stack, &stop(loads).await).await;
    assert!(first.is_running() && doors.is_running());
    first.end().await;
    doors.end().await;
    println!("two engines: {:?}", begun.elapsed());
}

/// A stale owner is made for certain: an engine that stands still until others have its partitions, and then goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g3_an_engine_that_wakes_up_after_others_took_over_changes_nothing() {
    let stack = Stack::real().await;
    let (mut doors, apis) = doors(&stack).await;
    let begun = Instant::now();
    let mut sleeper = stack.run("engine-sleeper", &["engine"]);
    let loads: Vec<Load> = apis.iter().map(|api| Load::start(api, ENDLESS, Some(RATE))).collect();
    let mut settled = grown(&stack, SETTLED, 0).await;
    for round in 0..2 {
        sleeper.signal("STOP");
        let mut heir = stack.run(&format!("engine-heir-{round}"), &["engine"]);
        until("partitions for the heir", TAKES_OVER_WITHIN, || heir.has_said(TAKEN) > 0).await;
        settled = grown(&stack, SETTLED, settled).await;
        println!("stale: {:?} the heir is at work in round {round}", begun.elapsed());
        sleeper.signal("CONT");
        let sent = acknowledged(&loads);
        until("more events", SENDING_WITHIN, || acknowledged(&loads) > sent + 2_000).await;
        settled = grown(&stack, SETTLED, settled).await;
        assert!(sleeper.is_running() && heir.is_running());
        heir.end().await;
    }
    prove(&stack, &stop(loads).await).await;
    assert!(sleeper.is_running() && doors.is_running());
    sleeper.end().await;
    doors.end().await;
    println!("stale: {:?}", begun.elapsed());
}
