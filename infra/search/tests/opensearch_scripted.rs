//! What the real server here cannot do, on one that a script plays: index management (ISM), overload, failures.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use schema::search::{ItemOutcome, SearchError, SearchIndex};
use search::{OpenSearch, OpenSearchConfig};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use support::scripted::Scripted;
use support::{at, event, everything};

fn index(server: &Scripted, days: u32) -> OpenSearch {
    OpenSearch::new(&OpenSearchConfig::at(&server.url), days).unwrap().with_prefix("events")
}

fn policies(server: &Scripted) -> Vec<(String, String, Value)> {
    let of_ism = |(_, path, _): &(String, String, String)| path.starts_with("/_plugins/_ism");
    let parse = |(method, path, body): (String, String, String)| {
        (method, path, serde_json::from_str(&body).unwrap_or_default())
    };
    server.asked().into_iter().filter(of_ism).map(parse).collect()
}

#[tokio::test]
async fn a_server_with_index_management_gets_the_policy_and_deletes_by_itself() {
    let server = Scripted::start(|method, path, _| match (method, path) {
        ("GET", "/_plugins/_ism/policies/events-retention") => {
            (404, r#"{"error":{"type":"status_exception","reason":"Policy not found"},"status":404}"#.into())
        }
        _ => (200, "{}".into()),
    })
    .await;
    let index = index(&server, 30);
    index.prepare().await.unwrap();
    let asked = policies(&server);
    assert_eq!((asked[1].0.as_str(), asked[1].1.as_str()), ("PUT", "/_plugins/_ism/policies/events-retention"));
    let policy = &asked[1].2["policy"];
    assert_eq!(policy["states"][0]["transitions"][0]["conditions"]["min_index_age"], "31d");
    assert_eq!(policy["states"][1]["actions"], json!([{"delete": {}}]));
    assert_eq!(policy["ism_template"][0]["index_patterns"], json!(["events-*"]));
    assert_eq!(
        (asked[2].1.as_str(), &asked[2].2["policy_id"]),
        ("/_plugins/_ism/add/events-*", &json!("events-retention"))
    );
    let gone = index.drop_days_before(at("2026-11-24T00:00:00Z").date_naive()).await.unwrap();
    assert!(gone.is_empty() && !server.asked().iter().any(|(method, ..)| method == "DELETE"), "the server does it");
}

#[tokio::test]
async fn a_policy_of_other_days_is_changed_where_it_was_read_and_one_of_the_same_is_left() {
    let server = Scripted::start(|method, path, _| match (method, path) {
        ("GET", "/_plugins/_ism/policies/events-retention") => {
            let states = json!([{"name": "kept", "transitions": [{"conditions": {"min_index_age": "31d"}}]}]);
            (
                200,
                json!({"_id": "events-retention", "_seq_no": 7, "_primary_term": 2, "policy": {"states": states}})
                    .to_string(),
            )
        }
        _ => (200, "{}".into()),
    })
    .await;
    index(&server, 30).prepare().await.unwrap();
    assert_eq!(policies(&server).iter().filter(|(method, ..)| method == "PUT").count(), 0);
    index(&server, 7).prepare().await.unwrap();
    let changes: Vec<_> = policies(&server).into_iter().filter(|(method, ..)| method == "PUT").collect();
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].1, "/_plugins/_ism/policies/events-retention?if_seq_no=7&if_primary_term=2");
    assert!(policies(&server).iter().any(|(_, path, _)| path == "/_plugins/_ism/change_policy/events-*"));
}

#[tokio::test]
async fn without_the_right_to_manage_indices_we_delete_ourselves() {
    let server = Scripted::start(|method, path, _| match (method, path.split('?').next().unwrap()) {
        ("GET", "/_plugins/_ism/policies/events-retention") => {
            (403, r#"{"error":{"type":"security_exception","reason":"no permissions"}}"#.into())
        }
        ("GET", "/_cat/indices/events-*") => {
            (200, r#"[{"index":"events-2026.11.22"},{"index":"events-2026.11.23"}]"#.into())
        }
        _ => (200, "{}".into()),
    })
    .await;
    let index = index(&server, 30);
    let gone = index.drop_days_before(at("2026-11-23T00:00:00Z").date_naive()).await.unwrap();
    assert_eq!(gone, [at("2026-11-22T00:00:00Z").date_naive()]);
    let deleted: Vec<_> =
        server.asked().into_iter().filter(|(method, ..)| method == "DELETE").map(|asked| asked.1).collect();
    assert_eq!(deleted, ["/events-2026.11.22"]);
}

#[tokio::test]
async fn an_overloaded_server_is_tried_again_and_its_template_is_made_again_after_a_failure() {
    let bulks = AtomicUsize::new(0);
    let server = Scripted::start(move |_, path, _| match path.split('?').next().unwrap() {
        "/_plugins/_ism/policies/events-retention" => (400, r#"{"error":"no handler found"}"#.into()),
        "/_bulk" => match bulks.fetch_add(1, Ordering::Relaxed) {
            0 => (503, r#"{"error":{"type":"x","reason":"away"},"status":503}"#.into()),
            _ => (200, r#"{"items":[{"create":{"status":201}},{"create":{"status":429,"error":{"type":"rejected","reason":"full"}}}]}"#.into()),
        },
        _ => (200, "{}".into()),
    })
    .await;
    let index = index(&server, 30);
    let batch = [event("a", "2026-11-24T05:00:00Z"), event("b", "2026-11-24T05:00:00Z")];
    let failed = index.store(&batch).await;
    assert!(matches!(&failed, Err(SearchError::Unavailable(why)) if why == "503: x: away"), "{failed:?}");
    let outcomes = index.store(&batch).await.unwrap();
    assert_eq!(outcomes, [ItemOutcome::Stored, ItemOutcome::Retry("429: rejected: full".into())]);
    let templates = server.asked().iter().filter(|(_, path, _)| path == "/_index_template/events").count();
    assert_eq!(templates, 2);
}

#[tokio::test]
async fn a_search_that_is_refused_or_not_complete_is_an_error_and_nobody_waits_for_ever() {
    let answers = AtomicUsize::new(0);
    let server = Scripted::start(move |_, _, _| match answers.fetch_add(1, Ordering::Relaxed) {
        0 => (200, r#"{"timed_out":true,"_shards":{"failed":0},"hits":{"hits":[]}}"#.into()),
        // Tried again, because it may be a new day's index.
        1..=4 => (
            503,
            r#"{"error":{"type":"search_phase_execution_exception","reason":"all shards failed"},"status":503}"#.into(),
        ),
        5 => (400, r#"{"error":{"type":"x_content_parse_exception","reason":"bad"},"status":400}"#.into()),
        _ => (200, "<html>".into()),
    })
    .await;
    let index = index(&server, 30);
    for is_passing in [true, true, false, false] {
        let failed = index.search(&everything()).await.unwrap_err();
        assert_eq!(matches!(failed, SearchError::Unavailable(_)), is_passing, "{failed}");
    }
    // Nobody listens there.
    let away = OpenSearch::new(&OpenSearchConfig::at("http://127.0.0.1:9"), 30).unwrap();
    assert!(matches!(away.search(&everything()).await, Err(SearchError::Unavailable(_))));
}
