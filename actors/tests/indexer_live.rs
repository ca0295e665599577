//! The indexers on a real Kafka and a real OpenSearch: every event is there once, whatever fails in between, and nothing is
//! committed that is not settled.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod rig;

use actors::failpoint::{Action, Point, Strike};
use actors::indexer::config::IndexerConfig;
use actors::supervision::indexing::Indexing;
use actors::supervision::kind::ActorId;
use actors::supervision::view::{ActorView, IndexerView, Observed, State};
use async_trait::async_trait;
use chrono::NaiveDate;
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Headers;
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::topic_partition_list::TopicPartitionList;
use rig::{PARTITIONS, PROJECTS, Rig, event, project};
use schema::search::{
    Filters, IndexedEvent, ItemOutcome, Page, SearchAnswer, SearchError, SearchIndex, SearchRequest, TextQuery,
};
use search::{OpenSearch, OpenSearchConfig};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};

const PATIENCE: Duration = Duration::from_secs(90);

/// The real index, that fails as a test tells it to.
#[derive(Debug)]
struct Faulty {
    real: OpenSearch,
    /// It does not answer.
    is_away: AtomicBool,
    /// So many items are too much for it, so many times.
    overloads: AtomicUsize,
    /// So many batches make it panic.
    panics: AtomicUsize,
    sizes: Mutex<Vec<usize>>,
}

fn take_one(count: &AtomicUsize) -> bool {
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok()
}

#[async_trait]
impl SearchIndex for Faulty {
    fn name(&self) -> &'static str {
        self.real.name()
    }

    async fn prepare(&self) -> Result<(), SearchError> {
        self.real.prepare().await
    }

    async fn store(&self, events: &[IndexedEvent]) -> Result<Vec<ItemOutcome>, SearchError> {
        self.sizes.lock().unwrap().push(events.len());
        if self.is_away.load(Ordering::Relaxed) {
            return Err(SearchError::Unavailable("away".to_owned()));
        }
        assert!(!take_one(&self.panics), "a batch that makes it panic");
        if take_one(&self.overloads) {
            // Half is taken, the rest must come again.
            let half = events.len() / 2;
            let mut outcomes = if half > 0 { self.real.store(&events[..half]).await? } else { Vec::new() };
            outcomes.resize(events.len(), ItemOutcome::Retry("429: full".to_owned()));
            return Ok(outcomes);
        }
        self.real.store(events).await
    }

    async fn refresh(&self) -> Result<(), SearchError> {
        self.real.refresh().await
    }

    async fn search(&self, request: &SearchRequest) -> Result<SearchAnswer, SearchError> {
        self.real.search(request).await
    }

    async fn event(&self, projects: &[String], id: &str) -> Result<Option<IndexedEvent>, SearchError> {
        self.real.event(projects, id).await
    }

    async fn drop_days_before(&self, oldest: NaiveDate) -> Result<Vec<NaiveDate>, SearchError> {
        self.real.drop_days_before(oldest).await
    }

    async fn ping(&self) -> Result<(), SearchError> {
        self.real.ping().await
    }
}

/// A failpoint strikes whoever passes in this process: who sets one is alone in it.
static TURNS: RwLock<()> = RwLock::const_new(());

