//! The proof at the end of a chaos run: what the APIs, the tables and the dead-letter topic say, against what the log says.

use super::Diary;
use super::crew::Crew;
use super::oracle::{Entry, Of, Oracle};
use crate::api::Api;
use crate::stack::Stack;
use crate::wait::eventually;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::{Offset, TopicPartitionList};
use schema::names::{ENGINE_GROUP, KIND_HEADER, RAW_TOPIC, RETRIES_HEADER};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Debug;
use std::time::{Duration, Instant};

/// For the engine to get to the end of the log.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(180);
const READ_WITHIN: Duration = Duration::from_secs(60);
const PARTITIONS: i32 = 6;
/// The project of each client, in the order in which they were started.
const PROJECTS: [&str; 3] = ["proj_demo", super::PROJECTS[0], super::PROJECTS[1]];

/// Everything that the proof looks at.
pub struct Balance<'a> {
    stack: &'a Stack,
    /// With how many different events each project has sent.
    sent: &'a [(Api, u64)],
    diary: Diary,
    ingest_kills: u64,
}

impl<'a> Balance<'a> {
    pub fn new(stack: &'a Stack, sent: &'a [(Api, u64)], diary: Diary, crew: &Crew<'_>) -> Self {
        Self { stack, sent, diary, ingest_kills: crew.ingest_kills }
    }

    /// Every count is that of the log; returns what is quarantined.
    pub async fn prove(&self) -> Vec<Of> {
        let log = self.log();
        self.caught_up(&log).await;
        let oracle = Oracle::new(&log);
        for (project, (_, different)) in PROJECTS.iter().zip(self.sent) {
            let is_there = |number: &u64| oracle.seen.contains(&((*project).to_owned(), format!("event-{number}")));
            let lost: Vec<u64> = (0..*different).filter(|number| !is_there(number)).collect();
            assert!(lost.is_empty(), "{project}: {} acknowledged events are not in the log: {lost:?}", lost.len());
        }
        same("the dead letters", &oracle.dead, &self.letters().await);
        same("the ledger", &oracle.ledger, &self.table("project_id", "outcome", "sum(events)", "ledger").await);
        let held = self.rows("project_id", "fingerprint", "sum(records)", "quarantine WHERE lifted_at IS NULL").await;
        same("the quarantines", &oracle.quarantined(), &held);
        let (mut counts, mut minutes) = (BTreeMap::new(), BTreeMap::new());
        for ((project, title), events) in &oracle.counts {
            *minutes.entry((project.clone(), "errors".to_owned())).or_default() += events;
            counts.insert((project.clone(), title.clone()), *events);
        }
        same("the incidents", &counts, &self.incidents().await);
        let found = self.table("project_id", "'errors'", "sum(value)", "trend_minutes").await;
        same("the incidents' minutes", &minutes, &found);
        self.prove_minutes(&oracle).await;
        assert_eq!(self.stack.number("SELECT count(*) AS n FROM log_gaps").await, 0, "gaps of the log");
        self.prove_ledgers(&oracle).await;
        self.tell(&oracle);
        oracle.quarantined().into_keys().collect()
    }

    /// The projects' minutes contain each event that was counted.
    async fn prove_minutes(&self, oracle: &Oracle) {
        let counted = oracle.ledger.iter().filter(|((_, outcome), _)| outcome == "counted");
        let counted = counted.map(|((project, _), events)| ((project.clone(), String::new()), *events)).collect();
        let minutes = self.table("project_id", "''", "sum(value)", "metrics_bucket").await;
        same("the projects' minutes", &counted, &minutes);
    }

    /// `GET /v1/ledger`: nothing is in flight, and the sum is that of the log. Only a killed ingest, or a record that came
    /// by no ingest, is handled without having been reported.
    async fn prove_ledgers(&self, oracle: &Oracle) {
        for (project, (api, _)) in PROJECTS.iter().zip(self.sent) {
            let ledger = api.get("/v1/ledger").await.body;
            let number = |member: &str| ledger[member].as_i64().unwrap();
            let of =
                |outcome: &str| oracle.ledger.get(&((*project).to_owned(), outcome.to_owned())).copied().unwrap_or(0);
            for outcome in ["counted", "duplicate", "dead_lettered"] {
                assert_eq!(number(outcome), of(outcome), "{project}: {outcome}: {ledger:#}");
            }
            assert_eq!((number("in_flight"), &ledger["dropped"]), (0, &serde_json::json!({})), "{project}: {ledger:#}");
            let handled = of("counted") + of("duplicate") + of("dead_lettered");
            assert_eq!(number("accepted") + number("unreported"), handled, "{project}: {ledger:#}");
            let garbage = oracle.garbage.get(*project).copied().unwrap_or(0);
            assert!(number("accepted") <= handled - garbage, "{project} has accepted what it never had: {ledger:#}");
            let open =
                ledger["ingest"].as_array().unwrap().iter().filter(|process| process["closed_at"].is_null()).count();
            assert!(
                u64::try_from(open).unwrap() <= self.ingest_kills,
                "only what was killed is not closed: {ledger:#}"
            );
        }
    }

    fn tell(&self, oracle: &Oracle) {
        for ((project, outcome), events) in &oracle.ledger {
            let project = if project.is_empty() { "(no project)" } else { project };
            self.diary.say(&format!("ledger: {project:<14} {outcome:<14} {events:>8}"));
        }
        let mut stages = BTreeMap::<&str, usize>::new();
        for stage in oracle.dead.values() {
            *stages.entry(stage).or_default() += 1;
        }
        self.diary.say(&format!("dead letters by stage: {stages:?}; quarantined: {}", oracle.quarantined().len()));
        self.diary.say(&format!(
            "exact: {} incidents' titles, {} ledger lines, {} dead letters; in flight 0, gaps 0",
            oracle.counts.len(),
            oracle.ledger.len(),
            oracle.dead.len()
        ));
    }

