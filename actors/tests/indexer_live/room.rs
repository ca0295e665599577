//! A topic, an index that fails as a test tells it to, and the questions that tests ask of them.

use crate::rig::{self, PARTITIONS, PROJECTS, Rig, project};
use actors::indexer::config::IndexerConfig;
use actors::supervision::indexing::Indexing;
use actors::supervision::view::{ActorView, IndexerView, Observed};
use async_trait::async_trait;
use chrono::NaiveDate;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::TopicPartitionList;
use schema::search::{
    Filters, IndexedEvent, ItemOutcome, Page, SearchAnswer, SearchError, SearchIndex, SearchRequest, TextQuery,
};
use search::{OpenSearch, OpenSearchConfig};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, watch};

pub const PATIENCE: Duration = Duration::from_secs(90);

/// The real index, that fails as a test tells it to.
#[derive(Debug)]
pub struct Faulty {
    pub real: OpenSearch,
    /// It does not answer.
    pub is_away: AtomicBool,
    /// So many items are too much for it, so many times.
    pub overloads: AtomicUsize,
    /// So many batches make it panic.
    pub panics: AtomicUsize,
    /// It takes batches, and answers only when this is over.
    pub hangs: watch::Sender<bool>,
    pub sizes: Mutex<Vec<usize>>,
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
        // Its sender is this index.
        let _ = self.hangs.subscribe().wait_for(|hangs| !hangs).await;
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

/// The index of this topic's events.
pub fn real(rig: &Rig) -> OpenSearch {
    let url = std::env::var("OPENSEARCH_URL").expect("OPENSEARCH_URL must name a real OpenSearch");
    OpenSearch::new(&OpenSearchConfig::at(url), 30).unwrap().with_prefix(&rig.topic)
}

/// A failpoint strikes whoever passes in this process: who sets one is alone in it.
pub static TURNS: RwLock<()> = RwLock::const_new(());

#[expect(dead_code, reason = "held, not read")]
pub enum Turn {
    Among(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

pub struct Room {
    pub rig: Rig,
    pub index: Arc<Faulty>,
    _turn: Turn,
}

impl Room {
    pub async fn new() -> Self {
        Self::of(Turn::Among(TURNS.read().await)).await
    }

    pub async fn of(turn: Turn) -> Self {
        let rig = Rig::on(rig::brokers(), String::new()).await;
        let index = Faulty {
            real: real(&rig),
            is_away: AtomicBool::new(false),
            overloads: AtomicUsize::new(0),
            panics: AtomicUsize::new(0),
            hangs: watch::channel(false).0,
            sizes: Mutex::default(),
        };
        Self { rig, index: Arc::new(index), _turn: turn }
    }

    pub fn config(&self) -> IndexerConfig {
        IndexerConfig {
            group: format!("group-{}", self.rig.topic),
            topic: self.rig.topic.clone(),
            dlq_topic: self.rig.dlq(),
            bulk_records: 200,
            ..IndexerConfig::default()
        }
    }

    pub fn start(&self, config: IndexerConfig) -> Indexing {
        Indexing::start(self.rig.kafka(), self.index.clone(), config).unwrap()
    }

    /// Events that a search finds, without anybody asking for a refresh.
    pub async fn found(&self) -> Result<u64, String> {
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

    pub async fn wait_for_events(&self, wanted: u64) {
        until(async || {
            let found = self.found().await?;
            assert!(found <= wanted, "{found} events of {wanted}");
            (found == wanted).then_some(()).ok_or(format!("{found} events of {wanted}"))
        })
        .await;
    }

    /// The sum of what the group has committed.
    pub fn committed(&self) -> i64 {
        let consumer: BaseConsumer = self.rig.kafka().set("group.id", self.config().group).create().unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            list.add_partition(&self.rig.topic, partition);
        }
        let committed = consumer.committed_offsets(list, Duration::from_secs(20)).unwrap();
        committed.elements().iter().filter_map(|element| element.offset().to_raw()).filter(|offset| *offset > 0).sum()
    }

    pub async fn wait_for_commit(&self, wanted: i64) {
        until(async || {
            let committed = self.committed();
            assert!(committed <= wanted, "{committed} of {wanted}");
            (committed == wanted).then_some(()).ok_or(format!("{committed} of {wanted} are committed"))
        })
        .await;
    }

    pub async fn end(self) {
        self.index.refresh().await.unwrap();
        let far = NaiveDate::from_ymd_opt(9999, 1, 1).unwrap();
        self.index.drop_days_before(far).await.unwrap();
    }
}

pub async fn until(mut look: impl AsyncFnMut() -> Result<(), String>) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(last) = look().await {
        assert!(Instant::now() < deadline, "{last}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

pub fn indexers(indexing: &Indexing) -> Vec<(ActorView, IndexerView)> {
    let figures = |view: ActorView| match view.observed.clone() {
        Observed::Indexer(figures) => Some((view, figures)),
        _ => None,
    };
    indexing.observer().view().children.into_iter().filter_map(figures).collect()
}
