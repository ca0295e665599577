//! Overview and trends.

use crate::rig::{Rig, bucket, incident};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use schema::status::IncidentStatus;
use serde_json::json;

/// The database's clock; no incident is opened or resolved by it, the windows of the figures end at it.
async fn now(rig: &Rig) -> DateTime<Utc> {
    use diesel_async::RunQueryDsl;
    #[derive(diesel::QueryableByName)]
    struct Now {
        #[diesel(sql_type = diesel::sql_types::Timestamptz)]
        now: DateTime<Utc>,
    }
    let mut connection = rig.database.connect().await;
    diesel::sql_query("SELECT now()").get_result::<Now>(&mut connection).await.unwrap().now
}

#[actix_web::test]
async fn the_overview_adds_up() {
    let rig = Rig::new().await;
    let now = now(&rig).await;
    let minute = |ago: i64| (now - TimeDelta::minutes(ago)).duration_trunc(TimeDelta::minutes(1)).unwrap();
    let mut rows: Vec<_> = (1..=6).map(incident).collect();
    rows[0].status = IncidentStatus::Investigating;
    for (row, hours) in rows[1..4].iter_mut().zip([1, 23, 25]) {
        row.status = IncidentStatus::Resolved;
        row.resolved_at = Some(now - TimeDelta::hours(hours));
    }
    let opened = rows.split_off(3);
    rig.filler()
        .await
        .flush_with(rows, |batch| {
            batch.opened = opened;
            batch.buckets = vec![
                bucket("events.error", minute(5), 90),
                bucket("events.error", minute(90), 10),
                bucket("events.error", minute(60 * 25), 1_000),
                bucket("events.signup", minute(600), 36),
                bucket("events.http_request", minute(5), 1_000),
            ];
            let mut staging = bucket("events.error", minute(5), 30);
            staging.environment = "staging".into();
            batch.buckets.push(staging);
            let mut foreign = bucket("events.error", minute(5), 1_000);
            foreign.project_id = "other".into();
            batch.buckets.push(foreign);
        })
        .await;
    let jobs = |number: i64, status: &str| {
        format!("UPDATE ai_jobs SET status = '{status}' WHERE incident_id = '{}'", incident(number).id)
    };
    rig.execute(&jobs(5, "succeeded")).await;
    rig.execute(&jobs(4, "failed")).await;
    rig.execute(
        "INSERT INTO ai_outputs (id, job_id, incident_id, project_id, output_type, model, prompt_version, input_hash, \
             content, confidence) SELECT 'o', id, incident_id, project_id, 'summary', 'm', '1', 'h', '{}', 0.5 FROM ai_jobs \
         WHERE status = 'succeeded'",
    )
    .await;
    assert_eq!(
        rig.get("/v1/metrics/overview").await.body,
        json!({
            "incidents": {"total": 6, "open": 2, "investigating": 1, "resolved_last_24h": 2},
            "errors": {"total_last_24h": 130, "rate_per_minute": 2.0},
            "signups": {"total_last_24h": 36, "rate_per_hour": 1.5},
            "ai": {"total_summaries": 1, "success_rate": 50.0, "pending_jobs": 1},
        })
    );
}

#[actix_web::test]
async fn trends_have_every_step_and_a_summary_of_them() {
    let rig = Rig::new().await;
    let hour_ago = (now(&rig).await - TimeDelta::minutes(30)).duration_trunc(TimeDelta::minutes(1)).unwrap();
    rig.filler()
        .await
        .flush_with(vec![], |batch| {
            batch.buckets = vec![
                bucket("events.error", hour_ago, 30),
                bucket("events.error", hour_ago + TimeDelta::minutes(1), 60),
                bucket("events.signup", hour_ago, 5),
            ];
        })
        .await;
    for (query, metric, period, steps, total) in [
        ("", "errors", "24h", 96, 90),
        ("metric=errors&period=1h", "errors", "1h", 60, 90),
        ("metric=signups&period=7d", "signups", "7d", 84, 5),
        ("metric=requests", "requests", "24h", 96, 0),
    ] {
        let body = rig.get(&format!("/v1/metrics/trends?{query}")).await.body;
        assert_eq!((&body["metric"], &body["period"]), (&json!(metric), &json!(period)));
        let values: Vec<i64> = body["data"].as_array().unwrap().iter().map(|p| p["value"].as_i64().unwrap()).collect();
        assert_eq!((values.len(), values.iter().sum::<i64>()), (steps, total), "{query}");
        let summary = &body["summary"];
        assert_eq!(summary["total"], total, "{query}");
        assert_eq!(summary["max"].as_i64(), values.iter().copied().max());
        assert_eq!(summary["min"].as_i64(), values.iter().copied().min());
        let average = (total as f64 / steps as f64 * 100.0).round() / 100.0;
        assert_eq!(summary["average"], json!(average), "{query}");
    }
    let minutes = rig.get("/v1/metrics/trends?period=1h").await.body;
    let full = minutes["data"].as_array().unwrap().iter().find(|point| point["value"] == 60).unwrap();
    let at: DateTime<Utc> = full["timestamp"].as_str().unwrap().parse().unwrap();
    assert_eq!(at, hour_ago + TimeDelta::minutes(1));
}
