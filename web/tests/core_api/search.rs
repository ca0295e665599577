//! The search over HTTP, on a real index: the three uses, filters, pages and tenants.

use crate::rig::{Answer, KEY, OTHER, Rig, SENDER, at, incident};
use actix_web::http::Method;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use schema::envelope::Envelope;
use schema::search::{IndexedEvent, ItemOutcome, SearchIndex};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// A core API with an index of its own.
struct Searching {
    rig: Rig,
    index: search::Tantivy,
    _folder: tempfile::TempDir,
}

/// The `number`-th event of a project: an error of that second, with what `changes` says otherwise.
fn event(project: &str, number: i64, changes: Value) -> IndexedEvent {
    let mut record = json!({
        "schema_version": "1.0", "event_id": format!("e{number}"), "occurred_at": at(number), "received_at": at(number),
        "org_id": "org", "project_id": project, "environment": "prod", "event_type": "error", "severity": "error",
        "message": format!("it broke {number} times"), "fingerprint": format!("{number:064x}"),
        "attributes": {"route": "/api/checkout", "error_code": "E1"}, "payload": {"n": number},
    });
    record.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    let record = record.to_string();
    IndexedEvent::from(&serde_json::from_str::<Envelope<'_>>(&record).unwrap())
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}

impl Searching {
    async fn new(events: &[IndexedEvent]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let index = search::Tantivy::open(folder.path()).unwrap();
        let mut rig = Rig::new().await;
        rig.state.search = Some(Arc::new(index.clone()));
        let searching = Self { rig, index, _folder: folder };
        searching.store(events).await;
        searching
    }

    async fn store(&self, events: &[IndexedEvent]) {
        let outcomes = self.index.store(events).await.unwrap();
        assert!(outcomes.iter().all(|outcome| *outcome == ItemOutcome::Stored), "{outcomes:?}");
    }

    async fn found(&self, query: &str) -> Value {
        let answer = self.rig.get(&format!("/v1/search/events?{query}")).await;
        assert_eq!(answer.status, 200, "{query}: {:?}", answer.body);
        answer.body
    }

    /// The client's ids of the events found, without their first letter.
    async fn numbers(&self, query: &str) -> Vec<i64> {
        numbers(&self.found(query).await)
    }
}

fn numbers(body: &Value) -> Vec<i64> {
    let events = body["events"].as_array().unwrap().iter();
    events.map(|event| event["event_id"].as_str().unwrap()[1..].parse().unwrap()).collect()
}

/// A facet as (value, count).
fn facet(body: &Value, name: &str) -> Vec<(String, u64)> {
    let counts = body["facets"][name].as_array().unwrap().iter();
    counts.map(|count| (count["value"].as_str().unwrap().to_owned(), count["count"].as_u64().unwrap())).collect()
}

/// Twelve events an hour apart, on three routes.
fn half_a_day() -> Vec<IndexedEvent> {
    let routes = ["/api/checkout", "/api/users/42", "/health"];
    let events = (0..12).map(|hour| {
        let happened = at(hour * 3_600);
        let route = routes[usize::try_from(hour).unwrap() % 3];
        let changes = match hour % 4 {
            0 => json!({"message": "upstream Timeout after 30 s"}),
            1 => json!({"message": "timeout", "event_type": "http_request", "severity": "info"}),
            _ => json!({"message": "card declined", "severity": "critical"}),
        };
        let mut changes = changes;
        changes["occurred_at"] = json!(happened);
        changes["attributes"] = json!({"route": route});
        event("proj", hour, changes)
    });
    events.collect()
}

#[actix_web::test]
async fn all_errors_containing_timeout() {
    let searching = Searching::new(&half_a_day()).await;
    let body = searching.found("q=timeout&event_type=error").await;
    assert_eq!(numbers(&body), [8, 4, 0]);
    assert_eq!(body["pagination"]["total"], 3);
    let event = &body["events"][0];
    assert_eq!(event["highlight"]["message"], "upstream <mark>Timeout</mark> after 30 s");
    assert_eq!(
        body["facets"]["event_type"],
        json!([{"value": "error", "count": 3}, {"value": "http_request", "count": 3}])
    );
}

#[actix_web::test]
async fn events_from_api_checkout_in_the_last_hour() {
    let searching = Searching::new(&half_a_day()).await;
    let now = at(9 * 3_600) + TimeDelta::minutes(10);
    let query = format!("route=/api/checkout&from={}&to={}", time(now - TimeDelta::hours(1)), time(now));
    let body = searching.found(&query).await;
    assert_eq!(numbers(&body), [9]);
    assert_eq!(body["histogram_interval_seconds"], 120, "the hour touches 61 minutes");
    let bars = body["histogram"].as_array().unwrap();
    assert!((30..=60).contains(&bars.len()), "{}", bars.len());
    assert_eq!(bars.iter().map(|bar| bar["count"].as_u64().unwrap()).sum::<u64>(), 1);
    assert_eq!(facet(&body, "route"), [("/api/checkout".to_owned(), 1)]);
}

#[actix_web::test]
async fn error_trends_by_route() {
    let searching = Searching::new(&half_a_day()).await;
    let all = searching.found("event_type=error&limit=1").await;
    let routes = facet(&all, "route");
    assert_eq!(routes.iter().map(|(route, _)| route.as_str()).collect::<BTreeSet<_>>().len(), 3);
    for (route, count) in routes {
        let query = format!("event_type=error&route={route}&from={}&to={}", time(at(0)), time(at(12 * 3_600)));
        let trend = searching.found(&query).await;
        assert_eq!(trend["histogram_interval_seconds"], 1_800);
        let hit: Vec<_> = trend["histogram"].as_array().unwrap().iter().filter(|bar| bar["count"] != 0).collect();
        assert_eq!(u64::try_from(hit.len()).unwrap(), count, "{route}");
        assert_eq!(facet(&trend, "route"), facet(&all, "route"), "the siblings stay");
    }
    // A path finds its template.
    assert_eq!(searching.found("route=/api/users/7").await["pagination"]["total"], 4);
}

#[actix_web::test]
async fn an_event_has_the_shape_that_was_promised() {
    let searching = Searching::new(&[event("proj", 1, json!({"message": "<b>broke</b>"}))]).await;
    let body = searching.found("q=broke").await;
    let id = body["events"][0]["id"].as_str().unwrap().to_owned();
    let mut wanted = json!({
        "id": id, "schema_version": "1.0", "event_id": "e1", "occurred_at": "2026-09-21T14:13:21Z",
        "received_at": "2026-09-21T14:13:21Z", "org_id": "org", "project_id": "proj", "environment": "prod",
        "event_type": "error", "severity": "error", "message": "<b>broke</b>", "fingerprint": format!("{:064x}", 1),
        "attributes": {"route": "/api/checkout", "error_code": "E1"}, "payload": {"n": 1},
        "highlight": {"message": "&lt;b&gt;<mark>broke</mark>&lt;/b&gt;"},
    });
    assert_eq!(body["events"][0], wanted);
    let one = |value: &str| json!([{"value": value, "count": 1}]);
    assert_eq!(
        body["facets"],
        json!({"event_type": one("error"), "severity": one("error"), "environment": one("prod"),
               "error_code": one("E1"), "route": one("/api/checkout")})
    );
    assert_eq!(body["histogram"], json!([{"timestamp": "2026-09-21T14:13:21Z", "count": 1}]));
    assert_eq!(body["histogram_interval_seconds"], 1);
    assert_eq!(
        body["pagination"],
        json!({"total": 1, "limit": 50, "offset": 0, "has_more": false, "next_cursor": null})
    );
    assert_eq!(body["missing_days"], json!([]));
    let alone = searching.rig.get(&format!("/v1/search/events/{id}")).await;
    wanted["highlight"] = Value::Null;
    assert_eq!((alone.status, &alone.body), (200, &wanted));
    assert_eq!(alone.header("cache-control"), Some("private, no-cache"));
    let none = searching.found("q=nothing").await;
    assert_eq!((&none["events"], &none["histogram"]), (&json!([]), &json!([])));
    assert_eq!(none["histogram_interval_seconds"], Value::Null);
}

#[actix_web::test]
async fn every_filter_lets_through_what_it_says() {
    let searching = Searching::new(&[
        event("proj", 1, json!({"environment": "staging", "severity": "warn"})),
        event("proj", 2, json!({"event_type": "signup", "attributes": {}})),
        event(
            "proj",
            3,
            json!({"attributes": {"route": "/a,b", "error_code": "E,2"}, "message": "Grüße \"aus\" Köln"}),
        ),
        event("proj", 4, json!({"event_type": "deploy", "severity": "info"})),
    ])
    .await;
    for (query, wanted) in [
        ("", vec![4, 3, 2, 1]),
        ("environment=staging", vec![1]),
        ("environment=staging&environment=prod&event_type=signup,deploy", vec![4, 2]),
        ("severity=warn,info", vec![4, 1]),
        ("severity=warn&severity=info", vec![4, 1]),
        ("route=/a,b", vec![3]),
        ("route=/a,b&route=/api/checkout", vec![4, 3, 1]),
        ("error_code=E,2", vec![3]),
        ("error_code=e1", vec![]),
        ("q=gr%C3%BC%C3%9Fe", vec![3]),
        ("q=%22aus+k%C3%B6ln%22", vec![3]),
        ("q=brok*+-2", vec![4, 1]),
        ("q=*", vec![4, 3, 2, 1]),
        ("q=%22", vec![4, 3, 2, 1]),
        ("q=-broke", vec![3]),
        (&format!("fingerprint={:064x},{:064x}", 1, 2), vec![2, 1]),
        (&format!("from={}&to={}", time(at(2)), time(at(4))), vec![3, 2]),
        (&format!("to={}", time(at(2))), vec![1]),
        ("project_id=proj&limit=1", vec![4]),
        ("limit=2&offset=1", vec![3, 2]),
        ("offset=9800", vec![]),
    ] {
        assert_eq!(searching.numbers(query).await, wanted, "{query}");
    }
}

#[actix_web::test]
async fn pages_neither_skip_nor_repeat_while_events_come_in() {
    // Many of one moment: the cursor must tell them apart.
    let same = |number: i64| event("proj", number, json!({"occurred_at": at(1_000 + number / 40)}));
    let searching = Searching::new(&(0..200).map(same).collect::<Vec<_>>()).await;
    let (mut seen, mut query, mut fresh) = (Vec::new(), "limit=17&severity=error".to_owned(), 1_000);
    loop {
        let body = searching.found(&query).await;
        assert_eq!(body["pagination"]["offset"], u64::try_from(seen.len()).unwrap());
        seen.extend(numbers(&body));
        searching.store(&[event("proj", fresh, json!({"occurred_at": at(5_000)}))]).await;
        fresh += 1;
        if body["pagination"]["has_more"] != true {
            assert_eq!(body["pagination"]["next_cursor"], Value::Null);
            break;
        }
        let cursor = body["pagination"]["next_cursor"].as_str().unwrap();
        query = format!("limit=17&severity=error&cursor={cursor}");
    }
    let mut sorted = seen.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, (0..200).collect::<Vec<_>>());
}

