//! One incident: shape, samples, trend, deploys, summary, ETag.

use crate::rig::{KEY, Rig, at, bucket, incident, sample, trend};
use actix_web::http::Method;
use chrono::TimeDelta;
use schema::snapshot::{Cause, Transition};
use schema::status::IncidentStatus;
use serde_json::{Value, json};

fn uri(number: i64) -> String {
    format!("/v1/incidents/{}", incident(number).id)
}

fn step(number: i64, offset: i64, from: Option<IncidentStatus>, to: IncidentStatus, cause: Cause) -> Transition {
    Transition {
        incident_id: incident(number).id.clone(),
        log_offset: offset,
        from_status: from,
        to_status: to,
        cause,
        occurred_at: at(offset),
    }
}

#[actix_web::test]
async fn an_incident_comes_with_all_that_is_kept_of_it() {
    let rig = Rig::new().await;
    let mut filler = rig.filler().await;
    let row = incident(30);
    filler
        .flush_with(vec![row.clone()], |batch| {
            batch.samples = vec![sample(&row, 1, r#"{"n": 1.50,"odd":"\ud800"}"#), sample(&row, 2, r#"{"n": 1.50}"#)];
            let command = Cause::Command { command_id: "c1".into(), principal: "key_own".into() };
            batch.transitions = vec![
                step(30, 5, Some(IncidentStatus::Open), IncidentStatus::Investigating, command),
                step(30, 1, None, IncidentStatus::Open, Cause::Event { event_id: "e1".into() }),
            ];
        })
        .await;
    let answer = rig.get(&uri(30)).await;
    assert_eq!(answer.status, 200);
    let listed = rig.get("/v1/incidents").await;
    assert_eq!(answer.body["incident"], listed.body["incidents"][0]);
    assert_eq!(answer.body["complete_until"], listed.body["complete_until"]);
    assert_eq!(
        answer.body["events"][0],
        json!({"id": format!("{}-2", row.id), "event_id": "e2", "occurred_at": "2026-09-21T14:13:22Z",
               "event_type": "error", "severity": "error", "message": "it broke 2 times", "attributes": {"n": 1.5}})
    );
    assert_eq!(answer.body["events"][1]["attributes"], json!({"unreadable": r#"{"n": 1.50,"odd":"\ud800"}"#}));
    assert_eq!(
        answer.body["transitions"],
        json!([
            {"from": null, "to": "open", "cause": "event", "event_id": "e1", "command_id": null, "principal": null,
             "occurred_at": "2026-09-21T14:13:21Z"},
            {"from": "open", "to": "investigating", "cause": "command", "event_id": null, "command_id": "c1",
             "principal": "key_own", "occurred_at": "2026-09-21T14:13:25Z"},
        ])
    );
    assert_eq!(answer.body["ai_summary"], Value::Null);
    assert_eq!(answer.body["deploys_nearby"], json!([]));
}

#[actix_web::test]
async fn the_trend_is_of_the_incidents_own_time_and_leaves_no_minute_out() {
    let rig = Rig::new().await;
    let mut filler = rig.filler().await;
    let (mut short, mut long) = (incident(1), incident(2));
    // Minute boundaries of the test's time lie at 40 + 60 n.
    (short.first_seen, short.last_seen) = (at(40), at(40 + 4 * 60 + 59));
    (long.first_seen, long.last_seen) = (at(40), at(40) + TimeDelta::days(400));
    let minute = TimeDelta::minutes(1);
    let trends = [
        trend(&short, at(40) - minute, 100),
        trend(&short, at(40), 3),
        trend(&short, at(40) + minute * 3, 4),
        trend(&short, at(40) + minute * 5, 100),
        trend(&long, at(40) + minute, 1),
        trend(&long, long.last_seen, 9),
    ];
    filler.flush_with(vec![short, long], |batch| batch.buckets = vec![bucket("events.error", at(40), 100)]).await;
    for trend in trends {
        filler.flush_with(vec![], |batch| batch.trends = vec![trend]).await;
    }
    let trend = rig.get(&uri(1)).await.body["trend"].clone();
    let values: Vec<i64> = trend.as_array().unwrap().iter().map(|minute| minute["value"].as_i64().unwrap()).collect();
    assert_eq!(values, [3, 0, 0, 4, 0]);
    assert_eq!(trend[0]["timestamp"], "2026-09-21T14:14:00Z");
    let trend = rig.get(&uri(2)).await.body["trend"].clone();
    let minutes = trend.as_array().unwrap();
    assert_eq!((minutes.len(), &minutes[1439]["value"]), (1440, &json!(9)));
    assert_eq!(minutes.iter().map(|minute| minute["value"].as_i64().unwrap()).sum::<i64>(), 9);
}

#[actix_web::test]
async fn deploys_are_near_for_half_an_hour_in_the_same_environment() {
    let rig = Rig::new().await;
    let mut filler = rig.filler().await;
    let (mut row, minute) = (incident(1), TimeDelta::minutes(1));
    row.first_seen = at(40);
    filler
        .flush_with(vec![row], |batch| {
            let deploy = |minutes: i32, value| bucket("events.deploy", at(40) + minute * minutes, value);
            batch.buckets = vec![deploy(-31, 1), deploy(-30, 2), deploy(-1, 3), deploy(30, 4), deploy(31, 5)];
            let mut elsewhere = deploy(0, 6);
            elsewhere.environment = "staging".into();
            batch.buckets.push(elsewhere);
            batch.buckets.push(bucket("events.error", at(40), 7));
        })
        .await;
    let deploys = rig.get(&uri(1)).await.body["deploys_nearby"].clone();
    let values: Vec<i64> = deploys.as_array().unwrap().iter().map(|minute| minute["value"].as_i64().unwrap()).collect();
    assert_eq!(values, [2, 3, 4]);
    assert_eq!(deploys[1]["timestamp"], "2026-09-21T14:13:00Z");
}

#[actix_web::test]
async fn an_etag_changes_with_the_incident_its_summary_and_the_deploys_around_it_only() {
    let rig = Rig::new().await;
    let mut filler = rig.filler().await;
    filler.flush(vec![incident(1), incident(2)]).await;
    let tag = |answer: &crate::rig::Answer| answer.header("etag").unwrap().to_owned();
    let first = tag(&rig.get(&uri(1)).await);
    assert!(first.starts_with("W/\""), "{first}");
    let ask = async |known: &str| rig.call(Method::GET, &uri(1), Some(KEY), &[("if-none-match", known)]).await;

    let unchanged = ask(&first).await;
    assert_eq!((unchanged.status, &unchanged.body), (304, &Value::Null));
    assert_eq!(tag(&unchanged), first);
    filler.flush(vec![incident(3)]).await;
    for known in [first.as_str(), "*", &format!("\"x\", {first}")] {
        assert_eq!(ask(known).await.status, 304, "{known}");
    }
    for other in ["\"x\"", "W/\"x\"", &tag(&rig.get(&uri(2)).await)] {
        assert_eq!(ask(other).await.status, 200, "{other}");
    }

    let mut counted = incident(1);
    counted.event_count = 2;
    filler.flush(vec![counted]).await;
    let changed = ask(&first).await;
    assert_eq!((changed.status, &changed.body["incident"]["event_count"]), (200, &json!(2)));
    let second = tag(&changed);
    assert_ne!(second, first);
    for words in ["first", "second"] {
        let known = tag(&rig.get(&uri(1)).await);
        rig.summarize(&incident(1).id, &json!({"title": words})).await;
        let written = ask(&known).await;
        assert_eq!((written.status, &written.body["ai_summary"]["title"]), (200, &json!(words)));
    }
    for deploys in [1, 2] {
        let known = tag(&rig.get(&uri(1)).await);
        filler
            .flush_with(Vec::new(), |batch| batch.buckets = vec![bucket("events.deploy", incident(1).first_seen, 1)])
            .await;
        let deployed = ask(&known).await;
        assert_eq!((deployed.status, &deployed.body["deploys_nearby"][0]["value"]), (200, &json!(deploys)));
    }
}

#[actix_web::test]
async fn a_summary_is_shown_if_it_can_be_read_and_never_hides_the_incident() {
    let rig = Rig::new().await;
    rig.filler().await.flush(vec![incident(1), incident(2)]).await;
    let summary = json!({"title": "t", "impact": "i", "likely_causes": ["c"], "evidence": ["e"], "next_steps": ["n"],
        "confidence": 0.5, "model": "m", "generated_at": "2026-09-21T14:13:22Z", "cited_event_ids": ["e1"]});
    rig.summarize(&incident(1).id, &summary).await;
    rig.summarize(&incident(2).id, &json!([1])).await;
    assert_eq!(rig.get(&uri(1)).await.body["ai_summary"], summary);
    let odd = rig.get(&uri(2)).await;
    assert_eq!((odd.status, &odd.body["ai_summary"]), (200, &Value::Null));
}

#[actix_web::test]
async fn what_is_not_there_is_not_found() {
    let rig = Rig::new().await;
    rig.filler().await.flush(vec![incident(1)]).await;
    let long = "A".repeat(5_000);
    for id in ["01KNOBODY", "%00", "01K%00", "..%2f..", "%ff", "a'--", "%F0%9F%92%A5", long.as_str(), "1%2f2", "%25"] {
        let answer = rig.get(&format!("/v1/incidents/{id}")).await;
        assert_eq!((answer.status, &answer.body["code"]), (404, &json!("not_found")), "{id}");
    }
}
