//! Old days of the search index go, by the database's clock.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use chrono::{DateTime, Days, Utc};
use schema::database::{DatabaseConfig, pool};
use schema::event::{EventType, Severity};
use schema::search::{IndexedEvent, SearchIndex};
use schema::testing::TestDatabase;
use serde_json::value::RawValue;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::{Duration, Instant};
use web::search_retention::{SearchRetention, drop_old_days};

fn event(event_id: &str, received_at: DateTime<Utc>) -> IndexedEvent {
    IndexedEvent {
        event_id: event_id.to_owned(),
        occurred_at: received_at,
        received_at,
        org_id: "org".to_owned(),
        project_id: "project".to_owned(),
        environment: "prod".to_owned(),
        event_type: EventType::Error,
        severity: Severity::Error,
        message: "m".to_owned(),
        fingerprint: "f".repeat(64),
        route: None,
        error_code: None,
        release: None,
        attributes: RawValue::from_string("{}".to_owned()).unwrap(),
        payload: RawValue::from_string("{}".to_owned()).unwrap(),
    }
}

#[actix_web::test]
async fn a_day_goes_when_it_is_older_than_the_days_that_are_kept() {
    let test = TestDatabase::create().await;
    let database = pool(&DatabaseConfig::at(test.url()), 2).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let index: Arc<dyn SearchIndex> = Arc::new(search::Tantivy::open(&folder.path().join("search")).unwrap());
    let days = NonZeroU32::new(30).unwrap();
    let today = schema::retention::today(&mut database.get().await.unwrap()).await.unwrap();
    let noon = |back: u64| today.checked_sub_days(Days::new(back)).unwrap().and_hms_opt(12, 0, 0).unwrap().and_utc();
    let ages = [0, 30, 31, 400].map(|back| event(&back.to_string(), noon(back)));
    index.store(&ages).await.unwrap();
    let gone = drop_old_days(&database, &*index, days).await.unwrap();
    assert_eq!(gone, [noon(400).date_naive(), noon(31).date_naive()]);
    assert!(drop_old_days(&database, &*index, days).await.unwrap().is_empty());

    // The task does it by itself.
    index.store(&ages).await.unwrap();
    let projects = ["project".to_owned()];
    let is_there = async |event: &IndexedEvent| index.event(&projects, &event.id()).await.unwrap().is_some();
    assert!(is_there(&ages[3]).await);
    let retention = SearchRetention::start(database, Arc::clone(&index), days);
    let begun = Instant::now();
    while is_there(&ages[3]).await {
        assert!(begun.elapsed() < Duration::from_secs(60), "the old day is still there");
        actix_web::rt::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(is_there(&ages[1]).await);
    retention.stop();
}
