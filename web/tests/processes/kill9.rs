//! The whole program is killed at random moments, again and again, while clients send (G1, G2, G3).

use crate::chance::Chance;
use crate::load::{Load, acknowledged, events};
use crate::proof::{SETTLED, grown, prove};
use crate::stack::Stack;
use crate::wait::until;
use std::time::{Duration, Instant};

/// The goal of the issue.
const EVENTS: u64 = 200_000;
/// Events a second on the real servers, where the sending would else be over before the engine, whose group waits ten
/// seconds for a member that was killed, is at work again.
const RATE: f64 = 4_000.0;
/// While clients send. The first start is killed twice besides, some others too, and one more kill follows after the last
/// acknowledgement.
const KILLS: u64 = 5;
const SENDING_WITHIN: Duration = Duration::from_secs(240);
/// About as long as a start takes, so that a kill may hit each of its steps; the first one also makes the database.
const START: Duration = Duration::from_millis(1_500);
const FIRST_START: Duration = Duration::from_millis(2_500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g2_g3_kill_9_of_everything_changes_no_count_on_embedded_servers() {
    kill_9_changes_no_count(Stack::embedded(), "embedded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g2_g3_kill_9_of_the_program_changes_no_count_on_real_servers() {
    kill_9_changes_no_count(Stack::real().await, "real").await;
}

async fn kill_9_changes_no_count(stack: Stack, name: &str) {
    let (begun, events) = (Instant::now(), events(EVENTS));
    let mut chance = Chance::new(name);
    for _ in 0..2 {
        let program = stack.start();
        chance.moment(FIRST_START).await;
        program.kill9();
    }
    let mut program = stack.up().await;
    // The ids are the same in both projects: an id counts once in each.
    let apis = [stack.api(), stack.project("proj_other").await];
    let rate = (!stack.is_embedded()).then_some(RATE / 2.0);
    let loads = apis.each_ref().map(|api| Load::start(api, events / 2, rate));
    let mut kills = 2;
    for kill in 0..KILLS {
        // Some time in the kill's own share of the sending; every second one while the engine is at work again.
        let threshold = (events * kill + chance.below(events)) / (KILLS + 1);
        until("sending", SENDING_WITHIN, || acknowledged(&loads) >= threshold).await;
        if kill % 2 == 1 {
            stack.ready(&mut program).await;
            grown(&stack, SETTLED, stack.number(SETTLED).await).await;
        }
        chance.moment(Duration::from_millis(300)).await;
        println!("{name}: {:?} kill -9 with {} acknowledged", begun.elapsed(), acknowledged(&loads));
        program.kill9();
        kills += 1;
        program = stack.start();
        if chance.coin() {
            chance.moment(START).await;
            println!("{name}: {:?} kill -9 in the start", begun.elapsed());
            program.kill9();
            kills += 1;
            program = stack.start();
        }
    }
    let [one, other] = loads;
    let sent = [one.finish().await, other.finish().await];
    println!("{name}: {:?} kill -9 with everything acknowledged", begun.elapsed());
    program.kill9();
    let program = stack.up().await;
    prove(&stack, &sent).await;
    program.end().await;
    stack.nothing_is_left().await;
    println!("{name}: {events} events exact after {} kills, {:?}", kills + 1, begun.elapsed());
}
