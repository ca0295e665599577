//! How a program ends that was told to: no longer ready first, then nothing new, everything durable, the group left, code 0.

use crate::api::Api;
use crate::load::Load;
use crate::program::ENDS_WITHIN;
use crate::proof::{SETTLED, grown, prove};
use crate::servers::Server;
use crate::stack::Stack;
use crate::wait::{eventually, until};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use schema::names::{ENGINE_GROUP, RAW_TOPIC};
use serde_json::json;
use std::time::{Duration, Instant};

/// As good as endless: such a load is stopped.
const ENDLESS: u64 = 10_000_000;
const RATE: f64 = 500.0;
/// Long enough to look at the program meanwhile; of the ten seconds that ending may take, seven are left.
const GRACE: [(&str, &str); 1] = [("SIGNALS_SHUTDOWN_GRACE", "3")];
const WITHIN: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 6;

fn log(stack: &Stack) -> BaseConsumer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", stack.servers().0.address()).set("group.id", ENGINE_GROUP);
    config.create().unwrap()
}

/// Members of the engine's group, as the broker has them.
fn members(stack: &Stack) -> usize {
    let groups = log(stack).fetch_group_list(Some(ENGINE_GROUP), WITHIN).unwrap();
    groups.groups().iter().map(|group| group.members().len()).sum()
}

/// Offsets that the group has committed, where it has.
fn committed(stack: &Stack) -> Vec<(i32, i64)> {
    let mut asked = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        asked.add_partition(RAW_TOPIC, partition);
    }
    let found = log(stack).committed_offsets(asked, WITHIN).unwrap();
    let offset = |offset: Offset| if let Offset::Offset(offset) = offset { Some(offset) } else { None };
    found.elements().iter().filter_map(|place| Some((place.partition(), offset(place.offset())?))).collect()
}

/// It says that it wants no more work, and does all that it gets.
async fn serves_though_it_is_not_ready(api: &Api) {
    eventually("the end of readiness", ENDS_WITHIN, async || match api.readiness().await {
        Ok(()) => Err("ready".to_owned()),
        Err(said) if said.contains("503") => Ok(()),
        Err(said) => panic!("it must still answer: {said}"),
    })
    .await;
    api.send(&json!({"event_type": "signup", "message": "one of the last", "event_id": "late"})).await;
    assert_eq!(api.get("/v1/incidents").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_under_load_it_is_first_not_ready_and_then_leaves_everything_durable() {
    let stack = Stack::real().await;
    let mut program = stack.run_with("signals", &["run", "ingest,core,engine"], &GRACE);
    stack.ready(&mut program).await;
    let (api, probe) = (stack.api(), stack.project(crate::proof::PROBE).await);
    let load = Load::start(&api, ENDLESS, Some(RATE));
    grown(&stack, SETTLED, 1_000).await;
    assert_eq!(members(&stack), 1);

    let told = Instant::now();
    program.signal("TERM");
    serves_though_it_is_not_ready(&probe).await;
    let status = program.ended(ENDS_WITHIN).await;
    assert!(status.success(), "told to end, it ended with {status}");
    println!("ending: code 0 after {:?}, of which 3 s were grace", told.elapsed());
    assert_eq!(members(&stack), 0, "the group was left, not lost");
    for (partition, offset) in committed(&stack) {
        let durable = format!("SELECT next_offset AS n FROM partition_checkpoints WHERE partition = {partition}");
        assert_eq!(stack.number(&durable).await, offset, "the group knows what is durable in partition {partition}");
    }
    let open = "SELECT count(*) AS n FROM ingest_reports WHERE closed_at IS NULL";
    assert_eq!(stack.number(open).await, 0, "ingest has reported all that it took in");

    let mut program = stack.up().await;
    let sent = load.stop().await;
    prove(&stack, &[sent]).await;
    let closed = async || {
        let ledger = api.get("/v1/ledger").await.body;
        if ledger["is_closed"] == true { Ok(()) } else { Err(ledger.to_string()) }
    };
    eventually("a closed ledger", WITHIN, closed).await;
    assert!(program.is_running());
    program.end().await;
}

/// Told to end under load without its servers, the program ends in time, and a new one goes on when they are back.
async fn ends_without_its_servers(take_away: fn(&Server), give_back: fn(&Server)) {
    let stack = Stack::real().await;
    let mut program = stack.run("signals", &["up"]);
    stack.ready(&mut program).await;
    let load = Load::start(&stack.api(), ENDLESS, Some(RATE));
    let settled = grown(&stack, SETTLED, 1_000).await;
    let (kafka, postgres) = stack.servers();
    take_away(postgres);
    let sent = load.acknowledged();
    until("events that cannot be flushed", WITHIN, || load.acknowledged() > sent + 500).await;
    take_away(kafka);
    let told = Instant::now();
    program.signal("TERM");
    let status = program.ended(ENDS_WITHIN).await;
    println!("ending without servers: {status} after {:?}", told.elapsed());
    assert!(status.success(), "what it could not make durable is in the log: {status}");

    give_back(kafka);
    give_back(postgres);
    let program = stack.up().await;
    prove(&stack, &[load.stop().await]).await;
    assert!(stack.number(SETTLED).await > settled);
    program.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_while_its_servers_are_away_it_ends_in_time_all_the_same() {
    ends_without_its_servers(Server::kill, Server::start).await;
}

/// A server that hangs is worse than one that is gone: no connection breaks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_end_while_its_servers_hang_it_ends_in_time_all_the_same() {
    ends_without_its_servers(Server::freeze, Server::thaw).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spent_restart_budget_ends_the_program_with_an_error_and_the_next_start_goes_on() {
    let stack = Stack::real().await;
    let mut program = stack.up().await;
    let load = Load::start(&stack.api(), ENDLESS, Some(RATE));
    grown(&stack, SETTLED, 1_000).await;
    // Somebody takes every partition away again and again: each time its tenure dies of its next flush.
    let taken = "WITH taken AS (UPDATE partition_checkpoints SET epoch = epoch + 1 RETURNING 1) SELECT count(*) AS n FROM taken";
    let deadline = Instant::now() + 2 * WITHIN;
    while program.is_running() {
        assert!(Instant::now() < deadline, "ten deaths within a minute must end it");
        assert!(stack.number(taken).await >= i64::from(PARTITIONS));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let status = program.ended(ENDS_WITHIN).await;
    println!("a spent budget: {status}");
    assert!(status.code().is_some_and(|code| code != 0), "{status}");
    let program = stack.up().await;
    prove(&stack, &[load.stop().await]).await;
    program.end().await;
}
