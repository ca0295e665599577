//! `cargo bench -p benches --bench search`: a million events put into the index and searched, on tantivy and on the OpenSearch
//! of `OPENSEARCH_URL`. `-- tantivy` or `-- opensearch` for one of them.
//!
//! Batches are made before they are stored, and only the storing is timed. Then each kind of question is asked with other values
//! every time, one after the other. The indices of the server are the bench's own and are deleted at the end.

use anyhow::Context;
use benches::events::Mix;
use benches::report::setting;
use benches::usage::{cpu_seconds, load_average, memory_kib};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use hdrhistogram::Histogram;
use schema::envelope::Envelope;
use schema::search::{
    Facet, Filters, IndexedEvent, ItemOutcome, Page, SearchAnswer, SearchIndex, SearchRequest, SortKey, TextQuery,
};
use search::{OpenSearch, OpenSearchConfig, Tantivy};
use std::path::Path;
use std::time::{Duration, Instant};

/// Events in the index.
const EVENTS: u64 = 1_000_000;
/// Events of a batch, as many as an indexer sends when it is behind.
const BATCH: u64 = 2_000;
/// Questions of each kind.
const QUESTIONS: u64 = 100;
/// Minutes that the events are spread over: three days, so three daily indices.
const MINUTES: u64 = 3 * 1_440;
const PROJECT: &str = "proj_000";

fn main() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let events = setting("BENCH_EVENTS", EVENTS)?;
    let mix = Mix { events, fingerprints: 2_000, projects: 1, minutes: MINUTES, seed: 1 };
    let only: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let is_asked = |name: &str| only.is_empty() || only.iter().any(|word| word == name);
    if is_asked("tantivy") {
        runtime.block_on(tantivy(&mix))?;
    }
    if is_asked("opensearch") {
        runtime.block_on(opensearch(&mix))?;
    }
    Ok(())
}

async fn tantivy(mix: &Mix) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let index = Tantivy::open(folder.path())?;
    fill(&index, mix).await?;
    // Closed and opened again, so that the merges under way have ended and the files are all that counts.
    drop(index);
    let index = reopened(folder.path()).await?;
    let bytes = size(folder.path())?;
    println!("tantivy: {} MiB on disk, {} bytes an event", bytes / 1_048_576, bytes / mix.events.max(1));
    ask(&index, mix).await?;
    let (now, most) = memory_kib()?;
    println!("tantivy: {} MiB of memory at most, {} MiB now, mapped files included", most / 1_024, now / 1_024);
    Ok(())
}