#[actix_web::test]
async fn nothing_of_another_tenant_is_ever_shown() {
    let secret = json!({
        "message": "topsecret words", "environment": "secretenv", "severity": "critical", "event_type": "feedback",
        "attributes": {"route": "/secret", "error_code": "SECRET"}, "fingerprint": "e".repeat(64),
    });
    let mine = event("proj", 1, json!({}));
    let searching = Searching::new(&[mine, event("other", 2, secret)]).await;
    let theirs = searching.rig.call(Method::GET, "/v1/search/events?limit=1", Some(OTHER), &[]).await;
    assert_eq!(numbers(&theirs.body), [2]);
    let id = theirs.body["events"][0]["id"].as_str().unwrap();
    let fingerprint = "e".repeat(64);
    for query in [
        "",
        "q=topsecret",
        "q=-nothing",
        "q=*",
        "q=project_id:other",
        "environment=secretenv",
        "environment=prod&environment=secretenv",
        "event_type=feedback",
        "severity=critical",
        "route=/secret",
        "error_code=SECRET",
        &format!("fingerprint={fingerprint}"),
        &format!("from={}", time(at(2))),
        &format!("to={}", time(at(3))),
        "offset=1",
        "limit=100",
        "project_id=proj",
    ] {
        let body = searching.found(query).await;
        assert!(numbers(&body).iter().all(|number| *number == 1), "{query}: {body}");
        assert!(body["pagination"]["total"].as_u64().unwrap() <= 1, "{query}");
        assert!(!body.to_string().to_lowercase().contains("secret"), "{query}: {body}");
    }
    let refused = |uri: String, key: &'static str| {
        let rig = &searching.rig;
        async move { rig.call(Method::GET, &uri, Some(key), &[]).await }
    };
    for uri in ["/v1/search/events?project_id=other".to_owned(), format!("/v1/search/events/{id}?project_id=other")] {
        let answer = refused(uri, KEY).await;
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!("other_project")));
    }
    assert_eq!(refused(format!("/v1/search/events/{id}"), KEY).await.status, 404);
    assert_eq!(refused(format!("/v1/search/events/{id}"), OTHER).await.status, 200);
    assert_eq!(refused("/v1/search/events".to_owned(), SENDER).await.body["code"], "missing_scope");
    // A cursor of theirs leads nowhere here.
    searching.store(&[event("other", 3, json!({}))]).await;
    let theirs = refused("/v1/search/events?limit=1".to_owned(), OTHER).await;
    let cursor = theirs.body["pagination"]["next_cursor"].as_str().unwrap();
    assert_eq!(refused(format!("/v1/search/events?limit=1&cursor={cursor}"), KEY).await.status, 400);
}

