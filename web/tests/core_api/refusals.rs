//! Hostile and mistaken requests: each has its 4xx, none reaches 5xx.

use crate::rig::{KEY, Rig, incident, named};
use actix_web::http::Method;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

/// (query, the parameter that the refusal names).
const CASES: &[(&str, &str)] = &[
    ("limit=0", "limit"),
    ("limit=-1", "limit"),
    ("limit=101", "limit"),
    ("limit=99999999999999999999999999", "limit"),
    ("limit=-9223372036854775809", "limit"),
    ("limit=1.5", "limit"),
    ("limit=1e2", "limit"),
    ("limit=0x10", "limit"),
    ("limit=NaN", "limit"),
    ("limit=ten", "limit"),
    ("limit=+5", "limit"),
    ("limit=%D9%A5", "limit"),
    ("limit=5%00", "limit"),
    ("limit=5&limit=6", "limit"),
    ("offset=-1", "offset"),
    ("offset=1000001", "offset"),
    ("offset=9223372036854775808", "offset"),
    ("offset=x", "offset"),
    ("offset=1&offset=1", "offset"),
    ("status=opened", "status"),
    ("status=OPEN", "status"),
    ("status=open%00", "status"),
    ("status=open,,resolved", "status"),
    ("status=open;DROP%20TABLE%20incidents", "status"),
    ("status=open&status=closed", "status"),
    ("status=%ff", "status"),
    ("status=null", "status"),
    ("severity=fatal", "severity"),
    ("severity=Error", "severity"),
    ("severity=error,bogus", "severity"),
    ("severity=4", "severity"),
    ("severity[]=error", "severity[]"),
    ("environment=%00", "environment"),
    ("environment=prod%00", "environment"),
    ("environment=%c3%28", "environment"),
    ("q=%00", "q"),
    ("q=a%00b", "q"),
    ("q=%ff%fe", "q"),
    ("q=%ed%a0%80", "q"),
    ("q=a&q=b", "q"),
    ("sort=title", "sort"),
    ("sort=last_seen_at:down", "sort"),
    ("sort=:asc", "sort"),
    ("sort=last_seen_at:", "sort"),
    ("sort=event_count:asc:desc", "sort"),
    ("sort=-event_count", "sort"),
    ("sort=event_count;select%201", "sort"),
    ("sort=event_count&sort=opened_at", "sort"),
    ("cursor=abc", "cursor"),
    ("cursor=%25%25", "cursor"),
    ("cursor=%00", "cursor"),
    ("cursor=eyJ9", "cursor"),
    ("cursor=bnVsbA", "cursor"),
    ("cursor=bnVsbA==", "cursor"),
    ("cursor=a&cursor=b", "cursor"),
    ("cursor=bnVsbA&offset=1", "offset"),
    ("stauts=open", "stauts"),
    ("page=2", "page"),
    ("Limit=5", "Limit"),
    ("=5", ""),
    ("%00=5", ""),
    ("%ff=5", "query"),
    ("__proto__=1", "__proto__"),
    ("project_id=proj&project_id=proj", "project_id"),
];

#[actix_web::test]
async fn each_bad_parameter_is_refused_by_name() {
    let rig = Rig::new().await;
    rig.filler().await.flush((0..5).map(incident).collect()).await;
    let mut cases: Vec<(String, &str)> = CASES.iter().map(|(query, name)| ((*query).to_owned(), *name)).collect();
    cases.push((format!("q={}", "a".repeat(201)), "q"));
    cases.push((format!("q={}", "a".repeat(60_000)), "q"));
    cases.push((format!("environment={}", "e".repeat(201)), "environment"));
    cases.push((vec!["environment=e"; 21].join("&"), "environment"));
    cases.push((vec!["status=open"; 101].join("&"), "status"));
    cases.push((format!("cursor={}", "A".repeat(600)), "cursor"));
    for (query, name) in cases {
        let answer = rig.get(&format!("/v1/incidents?{query}")).await;
        let shown = &query[..query.len().min(60)];
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("invalid_query")), "{shown}: {:?}", answer.body);
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{shown}");
        assert_eq!(answer.body["errors"][0]["pointer"], format!("/{name}"), "{shown}");
        assert!(answer.body["detail"].as_str().unwrap().starts_with(&format!("{name}: ")), "{shown}");
        assert!(answer.body["request_id"].is_string(), "{shown}");
    }
}

