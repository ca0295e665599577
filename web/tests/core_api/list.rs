//! Filters, order, shape and tenancy of the list.

use crate::rig::{Filler, KEY, OTHER, Rig, SENDER, at, incident, named};
use actix_web::http::Method;
use schema::event::Severity;
use schema::status::IncidentStatus::{Investigating, Open, Resolved};
use serde_json::json;

/// Six incidents that differ in everything that can be asked for, and one of another tenant.
async fn six(filler: &mut Filler) {
    let (prod, staging) = ("prod", "staging");
    let mut rows = Vec::new();
    for (number, status, environment, severity, title, error_code, route) in [
        (1, Open, prod, Severity::Warn, "Connection refused", Some("DB_TIMEOUT"), Some("/api/users/:id")),
        (2, Open, staging, Severity::Error, "100% of disk used", None, Some("/api/files")),
        (3, Investigating, prod, Severity::Critical, "snake_case is odd", Some("E_SNAKE"), None),
        (4, Resolved, prod, Severity::Error, r"back\slash", None, None),
        (5, Resolved, "dev,eu", Severity::Info, "Grüße aus Köln", None, None),
        (6, Open, prod, Severity::Debug, "nothing special", Some("dbXtimeout"), None),
    ] {
        let mut row = incident(number);
        (row.status, row.severity) = (status, severity);
        let name = named(&mut row);
        (name.environment, name.title) = (environment.into(), title.into());
        (name.error_code, name.route) = (error_code.map(Into::into), route.map(Into::into));
        row.resolved_at = (status == Resolved).then(|| at(100));
        rows.push(row);
    }
    // Counts that order otherwise than time does.
    for (row, count) in rows.iter_mut().zip([50, 10, 60, 20, 40, 30]) {
        row.event_count = count;
    }
    named(&mut rows[5]).previous_incident_id = Some("01KOLD".into());
    let mut foreign = incident(7);
    let name = named(&mut foreign);
    (name.project_id, name.org_id) = ("other".into(), "org_other".into());
    rows.push(foreign);
    filler.flush(rows).await;
}

/// The last letter of each id: the incident's number.
async fn numbers(rig: &Rig, query: &str) -> String {
    let answer = rig.get(&format!("/v1/incidents?{query}")).await;
    answer.ids().iter().map(|id| id.chars().last().unwrap()).collect()
}

#[actix_web::test]
async fn every_filter_lets_through_what_it_says_and_total_agrees() {
    let rig = Rig::new().await;
    six(&mut rig.filler().await).await;
    for (query, wanted) in [
        ("", "654321"),
        ("status=open", "621"),
        ("status=open,investigating", "6321"),
        ("status=open&status=investigating", "6321"),
        ("status=resolved", "54"),
        ("status=open&status=open", "621"),
        ("status=", "654321"),
        ("environment=prod", "6431"),
        ("environment=prod&environment=staging", "64321"),
        ("environment=dev,eu", "5"),
        ("environment=PROD", ""),
        ("severity=critical", "3"),
        ("severity=error,warn", "421"),
        ("severity=debug&severity=info", "65"),
        ("status=open&environment=prod&severity=warn", "1"),
        ("project_id=proj", "654321"),
        ("q=connection", "1"),
        ("q=db_timeout", "1"),
        ("q=timeout", "61"),
        ("q=USERS/:ID", "1"),
        ("q=%25", "2"),
        ("q=100%25", "2"),
        ("q=_", "31"),
        ("q=%5C", "4"),
        ("q=%5C%5C", ""),
        ("q='%20OR%20'1'='1", ""),
        ("q=gr%C3%BC%C3%9Fe", "5"),
        ("q=%F0%9F%92%A5", ""),
        ("q=00000000000000000000000000000000000000000000000000000000000004", "4"),
        ("q=disk&status=open&environment=staging", "2"),
        ("q=disk&status=resolved", ""),
    ] {
        assert_eq!(numbers(&rig, query).await, wanted, "{query}");
        let answer = rig.get(&format!("/v1/incidents?{query}")).await;
        assert_eq!(answer.body["pagination"]["total"], wanted.len(), "{query}");
    }
}

#[actix_web::test]
async fn every_sort_has_both_directions() {
    let rig = Rig::new().await;
    let mut filler = rig.filler().await;
    six(&mut filler).await;
    let mut late = incident(2);
    named(&mut late).environment = "staging".into();
    (late.last_seen, late.event_count) = (at(9_999), 11);
    filler.flush(vec![late]).await;
    for (sort, wanted) in [
        ("last_seen_at", "265431"),
        ("last_seen_at:desc", "265431"),
        ("last_seen:asc", "134562"),
        ("event_count", "315642"),
        ("event_count:asc", "246513"),
        ("opened_at:desc", "654321"),
        ("opened_at:asc", "123456"),
        ("first_seen:asc", "123456"),
    ] {
        assert_eq!(numbers(&rig, &format!("sort={sort}")).await, wanted, "{sort}");
    }
}