#[actix_web::test]
async fn hostile_requests_are_refused_by_name_or_answered() {
    let searching = Searching::new(&[event("proj", 1, json!({}))]).await;
    for (query, name) in [
        ("q=%00", "q"),
        ("q=%ff", "q"),
        ("q=a&q=b", "q"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("offset=9801", "offset"),
        ("offset=-1", "offset"),
        ("from=now", "from"),
        ("from=2026-09-21", "from"),
        ("to=99999-01-01T00:00:00Z", "to"),
        ("from=2026-09-22T00:00:00Z&to=2026-09-21T00:00:00Z", "from"),
        ("severity=fatal", "severity"),
        ("event_type=Error", "event_type"),
        ("fingerprint=%25", "fingerprint"),
        ("cursor=bnVsbA", "cursor"),
        ("sort=message", "sort"),
        ("interval=1s", "interval"),
    ] {
        let answer = searching.rig.get(&format!("/v1/search/events?{query}")).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("invalid_query")), "{query}: {:?}", answer.body);
        assert_eq!(answer.body["errors"][0]["pointer"], format!("/{name}"), "{query}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{query}");
    }
    for q in [
        "(a%2B)%2B%24",
        "%22%22%22",
        "-------",
        "***",
        "a*+b*+c*",
        "%7B%22match_all%22:%7B%7D%7D",
        "%F0%9F%92%A5%CC%81",
    ] {
        let answer = searching.rig.get(&format!("/v1/search/events?q={}", q.repeat(200))).await;
        assert_eq!(answer.status, 200, "{q}");
    }
    for times in
        ["from=0001-01-01T00:00:00Z&to=9999-12-31T23:59:59Z", "from=9999-12-31T23:59:59Z", "to=0000-01-01T00:00:00Z"]
    {
        let body = searching.found(times).await;
        assert!(body["histogram"].as_array().unwrap().len() <= 60, "{times}");
    }
    for id in ["x", "%00", "..%2Fx", &"f".repeat(32), &"f".repeat(5_000)] {
        let answer = searching.rig.get(&format!("/v1/search/events/{id}")).await;
        assert!([400, 404].contains(&answer.status), "{id}: {}", answer.status);
    }
    let posted = searching.rig.call(Method::POST, "/v1/search/events", Some(KEY), &[]).await;
    assert_eq!(posted.status, 405);
}