#[actix_web::test]
async fn a_forged_cursor_is_refused_or_shows_nothing_but_the_own_list() {
    let rig = Rig::new().await;
    let mut foreign = incident(9);
    named(&mut foreign).project_id = "other".into();
    let mut rows: Vec<_> = (0..5).map(incident).collect();
    rows.push(foreign);
    rig.filler().await.flush(rows).await;
    let real = rig.get("/v1/incidents?limit=2").await.body["pagination"]["next_cursor"].as_str().unwrap().to_owned();
    let wire: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(&real).unwrap()).unwrap();
    let forge = |member: &str, value: Value| {
        let mut wire = wire.clone();
        wire[member] = value;
        URL_SAFE_NO_PAD.encode(wire.to_string())
    };
    for (member, value) in [
        ("key", json!(i64::MAX)),
        ("key", json!(i64::MIN)),
        ("key", json!(1.5)),
        ("key", json!("1")),
        ("key", json!(null)),
        ("id", json!("'; DROP TABLE incidents; --")),
        ("id", json!("\u{0}")),
        ("id", json!("A".repeat(65))),
        ("id", json!(7)),
        ("walked", json!(-1)),
        ("walked", json!(i64::MAX)),
        ("list", json!("000000000000")),
        ("v", json!(2)),
        ("more", json!(1)),
    ] {
        let answer = rig.get(&format!("/v1/incidents?limit=2&cursor={}", forge(member, value.clone()))).await;
        assert_eq!((answer.status, &answer.body["code"]), (400, &json!("invalid_query")), "{member} {value}");
        assert_eq!(answer.body["errors"][0]["pointer"], "/cursor");
    }
    for query in ["sort=opened_at", "sort=last_seen_at:asc", "status=open", "q=a", "environment=prod", "severity=error"]
    {
        let answer = rig.get(&format!("/v1/incidents?{query}&cursor={real}")).await;
        assert_eq!((answer.status, &answer.body["errors"][0]["pointer"]), (400, &json!("/cursor")), "{query}");
    }
    // A place that nobody gave out is a place all the same: in the own list.
    for key in [0_i64, 253_402_300_799_000_000, -188_000_000_000_000_000, 1_790_000_003_000_000] {
        let answer = rig.get(&format!("/v1/incidents?cursor={}", forge("key", json!(key)))).await;
        assert!(answer.ids().iter().all(|id| (0..5).any(|own| *id == incident(own).id)), "{key}");
    }
}

#[actix_web::test]
async fn the_other_resources_refuse_as_well() {
    let rig = Rig::new().await;
    rig.filler().await.flush(vec![incident(1)]).await;
    let own = incident(1).id.clone();
    for (uri, status, code) in [
        ("/v1/metrics/trends?metric=latency".to_owned(), 400, "invalid_query"),
        ("/v1/metrics/trends?metric=errors&metric=errors".to_owned(), 400, "invalid_query"),
        ("/v1/metrics/trends?metric=errors%00".to_owned(), 400, "invalid_query"),
        ("/v1/metrics/trends?period=2h".to_owned(), 400, "invalid_query"),
        ("/v1/metrics/trends?period=-1h".to_owned(), 400, "invalid_query"),
        ("/v1/metrics/trends?from=0".to_owned(), 400, "invalid_query"),
        ("/v1/metrics/trends?project_id=other".to_owned(), 403, "other_project"),
        ("/v1/metrics/overview?project_id=other".to_owned(), 403, "other_project"),
        ("/v1/metrics/overview?period=1h".to_owned(), 400, "invalid_query"),
        (format!("/v1/incidents/{own}?expand=all"), 400, "invalid_query"),
        ("/v1/incidents/".to_owned(), 404, "not_found"),
        (format!("/v1/incidents/{own}/"), 404, "not_found"),
        (format!("/v1/incidents/{own}/resolve/now"), 404, "not_found"),
        ("/v1/nothing".to_owned(), 404, "not_found"),
    ] {
        let answer = rig.get(&uri).await;
        assert_eq!((answer.status, &answer.body["code"]), (status, &json!(code)), "{uri}");
    }
    for (method, uri, allow) in [
        (Method::POST, "/v1/incidents".to_owned(), "GET"),
        (Method::DELETE, format!("/v1/incidents/{own}"), "GET"),
        (Method::GET, format!("/v1/incidents/{own}/resolve"), "POST"),
        (Method::PUT, "/v1/metrics/overview".to_owned(), "GET"),
    ] {
        let answer = rig.call(method.clone(), &uri, Some(KEY), &[]).await;
        assert_eq!((answer.status, &answer.body["code"]), (405, &json!("method_not_allowed")), "{method} {uri}");
        assert_eq!(
            (answer.header("allow"), answer.body["request_id"].is_string()),
            (Some(allow), true),
            "{method} {uri}"
        );
    }
}

#[actix_web::test]
async fn a_database_that_is_gone_is_503_and_says_when_to_come_back() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/v1/incidents").await.status, 200);
    rig.state.database.close();
    let answer = rig.get("/v1/incidents").await;
    assert_eq!((answer.status, answer.header("retry-after").is_some()), (503, true), "{:?}", answer.body);
}

#[actix_web::test]
async fn a_connection_that_breaks_under_a_request_is_503_and_the_next_request_works() {
    let rig = Rig::new().await;
    assert_eq!(rig.get("/v1/incidents").await.status, 200);
    let breaker = async {
        // Holds the list up, waits until it is held up, then ends its connection.
        rig.execute(
            "DO $$ BEGIN
                 LOCK TABLE incidents IN ACCESS EXCLUSIVE MODE;
                 FOR attempt IN 1..3000 LOOP
                     PERFORM pg_sleep(0.01);
                     PERFORM pg_stat_clear_snapshot();
                     PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                         WHERE datname = current_database() AND wait_event_type = 'Lock';
                     IF FOUND THEN RETURN; END IF;
                 END LOOP;
                 RAISE 'nobody was held up';
             END $$",
        )
        .await;
    };
    let asked = async {
        // Asks until the lock is there and the answer is not the usual one.
        loop {
            let answer = rig.get("/v1/incidents").await;
            if answer.status != 200 {
                return answer;
            }
        }
    };
    let (answer, ()) = futures_util::future::join(asked, breaker).await;
    assert_eq!((answer.status, &answer.body["code"]), (503, &json!("database_unavailable")), "{:?}", answer.body);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(rig.get("/v1/incidents").await.status, 200);
}