#[actix_web::test]
async fn an_incident_has_the_shape_that_was_promised() {
    let rig = Rig::new().await;
    six(&mut rig.filler().await).await;
    let answer = rig.get("/v1/incidents?limit=2&status=open,resolved&sort=opened_at").await;
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    assert_eq!(
        answer.body["incidents"][0],
        json!({
            "id": format!("01K{:023}", 6), "org_id": "org", "project_id": "proj", "environment": "prod",
            "fingerprint": format!("{:064x}", 6), "status": "open", "severity": "debug", "title": "nothing special",
            "event_count": 30, "opened_at": "2026-09-21T14:13:26Z", "last_seen_at": "2026-09-21T14:13:26Z",
            "resolved_at": null, "regression": true, "previous_incident_id": "01KOLD",
        })
    );
    assert_eq!(answer.body["incidents"][1]["resolved_at"], "2026-09-21T14:15:00Z");
    assert_eq!(answer.body["incidents"][1]["regression"], false);
    assert_eq!(answer.body["complete_until"], "2026-09-21T14:13:21Z");
    let pagination = &answer.body["pagination"];
    assert!(pagination["next_cursor"].is_string());
    assert_eq!((&pagination["total"], &pagination["limit"]), (&json!(5), &json!(2)));
    assert_eq!((&pagination["offset"], &pagination["has_more"]), (&json!(0), &json!(true)));
}

#[actix_web::test]
async fn an_empty_project_has_an_empty_list() {
    let rig = Rig::new().await;
    let answer = rig.get("/v1/incidents").await;
    let none = json!({"total": 0, "limit": 50, "offset": 0, "has_more": false, "next_cursor": null});
    assert_eq!(answer.body, json!({"incidents": [], "pagination": none, "complete_until": null}));
}

#[actix_web::test]
async fn another_tenants_key_sees_nothing_of_this_one() {
    let rig = Rig::new().await;
    six(&mut rig.filler().await).await;
    let theirs = rig.call(Method::GET, "/v1/incidents", Some(OTHER), &[]).await;
    assert_eq!(theirs.ids(), [format!("01K{:023}", 7)]);
    assert_eq!(theirs.body["pagination"]["total"], 1);
    let asked = rig.call(Method::GET, "/v1/incidents?project_id=proj", Some(OTHER), &[]).await;
    assert_eq!((asked.status, &asked.body["code"]), (403, &json!("other_project")));
    for uri in ["/v1/incidents?q=connection", "/v1/incidents?environment=staging", "/v1/incidents?status=investigating"]
    {
        assert!(rig.call(Method::GET, uri, Some(OTHER), &[]).await.ids().is_empty(), "{uri}");
    }
    let own = format!("/v1/incidents/01K{:023}", 1);
    assert_eq!(rig.call(Method::GET, &own, Some(KEY), &[]).await.status, 200);
    let stolen = rig.call(Method::GET, &own, Some(OTHER), &[("if-none-match", "*")]).await;
    assert_eq!((stolen.status, &stolen.body["code"]), (404, &json!("not_found")));
    let figures = rig.call(Method::GET, "/v1/metrics/overview", Some(OTHER), &[]).await;
    assert_eq!(figures.body["incidents"]["total"], 1);
    let cursor = rig.get("/v1/incidents?limit=2").await.body["pagination"]["next_cursor"].as_str().unwrap().to_owned();
    let borrowed = rig.call(Method::GET, &format!("/v1/incidents?limit=2&cursor={cursor}"), Some(OTHER), &[]).await;
    assert_eq!(borrowed.status, 400, "a cursor of another tenant's list");
}

#[actix_web::test]
async fn nobody_reads_without_a_key_that_may() {
    let rig = Rig::new().await;
    for uri in
        ["/v1/incidents", "/v1/incidents/01K", "/v1/metrics/overview", "/v1/metrics/trends", "/v1/incidents?limit=0"]
    {
        let answer = rig.call(Method::GET, uri, None, &[]).await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("missing_key")), "{uri}");
        assert!(answer.header("www-authenticate").is_some());
        let answer = rig.call(Method::GET, uri, Some("sk_nobody"), &[]).await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("unknown_key")), "{uri}");
        let answer = rig.call(Method::GET, uri, Some(SENDER), &[]).await;
        assert_eq!((answer.status, &answer.body["code"]), (403, &json!("missing_scope")), "{uri}");
    }
}