/// The folder's lock is free once the last thread of the index has ended.
async fn reopened(folder: &Path) -> anyhow::Result<Tantivy> {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match Tantivy::open(folder) {
            Ok(index) => return Ok(index),
            Err(error) if Instant::now() > deadline => return Err(error.into()),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

fn size(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let meta = entry.metadata()?;
        bytes += if meta.is_dir() { size(&entry.path())? } else { meta.len() };
    }
    Ok(bytes)
}

async fn opensearch(mix: &Mix) -> anyhow::Result<()> {
    let url = std::env::var("OPENSEARCH_URL").context("set OPENSEARCH_URL, or say `-- tantivy`")?;
    let prefix = format!("bench-{}", uuid::Uuid::new_v4());
    let index = OpenSearch::new(&OpenSearchConfig::at(&url), 30)?.with_prefix(&prefix);
    let measured = async {
        fill(&index, mix).await?;
        index.refresh().await?;
        ask(&index, mix).await
    }
    .await;
    index.drop_days_before(NaiveDate::MAX).await?;
    let server = reqwest::Client::new();
    server.delete(format!("{}/_index_template/{prefix}", url.trim_end_matches('/'))).send().await?;
    measured
}

async fn fill(index: &dyn SearchIndex, mix: &Mix) -> anyhow::Result<()> {
    index.prepare().await?;
    let (mut spent, began_cpu) = (Duration::ZERO, cpu_seconds()?);
    let (mut number, mut buffer) = (0, Vec::new());
    while number < mix.events {
        let end = mix.events.min(number + BATCH);
        let batch = (number..end).map(|number| event(mix, number, &mut buffer)).collect::<anyhow::Result<Vec<_>>>()?;
        let began = Instant::now();
        let outcomes = index.store(&batch).await?;
        spent += began.elapsed();
        anyhow::ensure!(outcomes.iter().all(|outcome| *outcome == ItemOutcome::Stored), "not everything was stored");
        number = end;
    }
    let rate = mix.events * 1_000 / u64::try_from(spent.as_millis())?.max(1);
    println!(
        "{}: {} events stored in batches of {BATCH}: {rate}/s, {:.1} CPU s with the making of them; load {}",
        index.name(),
        mix.events,
        cpu_seconds()? - began_cpu,
        load_average()
    );
    Ok(())
}

fn event(mix: &Mix, number: u64, buffer: &mut Vec<u8>) -> anyhow::Result<IndexedEvent> {
    mix.write(number, buffer)?;
    Ok(IndexedEvent::from(&serde_json::from_slice::<Envelope<'_>>(buffer)?))
}

/// A question of one kind with the `number`-th values.
type Kind = fn(&Asked, u64) -> SearchRequest;

/// What is known of the index.
struct Asked {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
    fingerprints: Vec<String>,
    /// Places all over it.
    places: Vec<SortKey>,
}

const KINDS: [(&str, Kind); 7] = [
    ("everything, with facets and bars", |asked, _| asked.whole("")),
    ("a word that half of the events hold, with facets and bars", |asked, _| asked.whole("checkout")),
    ("a word that one event holds, with facets and bars", |asked, number| asked.whole(&(number * 9_973).to_string())),
    ("a phrase and a prefix, with facets and bars", |asked, number| {
        asked.whole(&format!("\"request {number}\" fail*"))
    }),
    ("a route in one hour, with facets and bars", |asked, number| {
        let from = asked.start + TimeDelta::minutes(i64::try_from(number * 37 % 4_000).unwrap_or(0));
        let (mut request, to) = (asked.whole(""), from + TimeDelta::hours(1));
        request.filters.route = vec!["/api/checkout".to_owned()];
        SearchRequest { from: Some(from), to: Some(to), interval: Some(TimeDelta::minutes(2)), ..request }
    }),
    ("an incident's events, with facets and bars", |asked, number| {
        let mut request = asked.whole("");
        let place = usize::try_from(number).unwrap_or(0) % asked.fingerprints.len().max(1);
        request.filters.fingerprint = asked.fingerprints.get(place).cloned().into_iter().collect();
        request
    }),
    ("a page far in by its place", |asked, number| {
        let place = usize::try_from(number).unwrap_or(0) % asked.places.len().max(1);
        let page = asked.places.get(place).cloned().map_or(Page::Offset(0), Page::After);
        SearchRequest { page, interval: None, facet_size: 0, ..asked.whole("") }
    }),
];

impl Asked {
    fn whole(&self, words: &str) -> SearchRequest {
        SearchRequest {
            projects: vec![PROJECT.to_owned()],
            text: TextQuery::parse(words),
            filters: Filters::default(),
            from: Some(self.start),
            to: Some(self.end),
            page: Page::Offset(0),
            limit: 51,
            interval: Some(TimeDelta::hours(2)),
            facet_size: 50,
        }
    }
}

async fn ask(index: &dyn SearchIndex, mix: &Mix) -> anyhow::Result<()> {
    let mut buffer = Vec::new();
    let (first, last) = (event(mix, 0, &mut buffer)?, event(mix, mix.events.saturating_sub(1), &mut buffer)?);
    let places = (1..50).map(|part| {
        let event = event(mix, mix.events / 50 * part, &mut buffer)?;
        Ok(SortKey { occurred_at: event.occurred_at, id: event.id() })
    });
    let asked = Asked {
        start: first.occurred_at,
        end: last.occurred_at + TimeDelta::microseconds(1),
        fingerprints: (0..50).map(|number| mix.fingerprint_text(number)).collect(),
        places: places.collect::<anyhow::Result<_>>()?,
    };
    let all = index.search(&asked.whole("")).await?;
    anyhow::ensure!(all.total == mix.events, "{} of {} events are found", all.total, mix.events);
    let mut together = Histogram::<u64>::new(3)?;
    for (name, kind) in KINDS {
        let (mut taken, mut hits) = (Histogram::<u64>::new(3)?, 0);
        for number in 0..QUESTIONS {
            let request = kind(&asked, number);
            let began = Instant::now();
            let answer = index.search(&request).await?;
            let micros = u64::try_from(began.elapsed().as_micros())?;
            taken.record(micros)?;
            together.record(micros)?;
            hits += checked(&request, &answer)?;
        }
        anyhow::ensure!(hits > 0, "{name}: no question had hits");
        println!("{}: {name}: {}, {} hits a question", index.name(), quantiles(&taken), hits / QUESTIONS);
    }
    println!("{}: all of them: {}; load {}", index.name(), quantiles(&together), load_average());
    Ok(())
}

/// An answer that does not add up is worth no measurement.
fn checked(request: &SearchRequest, answer: &SearchAnswer) -> anyhow::Result<u64> {
    let bars: u64 = answer.histogram.iter().map(|bar| bar.count).sum();
    anyhow::ensure!(request.interval.is_none() || bars == answer.total, "{bars} in bars of {}", answer.total);
    let kinds = answer.facets.get(&Facet::EventType).map(|counts| counts.iter().map(|count| count.count).sum::<u64>());
    anyhow::ensure!(kinds.is_none_or(|kinds| kinds == answer.total), "{kinds:?} by kind of {}", answer.total);
    Ok(answer.total)
}

fn quantiles(taken: &Histogram<u64>) -> String {
    let millis = |quantile| Duration::from_micros(taken.value_at_quantile(quantile)).as_secs_f64() * 1_000.0;
    format!("p50 {:.1} ms, p99 {:.1} ms", millis(0.5), millis(0.99))
}