    /// People lift all quarantines and put back what was held.
    pub async fn put_back(&self, quarantined: Vec<Of>) {
        let lifted = quarantined.len();
        for (project, fingerprint) in quarantined {
            // The demo project's key is an operator's.
            let path = format!("/v1/quarantine/{fingerprint}/lift?project_id={project}");
            let answer = self.stack.api().order(&path).await;
            // 202: it is in the log, and the proof will see whether it was obeyed.
            assert!([200, 202].contains(&answer.status), "{path}: {answer:?}");
        }
        let said = self.stack.say(&["dlq", "retry", "--all", "--stage", "quarantine"]).await;
        let last = said.lines().last().unwrap();
        self.diary.say(&format!("{lifted} quarantines are lifted; {last}"));
    }

    /// The whole log, each partition in order.
    fn log(&self) -> Vec<Entry> {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", self.stack.servers().0.address()).set("group.id", "nobody");
        let consumer: BaseConsumer = config.create().unwrap();
        let (mut wanted, mut assignment) = (0, TopicPartitionList::new());
        for partition in 0..PARTITIONS {
            let (low, high) = consumer.fetch_watermarks(RAW_TOPIC, partition, READ_WITHIN).unwrap();
            assert_eq!(low, 0, "nothing has left the log yet");
            wanted += usize::try_from(high).unwrap();
            assignment.add_partition_offset(RAW_TOPIC, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&assignment).unwrap();
        let (begun, mut log) = (Instant::now(), Vec::new());
        while log.len() < wanted {
            assert!(begun.elapsed() < READ_WITHIN, "{} of {wanted} records", log.len());
            log.extend(consumer.poll(Duration::from_millis(100)).map(|message| entry(&message.unwrap())));
        }
        log.sort_by_key(|entry| (entry.partition, entry.offset));
        log
    }

    async fn caught_up(&self, log: &[Entry]) {
        let mut ends = BTreeMap::new();
        for entry in log {
            ends.insert(entry.partition, entry.offset + 1);
        }
        let begun = Instant::now();
        for (partition, end) in ends {
            let query = format!(
                "SELECT coalesce(max(next_offset), 0) AS n FROM partition_checkpoints \
                 WHERE consumer_group = '{ENGINE_GROUP}' AND topic = '{RAW_TOPIC}' AND partition = {partition}"
            );
            eventually("the end of the log", CATCHES_UP_WITHIN, async || match self.stack.try_number(&query).await? {
                now if now == end => Ok(()),
                now => Err(format!("partition {partition} is at {now} of {end}")),
            })
            .await;
        }
        self.diary.say(&format!(
            "{} records in the log; the engine was at their end after {:?}",
            log.len(),
            begun.elapsed()
        ));
    }

    /// Stage of each dead letter, by its origin.
    async fn letters(&self) -> BTreeMap<(i32, i64), String> {
        let said = self.stack.say(&["dlq", "list", "--json", "--limit", "100000000"]).await;
        let letters = said.lines().map(|line| {
            let letter: Value = serde_json::from_str(line).unwrap();
            let number = |member: &str| letter["origin"][member].as_i64().unwrap();
            let origin = (i32::try_from(number("partition")).unwrap(), number("offset"));
            (origin, letter["stage"].as_str().unwrap().to_owned())
        });
        letters.collect()
    }

    async fn incidents(&self) -> BTreeMap<Of, i64> {
        let mut found = BTreeMap::new();
        for (project, (api, _)) in PROJECTS.iter().zip(self.sent) {
            let counts = api.try_counts().await.unwrap();
            found.extend(counts.into_iter().map(|(title, events)| (((*project).to_owned(), title), events)));
        }
        found
    }

    /// A line that came to nothing is as good as none.
    async fn table(&self, one: &str, two: &str, number: &str, from: &str) -> BTreeMap<Of, i64> {
        let mut rows = self.rows(one, two, number, from).await;
        rows.retain(|_, events| *events != 0);
        rows
    }

    async fn rows(&self, one: &str, two: &str, number: &str, from: &str) -> BTreeMap<Of, i64> {
        let query = format!("SELECT {one} AS one, {two} AS two, ({number})::bigint AS n FROM {from} GROUP BY 1, 2");
        self.stack.try_table(&query).await.unwrap().into_iter().collect()
    }
}

fn entry(message: &impl Message) -> Entry {
    let header = |name: &str| {
        let headers = message.headers()?;
        let found = headers.iter().find(|header| header.key == name)?;
        found.value.map(|value| String::from_utf8_lossy(value).into_owned())
    };
    Entry {
        partition: message.partition(),
        offset: message.offset(),
        key: message.key().unwrap_or_default().to_vec(),
        payload: message.payload().unwrap_or_default().to_vec(),
        is_command: header(KIND_HEADER).is_some(),
        retries: header(RETRIES_HEADER).map_or(0, |retries| retries.parse().unwrap()),
    }
}

/// Fails with what differs.
fn same<K: Ord + Debug, V: PartialEq + Debug>(what: &str, wanted: &BTreeMap<K, V>, found: &BTreeMap<K, V>) {
    let keys: std::collections::BTreeSet<&K> = wanted.keys().chain(found.keys()).collect();
    let differences: Vec<String> = keys
        .into_iter()
        .filter(|key| wanted.get(key) != found.get(key))
        .map(|key| format!("{key:?}: {:?} instead of {:?}", found.get(key), wanted.get(key)))
        .collect();
    let some = differences.get(..differences.len().min(40)).unwrap();
    assert!(differences.is_empty(), "{what}: {} differ\n{}", differences.len(), some.join("\n"));
}
