//! The OpenSearch backend on the real server: what it stores, where, and what it says of each event.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod support;

use base64::Engine;
use schema::search::{Facet, Filters, ItemOutcome, SearchError, SearchIndex, SearchRequest, SortKey};
use search::{OpenSearch, OpenSearchConfig};
use std::sync::atomic::Ordering;
use support::tls::TlsFront;
use support::{Room, at, count, event, everything, raw, server};

#[tokio::test]
async fn events_go_to_the_index_of_the_day_of_their_receipt_and_a_replay_changes_nothing() {
    let room = Room::new();
    let mut late = event("late", "2026-11-24T00:00:00.000001Z");
    late.occurred_at = at("2026-11-20T12:00:00Z");
    let batch = [event("a", "2026-11-23T23:59:59.999999Z"), late, event("a", "2026-11-23T23:59:59.999999Z")];
    use ItemOutcome::{AlreadyThere, Stored};
    assert_eq!(room.index.store(&batch).await.unwrap(), [Stored, Stored, AlreadyThere]);
    assert_eq!(room.index.store(&batch).await.unwrap(), [AlreadyThere, AlreadyThere, AlreadyThere]);
    assert_eq!(count(&room.index).await, 2);
    for (day, events) in [("2026.11.23", 1), ("2026.11.24", 1)] {
        let (_, counted) = room.ask("GET", &format!("{}-{day}/_count", room.prefix)).await;
        assert_eq!(counted["count"], events, "{day}");
    }
    let (status, _) = room.ask("GET", &format!("{}/_count", room.prefix)).await;
    assert_eq!(status, 200, "the alias leads to all days");
    let found = room.index.event(&["project".into()], &batch[0].id()).await.unwrap().unwrap();
    assert_eq!((found.event_id.as_str(), found.occurred_at), ("a", batch[0].occurred_at));
    assert!(room.index.event(&["other".into()], &batch[0].id()).await.unwrap().is_none(), "another tenant's");
    room.end().await;
}

