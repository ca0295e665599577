//! The chaos run: under steady load every part is killed, frozen and brought back, in an order that a seed decides; some
//! records kill their actors, some cannot be read at all. At the end not one count is off (G1, G2, G3, G5, G6, G9).
//!
//! `SIGNALS_CHAOS_SECONDS` says for how long (60; nightly 300: `just chaos`), `SIGNALS_TEST_SEED` repeats a run: which
//! faults come in which order, and which events are sent, follow from it. When exactly each record is where does not;
//! that is why the proof reads the log ([`oracle`]) instead of knowing the answer beforehand.

mod balance;
mod crew;
mod deck;
mod events;
mod oracle;

use crate::api::Api;
use crate::chance::Chance;
use crate::load::Load;
use crate::proof::{SETTLED, grown};
use crate::stack::Stack;
use crate::wait::eventually;
use balance::Balance;
use crew::Crew;
use deck::Deck;
use events::{Garbage, Stream};
use std::time::{Duration, Instant};

/// How long the faults go on, unless the environment says otherwise.
const USUAL_SECONDS: u64 = 60;
/// Events a second and project.
const RATE: f64 = 220.0;
const PROJECTS: [&str; 2] = ["proj_chaos_1", "proj_chaos_2"];
/// Between two faults, at most.
const CALM: Duration = Duration::from_millis(3_500);
/// After so many faults the engine must have got on before the next one comes.
const FAULTS_IN_A_ROW: u64 = 3;
const WITHIN: Duration = Duration::from_secs(120);

/// Prints what is done, with the time since the beginning.
#[derive(Clone, Copy)]
pub struct Diary(Instant);

impl Diary {
    pub fn say(self, what: &str) {
        println!("chaos: {:7.2} s  {what}", self.0.elapsed().as_secs_f64());
    }
}

/// Loads of all projects, and what was made of each.
struct Clients {
    loads: Vec<(Load, Stream)>,
    apis: Vec<Api>,
}

impl Clients {
    async fn start(stack: &Stack, chance: &mut Chance) -> Self {
        let mut apis = vec![stack.api()];
        for project in PROJECTS {
            apis.push(stack.project(project).await);
        }
        let start = |api: &Api| {
            let stream = Stream::new(chance.seed());
            (Load::deliver(api, Some(RATE), stream.events()), stream)
        };
        let loads = apis.iter().map(start).collect();
        Self { loads, apis }
    }

    /// Waits until everything is acknowledged; returns how many different events each project has sent.
    async fn stop(self) -> Vec<(Api, u64)> {
        let mut sent = Vec::new();
        for (load, stream) in self.loads {
            let made = load.stop().await;
            sent.push((made.api, stream.different()));
        }
        sent
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g1_g2_g3_g5_g6_g9_chaos_changes_no_count_and_the_ledger_closes() {
    let seconds = std::env::var("SIGNALS_CHAOS_SECONDS").map_or(USUAL_SECONDS, |seconds| seconds.parse().unwrap());
    let mut chance = Chance::new("chaos");
    let stack = Stack::real().await;
    let mut crew = Crew::start(&stack, Diary(Instant::now())).await;
    let clients = Clients::start(&stack, &mut chance).await;
    let projects = clients.apis.len();
    let garbage = Garbage::new(&stack);
    grown(&stack, SETTLED, 0).await;

    let begun = Instant::now();
    let diary = Diary(begun);
    crew.diary = diary;
    diary.say(&format!("faults for {seconds} s, {projects} projects, {RATE} events/s each"));
    let mut deck = Deck::new(chance);
    while begun.elapsed() < Duration::from_secs(seconds) {
        let fault = deck.draw();
        crew.suffer(fault, &garbage, &mut deck.chance).await;
        deck.chance.moment(CALM).await;
        if deck.drawn.is_multiple_of(FAULTS_IN_A_ROW) {
            let before = eventually("the ledger", WITHIN, async || stack.try_number(SETTLED).await).await;
            let now = grown(&stack, SETTLED, before).await;
            diary.say(&format!("the engine gets on: {now} events settled"));
        }
        crew.check();
    }
    crew.bring_everyone_back().await;
    diary.say(&format!("{} faults; no more of them", deck.drawn));
    let sent = clients.stop().await;
    garbage.end();
    crew.end_ingest().await;
    diary.say("everything is acknowledged and ingest has ended: the log is final");
    let balance = Balance::new(&stack, &sent, diary, &crew);
    let quarantined = balance.prove().await;
    balance.put_back(quarantined).await;
    balance.prove().await;
    crew.end().await;
    diary.say("every program ended when asked, with code 0");
}
