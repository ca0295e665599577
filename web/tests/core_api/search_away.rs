//! A search that is down or not configured says so itself; everything else goes on.

use crate::rig::{Rig, incident};
use actix_web::http::Method;
use async_trait::async_trait;
use chrono::NaiveDate;
use schema::search::{IndexedEvent, ItemOutcome, SearchAnswer, SearchError, SearchIndex, SearchRequest};
use serde_json::json;
use std::sync::Arc;

/// An index that is away.
#[derive(Debug)]
struct Away;

impl Away {
    fn answer<T>() -> Result<T, SearchError> {
        Err(SearchError::Unavailable("connection refused by 10.0.0.7".to_owned()))
    }
}

#[async_trait]
impl SearchIndex for Away {
    fn name(&self) -> &'static str {
        "away"
    }

    async fn prepare(&self) -> Result<(), SearchError> {
        Self::answer()
    }

    async fn store(&self, _: &[IndexedEvent]) -> Result<Vec<ItemOutcome>, SearchError> {
        Self::answer()
    }

    async fn refresh(&self) -> Result<(), SearchError> {
        Self::answer()
    }

    async fn search(&self, _: &SearchRequest) -> Result<SearchAnswer, SearchError> {
        Self::answer()
    }

    async fn event(&self, _: &[String], _: &str) -> Result<Option<IndexedEvent>, SearchError> {
        Self::answer()
    }

    async fn drop_days_before(&self, _: NaiveDate) -> Result<Vec<NaiveDate>, SearchError> {
        Self::answer()
    }

    async fn ping(&self) -> Result<(), SearchError> {
        Self::answer()
    }
}

#[actix_web::test]
async fn an_index_that_is_away_or_not_there_is_told_by_the_search_alone() {
    let mut rig = Rig::new().await;
    rig.filler().await.flush(vec![incident(1)]).await;
    for (index, code) in
        [(None, "search_not_configured"), (Some(Arc::new(Away) as Arc<dyn SearchIndex>), "search_unavailable")]
    {
        rig.state.search = index;
        for uri in ["/v1/search/events?q=x".to_owned(), format!("/v1/search/events/{}", "f".repeat(32))] {
            let answer = rig.get(&uri).await;
            assert_eq!((answer.status, &answer.body["code"]), (503, &json!(code)), "{uri}");
            assert_eq!(answer.header("content-type"), Some("application/problem+json"));
            assert!(answer.header("retry-after").unwrap().parse::<u64>().unwrap() > 0);
            assert!(!answer.body.to_string().contains("10.0.0.7"), "the cause is for the operator");
        }
        // What is wrong with the request is told all the same, and everything else goes on.
        assert_eq!(rig.get("/v1/search/events?limit=0").await.status, 400);
        assert_eq!(rig.call(Method::GET, "/v1/search/events", None, &[]).await.status, 401);
        assert_eq!(rig.get("/v1/incidents").await.ids().len(), 1);
        assert_eq!(rig.get(&format!("/v1/incidents/{}", incident(1).id)).await.status, 200);
    }
}