/// Whatever a client may send is stored and comes back as it was; the mapping does not grow with it.
#[tokio::test]
async fn odd_attributes_and_payloads_come_back_as_they_were() {
    let room = Room::new();
    let long = "x".repeat(40_000);
    let texts = [
        r#"{"":1,"a.b":2,"a":{"b":3},".":4,"a..b":5,"_id":6}"#.to_owned(),
        r#"{"n":1e300,"big":123456789012345678901234567890,"null":null,"list":[1,[2,{"c":null}],"x",true],"z":"\u0000"}"#.to_owned(),
        format!(r#"{{"long":"{long}"}}"#),
        format!(r#"{{"{long}":{{"{long}":1}}}}"#),
        format!("{{{}}}", (0..2_000).map(|n| format!(r#""key{n}":{n}"#)).collect::<Vec<_>>().join(",")),
    ];
    let batch: Vec<_> = texts
        .iter()
        .enumerate()
        .map(|(number, text)| {
            let mut event = event(&number.to_string(), "2026-11-24T05:00:00Z");
            (event.attributes, event.payload) = (raw(text), raw(text));
            event
        })
        .collect();
    assert_eq!(room.index.store(&batch).await.unwrap(), vec![ItemOutcome::Stored; batch.len()]);
    let (_, before) = room.ask("GET", &format!("{}-*/_mapping", room.prefix)).await;
    room.index.refresh().await.unwrap();
    for event in &batch {
        let found = room.index.event(&["project".into()], &event.id()).await.unwrap().unwrap();
        assert_eq!((found.attributes.get(), found.payload.get()), (event.attributes.get(), event.payload.get()));
    }
    let fields = before[format!("{}-2026.11.24", room.prefix)]["mappings"]["properties"].as_object().unwrap().len();
    assert_eq!(fields, 19, "{before}");
    room.end().await;
}

/// The bulk form is made of lines: what a client wrote over many of them must not become a line of its own.
#[tokio::test]
async fn line_breaks_of_a_client_are_no_actions_of_ours() {
    let room = Room::new();
    let victim = event("victim", "2026-11-24T05:00:00Z");
    assert_eq!(room.index.store(std::slice::from_ref(&victim)).await.unwrap(), [ItemOutcome::Stored]);
    let index = format!("{}-2026.11.24", room.prefix);
    let mut evil = event("evil", "2026-11-24T05:00:00Z");
    evil.attributes = raw("{\n  \"route\": \"/a\"\n}");
    evil.payload = raw(&format!(r#"{{"a":{0}{{"delete":{{"_index":"{index}","_id":"{1}"}}}}{0}}}"#, '\n', victim.id()));
    let batch = [evil, event("after", "2026-11-24T05:00:00Z")];
    assert_eq!(room.index.store(&batch).await.unwrap(), [ItemOutcome::Stored, ItemOutcome::Stored]);
    room.index.refresh().await.unwrap();
    for event in [&victim, &batch[0], &batch[1]] {
        let found = room.index.event(&["project".into()], &event.id()).await.unwrap().unwrap();
        assert_eq!(found.payload.get(), event.payload.get().replace('\n', " "));
    }
    room.end().await;
}

#[tokio::test]
async fn what_the_server_cannot_take_is_refused_alone() {
    let room = Room::new();
    let mut bad = event("bad", "2026-11-24T05:00:00Z");
    bad.attributes = raw("[1]");
    let batch = [event("a", "2026-11-24T05:00:00Z"), bad, event("b", "2026-11-24T05:00:00Z")];
    let outcomes = room.index.store(&batch).await.unwrap();
    assert!(matches!(&outcomes[1], ItemOutcome::Refused(why) if why.contains("attributes")), "{outcomes:?}");
    assert_eq!((&outcomes[0], &outcomes[2]), (&ItemOutcome::Stored, &ItemOutcome::Stored));
    assert_eq!(count(&room.index).await, 2);
    room.end().await;
}

#[tokio::test]
async fn microseconds_order_and_bound_and_pages_follow_each_other() {
    let room = Room::new();
    let batch: Vec<_> =
        (0..7).map(|n| event(&n.to_string(), &format!("2026-11-24T05:00:00.00000{}Z", n / 2))).collect();
    room.index.store(&batch).await.unwrap();
    room.index.refresh().await.unwrap();
    let mut wanted: Vec<_> =
        batch.iter().map(|event| SortKey { occurred_at: event.occurred_at, id: event.id() }).collect();
    wanted.sort_by(|a, b| b.occurred_at.cmp(&a.occurred_at).then_with(|| a.id.cmp(&b.id)));
    let mut seen = Vec::new();
    let mut request = SearchRequest { limit: 2, ..everything() };
    loop {
        let answer = room.index.search(&request).await.unwrap();
        assert_eq!(answer.total, 7);
        assert_eq!(answer.span, Some((batch[0].occurred_at, batch[6].occurred_at)));
        let Some((last, _)) = answer.hits.last() else { break };
        request.page = schema::search::Page::After(last.clone());
        seen.extend(answer.hits.into_iter().map(|(key, _)| key));
    }
    assert_eq!(seen, wanted);
    let bounded = SearchRequest {
        from: Some(batch[2].occurred_at),
        to: Some(batch[4].occurred_at),
        filters: Filters { route: vec!["/nowhere".into()], ..Filters::default() },
        ..everything()
    };
    let answer = room.index.search(&bounded).await.unwrap();
    assert_eq!((answer.total, answer.facets[&Facet::Route][0].count), (0, 2), "the route's siblings stay visible");
    room.end().await;
}

#[tokio::test]
async fn a_search_before_the_first_event_finds_nothing() {
    let room = Room::new();
    room.index.prepare().await.unwrap();
    room.index.prepare().await.unwrap();
    assert_eq!(count(&room.index).await, 0);
    assert!(room.index.event(&["project".into()], "x").await.unwrap().is_none());
    assert!(room.index.drop_days_before(at("2026-11-24T00:00:00Z").date_naive()).await.unwrap().is_empty());
    room.end().await;
}

/// The server here has no index management, so this is our own deletion.
#[tokio::test]
async fn old_days_are_deleted_and_nothing_else() {
    let room = Room::new();
    let days = ["2026-10-01", "2026-10-24", "2026-10-25", "2026-11-24"];
    let batch = days.map(|day| event(day, &format!("{day}T23:59:59Z")));
    room.index.store(&batch).await.unwrap();
    room.ask("PUT", &format!("{}-2026.1.1-copy", room.prefix)).await;
    let oldest = at("2026-10-25T00:00:00Z").date_naive();
    let gone = room.index.drop_days_before(oldest).await.unwrap();
    assert_eq!(gone.iter().map(ToString::to_string).collect::<Vec<_>>(), ["2026-10-01", "2026-10-24"]);
    assert!(room.index.drop_days_before(oldest).await.unwrap().is_empty());
    assert_eq!(count(&room.index).await, 2);
    assert_eq!(room.ask("GET", &format!("{}-2026.1.1-copy", room.prefix)).await.0, 200, "not one of ours");
    room.end().await;
}

#[tokio::test]
async fn over_tls_only_a_known_authority_is_trusted_and_the_user_is_named() {
    let basic = base64::prelude::BASE64_STANDARD.encode("me:a word");
    let front = TlsFront::start(&server(), &basic).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &front.authority).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    for (number, authority) in [front.authority.clone(), path].into_iter().enumerate() {
        let config = OpenSearchConfig {
            opensearch_username: Some("me".into()),
            opensearch_password: Some("a word".into()),
            opensearch_ca_cert: Some(authority),
            ..OpenSearchConfig::at(&front.url)
        };
        OpenSearch::new(&config, 30).unwrap().ping().await.unwrap();
        assert_eq!(front.greeted.load(Ordering::Relaxed), number + 1);
    }
    let stranger = OpenSearch::new(&OpenSearchConfig::at(&front.url), 30).unwrap();
    let refused = stranger.ping().await;
    assert!(matches!(&refused, Err(SearchError::Unavailable(why)) if why.contains("certificate")), "{refused:?}");
}