#[actix_web::test]
async fn an_incident_leads_to_its_events() {
    let (mut open, mut resolved) = (incident(10), incident(20));
    (open.first_seen, open.last_seen) = (at(10), at(12));
    (resolved.first_seen, resolved.last_seen, resolved.resolved_at) = (at(20), at(22), Some(at(30)));
    resolved.status = schema::status::IncidentStatus::Resolved;
    let of = |row: &schema::snapshot::IncidentSnapshot, number| {
        event("proj", number, json!({"fingerprint": row.fingerprint}))
    };
    let mut events: Vec<_> = [10, 11, 12, 40].map(|number| of(&open, number)).into();
    events.extend([20, 21, 22, 50].map(|number| of(&resolved, number)));
    events.push(event("proj", 13, json!({})));
    let searching = Searching::new(&events).await;
    searching.rig.filler().await.flush(vec![open.clone(), resolved.clone()]).await;
    let linked = async |id: &str| -> Answer {
        let detail = searching.rig.get(&format!("/v1/incidents/{id}")).await;
        searching.rig.get(detail.body["search"].as_str().unwrap()).await
    };
    // What came after a resolution belongs to another incident.
    assert_eq!(numbers(&linked(&resolved.id).await.body), [22, 21, 20]);
    assert_eq!(numbers(&linked(&open.id).await.body), [40, 12, 11, 10]);
}
