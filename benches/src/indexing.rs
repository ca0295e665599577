//! From the log to OpenSearch as fast as it goes: the indexers, and a bare loop that sends the same bulks, prepared.

use crate::events::Mix;
use crate::preload::per_second;
use crate::servers::kafka;
use actors::consumer::decode::decode_event;
use actors::indexer::config::IndexerConfig;
use actors::supervision::indexing::Indexing;
use actors::supervision::view::Observed;
use anyhow::Context;
use schema::search::{Filters, IndexedEvent, Page, SearchIndex, SearchRequest, TextQuery};
use search::{OpenSearch, OpenSearchConfig};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A drain that takes longer than this has failed.
const DEADLINE: Duration = Duration::from_secs(600);
/// Before a bulk that was sent back goes out again.
const PUSHED_BACK: Duration = Duration::from_millis(100);
/// Far behind every day of an index.
const FAR: i32 = 9_999;

/// Indices of one drain, on the server of `OPENSEARCH_URL`.
#[derive(Debug)]
pub struct Target {
    /// The backend.
    pub index: Arc<OpenSearch>,
    server: String,
    prefix: String,
}

impl Target {
    /// With its template.
    ///
    /// # Errors
    /// If there is no server.
    pub async fn create() -> anyhow::Result<Self> {
        let server = std::env::var("OPENSEARCH_URL").context("set OPENSEARCH_URL to a real OpenSearch")?;
        let prefix = format!("bench-{}", ulid::Ulid::generate().to_string().to_lowercase());
        let index = OpenSearch::new(&OpenSearchConfig::at(&server), 30)?.with_prefix(&prefix);
        index.prepare().await?;
        Ok(Self { index: Arc::new(index), server, prefix })
    }

    /// Events that a search finds.
    ///
    /// # Errors
    /// The server's.
    pub async fn count(&self, mix: &Mix) -> anyhow::Result<u64> {
        self.index.refresh().await?;
        let request = SearchRequest {
            projects: (0..mix.projects).map(|number| format!("proj_{number:03}")).collect(),
            text: TextQuery::default(),
            filters: Filters::default(),
            from: None,
            to: None,
            page: Page::Offset(0),
            limit: 0,
            interval: None,
            facet_size: 0,
        };
        Ok(self.index.search(&request).await?.total)
    }

    /// Takes it away.
    ///
    /// # Errors
    /// The server's.
    pub async fn remove(self) -> anyhow::Result<()> {
        let far = chrono::NaiveDate::from_ymd_opt(FAR, 1, 1).context("there is such a day")?;
        self.index.drop_days_before(far).await?;
        let template = format!("{}/_index_template/{}", self.server.trim_end_matches('/'), self.prefix);
        reqwest::Client::new().delete(template).send().await?.error_for_status()?;
        Ok(())
    }
}

/// The bulks of a mix, as the indexers would make them.
///
/// # Errors
/// If an event cannot be written or read.
pub fn prepared(target: &Target, mix: &Mix, events: usize) -> anyhow::Result<Vec<Vec<u8>>> {
    let (mut bulks, mut batch, mut payload) = (Vec::new(), Vec::with_capacity(events), Vec::new());
    for number in 0..mix.events {
        mix.write(number, &mut payload)?;
        batch.push(IndexedEvent::from(&decode_event(&payload)?));
        if batch.len() == events || number + 1 == mix.events {
            bulks.push(target.index.bulk_body(&batch)?);
            batch.clear();
        }
    }
    Ok(bulks)
}

/// Sends the bulks, so many at a time. Events per second.
///
/// # Errors
/// If the server does not take one.
pub async fn bare(target: &Target, bulks: Vec<Vec<u8>>, events: u64, together: usize) -> anyhow::Result<f64> {
    let url = format!("{}/_bulk?filter_path=items.*.status,items.*.error", target.server.trim_end_matches('/'));
    let (client, left) = (reqwest::Client::new(), Arc::new(Mutex::new(bulks)));
    let began = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..together {
        let (client, left, url) = (client.clone(), Arc::clone(&left), url.clone());
        senders.spawn(async move {
            loop {
                let next = left.lock().unwrap_or_else(PoisonError::into_inner).pop();
                let Some(bulk) = next else { return anyhow::Ok(()) };
                send(&client, &url, bytes::Bytes::from(bulk)).await?;
            }
        });
    }
    while let Some(done) = senders.join_next().await {
        done??;
    }
    Ok(per_second(events, began.elapsed()))
}

/// Sends a bulk until the server has taken all of it: one that is short of memory sends whole bulks or items back.
async fn send(client: &reqwest::Client, url: &str, bulk: bytes::Bytes) -> anyhow::Result<()> {
    let mut is_again = false;
    loop {
        let request = client.post(url).header("content-type", "application/x-ndjson").body(bulk.clone());
        let answer = request.send().await?;
        let status = answer.status();
        let text = answer.text().await?;
        let is_pushed_back = status == reqwest::StatusCode::TOO_MANY_REQUESTS;
        anyhow::ensure!(is_pushed_back || status.is_success(), "the server answered {status}: {text:.300}");
        if !is_pushed_back && !text.contains(r#""status":429"#) {
            // Of a bulk that comes again some items are there already; whether all are, the count at the end tells.
            anyhow::ensure!(is_again || !text.contains("error"), "the server did not take an event: {text:.300}");
            return Ok(());
        }
        is_again = true;
        tokio::time::sleep(PUSHED_BACK).await;
    }
}

/// The indexers, from their start until everything is settled; then they are stopped. Records per second.
///
/// # Errors
/// If they are not done in time.
pub async fn ours(target: &Target, topic: &str, records: u64) -> anyhow::Result<f64> {
    let config = IndexerConfig {
        group: format!("bench-{}", ulid::Ulid::generate()),
        topic: topic.to_owned(),
        dlq_topic: format!("{topic}-dlq"),
        ..IndexerConfig::default()
    };
    let began = Instant::now();
    let index: Arc<dyn SearchIndex> = target.index.clone();
    let indexing = Indexing::start(kafka()?, index, config)?;
    let (observer, wanted) = (indexing.observer(), i64::try_from(records)?);
    let settled = || -> i64 {
        let offsets = observer.view().children.into_iter().filter_map(|actor| match actor.observed {
            Observed::Indexer(figures) => figures.next_offset,
            _ => None,
        });
        offsets.sum()
    };
    while settled() < wanted {
        anyhow::ensure!(began.elapsed() < DEADLINE, "{} of {wanted} records in time", settled());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let rate = per_second(records, began.elapsed());
    indexing.stop().await;
    Ok(rate)
}