#[expect(dead_code, reason = "held, not read")]
enum Turn {
    Among(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

struct Room {
    rig: Rig,
    index: Arc<Faulty>,
    _turn: Turn,
}

impl Room {
    async fn new() -> Self {
        Self::of(Turn::Among(TURNS.read().await)).await
    }

    async fn of(turn: Turn) -> Self {
        let rig = Rig::on(rig::brokers(), String::new()).await;
        let url = std::env::var("OPENSEARCH_URL").expect("OPENSEARCH_URL must name a real OpenSearch");
        let real = OpenSearch::new(&OpenSearchConfig::at(url), 30).unwrap().with_prefix(&rig.topic);
        let index = Faulty {
            real,
            is_away: AtomicBool::new(false),
            overloads: AtomicUsize::new(0),
            panics: AtomicUsize::new(0),
            sizes: Mutex::default(),
        };
        Self { rig, index: Arc::new(index), _turn: turn }
    }

    fn config(&self) -> IndexerConfig {
        IndexerConfig {
            group: format!("group-{}", self.rig.topic),
            topic: self.rig.topic.clone(),
            dlq_topic: self.rig.dlq(),
            bulk_records: 200,
            ..IndexerConfig::default()
        }
    }

    fn start(&self, config: IndexerConfig) -> Indexing {
        Indexing::start(self.rig.kafka(), self.index.clone(), config).unwrap()
    }

    /// Events that a search finds, without anybody asking for a refresh.
    async fn found(&self) -> Result<u64, String> {
        let request = SearchRequest {
            projects: (0..PROJECTS).map(project).collect(),
            text: TextQuery::default(),
            filters: Filters::default(),
            from: None,
            to: None,
            page: Page::Offset(0),
            limit: 1,
            interval: None,
            facet_size: 0,
        };
        // The first index of a busy server may take its time to be searchable.
        self.index.search(&request).await.map(|answer| answer.total).map_err(|error| error.to_string())
    }

    async fn wait_for_events(&self, wanted: u64) {
        until(async || {
            let found = self.found().await?;
            assert!(found <= wanted, "{found} events of {wanted}");
            (found == wanted).then_some(()).ok_or(format!("{found} events of {wanted}"))
        })
        .await;
    }

    /// The sum of what the group has committed.
    fn committed(&self) -> i64 {
        let consumer: BaseConsumer = self.rig.kafka().set("group.id", self.config().group).create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition(&self.rig.topic, partition);
        }
        let committed = consumer.committed_offsets(list, Duration::from_secs(20)).unwrap();
        committed.elements().iter().filter_map(|element| element.offset().to_raw()).filter(|offset| *offset > 0).sum()
    }

    async fn wait_for_commit(&self, wanted: i64) {
        until(async || {
            let committed = self.committed();
            assert!(committed <= wanted, "{committed} of {wanted}");
            (committed == wanted).then_some(()).ok_or(format!("{committed} of {wanted} are committed"))
        })
        .await;
    }

    async fn end(self) {
        self.index.refresh().await.unwrap();
        let far = NaiveDate::from_ymd_opt(9999, 1, 1).unwrap();
        self.index.drop_days_before(far).await.unwrap();
    }
}

async fn until(mut look: impl AsyncFnMut() -> Result<(), String>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(last) = look().await {
        assert!(Instant::now() < deadline, "{last}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn indexers(indexing: &Indexing) -> Vec<(ActorView, IndexerView)> {
    let figures = |view: ActorView| match view.observed.clone() {
        Observed::Indexer(figures) => Some((view, figures)),
        _ => None,
    };
    indexing.observer().view().children.into_iter().filter_map(figures).collect()
}

#[actix::test]
async fn every_event_is_found_once_and_what_is_none_is_left_out() {
    let room = Room::new().await;
    let indexing = room.start(room.config());
    room.rig.send(0, 1_000).await;
    room.rig.send_records([("proj_0".to_owned(), "broken".to_owned())]).await;
    let producer: FutureProducer = room.rig.kafka().create().unwrap();
    let headers = rdkafka::message::OwnedHeaders::new()
        .insert(rdkafka::message::Header { key: schema::names::KIND_HEADER, value: Some(schema::names::KIND_COMMAND) });
    let command = FutureRecord::to(&room.rig.topic).key("proj_0").payload("{}").headers(headers);
    producer.send(command, Duration::from_secs(20)).await.unwrap();
    room.wait_for_events(1_000).await;
    // Each tenth event was sent twice.
    room.wait_for_commit(1_102).await;
    let seen = indexers(&indexing);
    assert_eq!(seen.len(), usize::try_from(PARTITIONS).unwrap());
    assert_eq!(seen.iter().map(|(_, figures)| figures.events).sum::<u64>(), 1_100);
    until(async || {
        let lags: Vec<_> = indexers(&indexing).into_iter().map(|(_, figures)| figures.lag).collect();
        lags.iter().all(|lag| *lag == Some(0)).then_some(()).ok_or(format!("{lags:?}"))
    })
    .await;
    let consumer = indexing.observer().actor(&ActorId::IndexConsumer).unwrap();
    assert_eq!((consumer.state, consumer.id.as_str()), (State::Running, "IndexConsumer"));
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn what_the_index_refuses_goes_to_the_dead_letters_with_its_reason() {
    let room = Room::new().await;
    let indexing = room.start(room.config());
    let bad = event(7, "bad").replace(r#"{"error_code":"E7","route":"/a"}"#, "[1]");
    let records = [(project(1), event(1, "good")), (project(7), bad.clone()), (project(2), event(2, "good"))];
    room.rig.send_records(records).await;
    room.wait_for_events(2).await;
    room.wait_for_commit(3).await;
    let consumer: BaseConsumer = room.rig.kafka().set("group.id", "none").create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&room.rig.dlq(), 0, rdkafka::Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let letter = loop {
        if let Some(letter) = consumer.poll(Duration::from_secs(20)) {
            break letter.unwrap();
        }
    };
    assert_eq!(letter.payload(), Some(bad.as_bytes()));
    let headers = letter.headers().unwrap();
    let text = |name: &str| {
        let found = headers.iter().find(|header| header.key == name).unwrap();
        String::from_utf8(found.value.unwrap().to_vec()).unwrap()
    };
    assert_eq!(
        (text(schema::names::STAGE_HEADER), text(schema::names::CONNECTOR_HEADER)),
        ("index".into(), room.config().group)
    );
    assert!(text(schema::names::REASON_HEADER).contains("attributes"), "{}", text(schema::names::REASON_HEADER));
    indexing.stop().await;
    room.end().await;
}

/// Nothing is committed while the index is away; the partitions are paused instead of filling memory; afterwards all is there.
#[actix::test]
async fn an_index_that_is_away_or_overloaded_is_waited_for_without_loss() {
    let room = Room::new().await;
    room.index.is_away.store(true, Ordering::Relaxed);
    let small = IndexerConfig { batch_records: 100, ..room.config() };
    let indexing = room.start(small);
    room.rig.send(0, 3_000).await;
    until(async || {
        let seen = indexers(&indexing);
        let is_held = |(view, figures): &(ActorView, IndexerView)| view.state == State::Waiting && figures.failures > 2;
        let paused = room.index.sizes.lock().unwrap().len();
        (seen.len() == 4 && seen.iter().all(is_held) && paused > 8).then_some(()).ok_or(format!("{seen:?}"))
    })
    .await;
    assert_eq!((room.found().await, room.committed()), (Ok(0), 0));
    let why = indexers(&indexing)[0].0.why.clone().unwrap();
    assert!(why.contains("away"), "{why}");
    room.index.overloads.store(5, Ordering::Relaxed);
    room.index.is_away.store(false, Ordering::Relaxed);
    room.wait_for_events(3_000).await;
    room.wait_for_commit(3_300).await;
    let smallest = room.index.sizes.lock().unwrap().iter().copied().min().unwrap();
    assert!(smallest <= 50, "batches grow smaller under failures: {smallest}");
    until(async || {
        let states: Vec<_> = indexers(&indexing).into_iter().map(|(view, _)| view.state).collect();
        states.iter().all(|state| *state == State::Running).then_some(()).ok_or(format!("{states:?}"))
    })
    .await;
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn the_next_owner_goes_on_exactly_where_the_last_one_stopped() {
    let room = Room::new().await;
    let indexing = room.start(room.config());
    room.rig.send(0, 500).await;
    room.wait_for_events(500).await;
    indexing.stop().await;
    assert_eq!(room.committed(), 550, "the last offsets are committed when the group is left");
    room.rig.send(500, 1_000).await;
    let indexing = room.start(room.config());
    room.wait_for_events(1_000).await;
    room.wait_for_commit(1_100).await;
    let again: u64 = indexers(&indexing).iter().map(|(_, figures)| figures.events).sum();
    assert_eq!(again, 550, "nothing that was committed is stored again");
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn an_indexer_that_panics_begins_anew_from_what_is_settled() {
    let room = Room::new().await;
    room.index.panics.store(3, Ordering::Relaxed);
    let indexing = room.start(room.config());
    room.rig.send(0, 1_000).await;
    room.wait_for_events(1_000).await;
    room.wait_for_commit(1_100).await;
    let deaths: Vec<_> = indexers(&indexing).into_iter().flat_map(|(view, _)| view.restarts.deaths).collect();
    assert_eq!(deaths.len(), 3, "{deaths:?}");
    assert!(deaths.iter().all(|death| death.message.contains("a batch that makes it panic")), "{deaths:?}");
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn the_indexers_poll_thread_begins_anew_when_it_panics() {
    let room = Room::of(Turn::Alone(TURNS.write().await)).await;
    let indexing = room.start(room.config());
    room.rig.send(0, 400).await;
    room.wait_for_events(400).await;
    let strike = Strike::times(Point::IndexPoll, 2, 3, Action::Panic);
    room.rig.send(400, 1_000).await;
    room.wait_for_events(1_000).await;
    room.wait_for_commit(1_100).await;
    assert!(strike.wait(3, PATIENCE).await, "fired {} times", strike.fired());
    room.rig.send(1_000, 1_200).await;
    room.wait_for_events(1_200).await;
    room.wait_for_commit(1_320).await;
    let view = indexing.observer().view();
    assert_eq!((view.state, view.restarts.count, view.children.len()), (State::Running, 3, 4), "{view:?}");
    assert_eq!(indexing.observer().poll_thread().map(|_| ()), Ok(()));
    indexing.stop().await;
    room.end().await;
}

#[actix::test]
async fn an_indexer_that_dies_while_its_partition_is_paused_goes_on() {
    let room = Room::new().await;
    room.index.is_away.store(true, Ordering::Relaxed);
    let indexing = room.start(IndexerConfig { batch_records: 100, ..room.config() });
    room.rig.send(0, 4_000).await;
    let assignment = || indexing.observer().view().children;
    until(async || {
        let mailboxes: Vec<_> = assignment().into_iter().map(|view| view.mailbox.unwrap().waiting).collect();
        let are_full = mailboxes.len() == 4 && mailboxes.iter().all(|waiting| *waiting == 1);
        are_full.then_some(()).ok_or(format!("{mailboxes:?}"))
    })
    .await;
    // Behind a full inbox the next batch grows until its partition is paused.
    room.index.panics.store(4, Ordering::Relaxed);
    room.index.is_away.store(false, Ordering::Relaxed);
    room.wait_for_events(4_000).await;
    room.wait_for_commit(4_400).await;
    let deaths: u64 = assignment().iter().map(|view| view.restarts.count).sum();
    assert_eq!(deaths, 4);
    indexing.stop().await;
    room.end().await;
}
