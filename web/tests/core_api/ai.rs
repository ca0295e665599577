//! Summaries: how they do, asking for one, and comparing one with what would be written now.

use crate::model_server::{ModelServer, Reply};
use crate::rig::{Answer, KEY, OTHER, READER, Rig, SENDER, incident, sample};
use actix_web::http::Method;
use actors::summarizer::config::PoolConfig;
use actors::summarizer::model::{ErrorKind, ModelClient, ModelConfig};
use actors::summarizer::pool::SummarizerPool;
use actors::summarizer::rerun::{Rerun, RerunError, rerun};
use schema::ai::DETERMINISTIC;
use schema::event::Severity;
use serde_json::{Value, json};
use std::time::Duration;

/// Incidents of these numbers, each opened by a sample of its own and with its job queued.
async fn filled(numbers: std::ops::RangeInclusive<i64>) -> Rig {
    let rig = Rig::new().await;
    let opened: Vec<_> = numbers.map(incident).collect();
    let samples = opened.iter().map(|incident| sample(incident, incident.event_count, "{}")).collect();
    rig.filler().await.flush_with(vec![], |batch| (batch.opened, batch.samples) = (opened, samples)).await;
    rig
}

/// Ends the incident's job well with an output of this model, so long ago.
async fn explain(rig: &Rig, number: i64, model: &str, confidence: f64, hours_ago: i64) {
    let id = &incident(number).id;
    rig.execute(&format!("UPDATE ai_jobs SET status = 'succeeded', attempt_count = 1 WHERE incident_id = '{id}'"))
        .await;
    rig.execute(&format!(
        "INSERT INTO ai_outputs (id, job_id, incident_id, project_id, output_type, model, prompt_version, input_hash, content, \
             confidence, created_at) \
         SELECT 'output-{number}', id, incident_id, project_id, 'summary', '{model}', '1', 'h', '{{\"title\": \"T{number}\"}}', \
             {confidence}, now() - interval '{hours_ago} hours' FROM ai_jobs WHERE incident_id = '{id}'"
    ))
    .await;
}

/// The numbers of the incidents that are named in a list.
fn numbers(answer: &Answer, list: &str) -> Vec<i64> {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    let rows = answer.body[list].as_array().unwrap().iter();
    rows.map(|row| row["incident_id"].as_str().unwrap().trim_start_matches("01K").parse().unwrap()).collect()
}

#[actix_web::test]
async fn the_figures_are_those_of_the_project() {
    let rig = filled(1..=6).await;
    let nothing = rig.call(Method::GET, "/v1/ai/stats", Some(OTHER), &[]).await;
    assert_eq!(
        nothing.body,
        json!({"total_summaries": 0, "summaries_last_24h": 0, "success_rate": 0.0, "avg_confidence": 0.0, "tokens_today": 0,
            "jobs_by_status": {"queued": 0, "running": 0, "succeeded": 0, "failed": 0}, "models_used": []})
    );
    for (number, model, confidence, hours_ago) in [(1, "m", 0.5, 1), (2, DETERMINISTIC, 0.3, 30), (3, "m", 0.9, 2)] {
        explain(&rig, number, model, confidence, hours_ago).await;
    }
    for (number, status) in [(4, "failed"), (5, "running")] {
        rig.execute(&format!("UPDATE ai_jobs SET status = '{status}' WHERE incident_id = '{}'", incident(number).id))
            .await;
    }
    rig.execute(&format!(
        "INSERT INTO ai_spend (incident_id, day, calls, tokens) VALUES ('{0}', (now() AT TIME ZONE 'UTC')::date, 1, 700), \
             ('{0}', (now() AT TIME ZONE 'UTC')::date - 1, 1, 9000)",
        incident(1).id
    ))
    .await;
    assert_eq!(
        rig.get("/v1/ai/stats").await.body,
        json!({"total_summaries": 3, "summaries_last_24h": 2, "success_rate": 75.0, "avg_confidence": 0.567, "tokens_today": 700,
            "jobs_by_status": {"queued": 1, "running": 1, "succeeded": 3, "failed": 1},
            "models_used": [{"model": "m", "count": 2}, {"model": DETERMINISTIC, "count": 1}]})
    );
}

#[actix_web::test]
async fn summaries_are_listed_newest_first_page_by_page() {
    let rig = filled(1..=5).await;
    for number in 1..=4 {
        explain(&rig, number, "m", 0.5, number).await;
    }
    let first = rig.get("/v1/ai/activity?limit=3").await;
    assert_eq!(numbers(&first, "activity"), [1, 2, 3]);
    assert_eq!(first.body["pagination"], json!({"total": 4, "limit": 3, "offset": 0, "has_more": true}));
    let row = &first.body["activity"][0];
    let expected = json!({
        "id": "output-1", "incident_id": incident(1).id, "incident_title": "failure number 1", "incident_severity": "error",
        "output_type": "summary", "model": "m", "confidence": 0.5, "title": "T1", "created_at": row["created_at"],
    });
    assert_eq!(*row, expected);
    assert!(row["created_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{row}");
    let last = rig.get("/v1/ai/activity?limit=3&offset=3").await;
    assert_eq!((numbers(&last, "activity"), &last.body["pagination"]["has_more"]), (vec![4], &json!(false)));
    let foreign = rig.call(Method::GET, "/v1/ai/activity", Some(OTHER), &[]).await;
    assert_eq!(foreign.body["pagination"]["total"], 0);
}

#[actix_web::test]
async fn jobs_are_listed_by_their_status() {
    let rig = filled(1..=4).await;
    explain(&rig, 2, "m", 0.5, 1).await;
    rig.execute(&format!(
        "UPDATE ai_jobs SET status = 'failed', attempt_count = 3, last_error = 'no model is there' WHERE incident_id = '{}'",
        incident(3).id
    ))
    .await;
    let all = rig.get("/v1/ai/jobs?limit=100").await;
    assert_eq!((numbers(&all, "jobs").len(), &all.body["pagination"]["total"]), (4, &json!(4)));
    let failed = rig.get("/v1/ai/jobs?status=failed").await;
    assert_eq!(numbers(&failed, "jobs"), [3]);
    let job = &failed.body["jobs"][0];
    for (name, value) in [
        ("incident_title", json!("failure number 3")),
        ("job_type", json!("summarize")),
        ("status", json!("failed")),
        ("attempt_count", json!(3)),
        ("max_attempts", json!(3)),
        ("leased_until", Value::Null),
        ("last_error", json!("no model is there")),
    ] {
        assert_eq!(job[name], value, "{name}");
    }
    for name in ["id", "run_after", "created_at", "updated_at"] {
        assert!(job[name].is_string(), "{name}: {job}");
    }
    assert_eq!(numbers(&rig.get("/v1/ai/jobs?status=succeeded").await, "jobs"), [2]);
    let waiting = rig.get("/v1/ai/jobs?status=queued&limit=1&offset=1").await;
    assert_eq!(waiting.body["pagination"], json!({"total": 2, "limit": 1, "offset": 1, "has_more": false}));
}

#[actix_web::test]
async fn who_may_not_ask_and_what_cannot_be_asked_is_refused() {
    let rig = filled(1..=1).await;
    for path in ["/v1/ai/stats", "/v1/ai/activity", "/v1/ai/jobs"] {
        assert_eq!(rig.call(Method::GET, path, None, &[]).await.status, 401, "{path}");
        assert_eq!(rig.call(Method::GET, path, Some(SENDER), &[]).await.status, 403, "{path}");
        assert_eq!(rig.get(&format!("{path}?project_id=proj")).await.status, 200, "{path}");
        assert_eq!(rig.get(&format!("{path}?project_id=other")).await.status, 403, "{path}");
        assert_eq!(rig.get(&format!("{path}?nonsense=1")).await.status, 400, "{path}");
        assert_eq!(rig.call(Method::POST, path, Some(KEY), &[]).await.status, 405, "{path}");
    }
    for path in ["/v1/ai/activity", "/v1/ai/jobs"] {
        for query in ["limit=0", "limit=101", "limit=x", "offset=-1", "offset=1000001", "limit=1&limit=2"] {
            let answer = rig.get(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, 400, "{path}?{query}: {:?}", answer.body);
        }
    }
    assert_eq!(rig.get("/v1/ai/jobs?status=open").await.status, 400);
    let ask =
        async |id: &str, key| rig.call(Method::POST, &format!("/v1/incidents/{id}/summarize"), key, &[]).await.status;
    let id = &incident(1).id;
    assert_eq!(ask(id, None).await, 401);
    assert_eq!(ask(id, Some(READER)).await, 403);
    assert_eq!(ask(id, Some(OTHER)).await, 404, "another project's");
    assert_eq!(ask(&incident(9).id, Some(KEY)).await, 404);
    assert_eq!(ask("nonsense", Some(KEY)).await, 404);
}

async fn summarize(rig: &Rig, number: i64) -> Answer {
    rig.call(Method::POST, &format!("/v1/incidents/{}/summarize", incident(number).id), Some(KEY), &[]).await
}

#[actix_web::test]
async fn without_a_worker_a_summary_is_promised_and_asked_for_once() {
    let rig = filled(1..=2).await;
    explain(&rig, 1, "m", 0.5, 1).await;
    let (first, second) = (summarize(&rig, 1).await, summarize(&rig, 1).await);
    assert_eq!((first.status, &first.body["accepted"]), (202, &json!(true)), "{:?}", first.body);
    assert_eq!(first.header("location"), Some(&*format!("/v1/incidents/{}", incident(1).id)));
    assert_eq!(first.body["job_id"], second.body["job_id"], "one job waits");
    let waiting = rig.get("/v1/ai/jobs?status=queued").await;
    assert_eq!(waiting.body["pagination"]["total"], 2, "that of the other incident, and this one");
}

fn client(server: &ModelServer) -> ModelClient {
    let config = ModelConfig {
        base_url: server.base_url().parse().unwrap(),
        api_key: None,
        models: vec!["scripted".into()],
        timeout: Duration::from_secs(60),
        max_tokens: 900,
    };
    ModelClient::new(&config).unwrap()
}

/// Asks until the job has ended: the machine may be too busy for two seconds.
async fn summarized(rig: &Rig, number: i64) -> Answer {
    for _ in 0..30 {
        let answer = summarize(rig, number).await;
        if answer.status != 202 {
            return answer;
        }
    }
    panic!("no summary in a minute");
}

#[actix_web::test]
async fn with_a_worker_a_summary_is_there_when_it_was_asked_for() {
    let rig = filled(1..=1).await;
    let server = ModelServer::good();
    let (database, woken) = (rig.state.database.clone(), rig.state.jobs_queued.clone());
    let pool = SummarizerPool::start(database, Some(client(&server)), PoolConfig::default(), woken);
    let answer = summarized(&rig, 1).await;
    assert_eq!((answer.status, &answer.body["job"]["status"]), (200, &json!("succeeded")), "{:?}", answer.body);
    let summary = &answer.body["ai_summary"];
    assert_eq!((&summary["model"], &summary["title"]), (&json!("scripted"), &json!("Requests fail again and again")));
    assert_eq!(summary["cited_event_ids"], json!(["e1"]));
    let shown = rig.get(&format!("/v1/incidents/{}", incident(1).id)).await;
    assert_eq!(shown.body["ai_summary"], *summary, "the incident shows the same");
    pool.stop().await;
}

async fn compared(rig: &Rig, client: Option<&ModelClient>, named: Option<&str>) -> Result<Rerun, RerunError> {
    rerun(&rig.state.database, client, &PoolConfig::default(), &incident(1).id, named).await
}

#[actix_web::test]
async fn a_summary_can_be_run_again_and_compared_and_changes_nothing_but_what_was_spent() {
    let rig = filled(1..=1).await;
    assert!(matches!(compared(&rig, None, Some("scripted")).await, Err(RerunError::NoModel)));
    let missing = rerun(&rig.state.database, None, &PoolConfig::default(), &incident(9).id, None).await;
    assert!(matches!(missing, Err(RerunError::NoIncident(_))));
    assert_eq!(compared(&rig, None, None).await.unwrap().before, None);

    let pool =
        SummarizerPool::start(rig.state.database.clone(), None, PoolConfig::default(), rig.state.jobs_queued.clone());
    assert_eq!(summarized(&rig, 1).await.status, 200);
    pool.stop().await;
    let again = compared(&rig, None, None).await.unwrap();
    let (before, _) = again.before.unwrap();
    assert_eq!(
        (&before.summary, &before.model, &before.input_hash),
        (&again.after.summary, &again.after.model, &again.after.input_hash)
    );
    assert_eq!(before.model, DETERMINISTIC);

    let stats = rig.get("/v1/ai/stats").await.body;
    let server = ModelServer::start(|seen| {
        assert_eq!(seen.document()["incident"]["severity"], Severity::Error.as_str());
        Reply::good(seen)
    });
    let asked = compared(&rig, Some(&client(&server)), Some("other")).await.unwrap();
    assert_eq!(
        (asked.after.model.as_str(), asked.after.summary.title.as_str()),
        ("other", "Requests fail again and again")
    );
    assert_eq!((asked.after.tokens_in, asked.after.tokens_out, server.seen().len()), (1_000, 200, 1));
    let ours = compared(&rig, Some(&client(&server)), Some(DETERMINISTIC)).await.unwrap();
    assert_eq!((ours.after.model.as_str(), server.seen().len()), (DETERMINISTIC, 1));

    let refuses = ModelServer::replies(vec![Reply::error(401, "no")]);
    let refused = compared(&rig, Some(&client(&refuses)), None).await;
    assert!(matches!(refused, Err(RerunError::Model(error)) if error.kind == ErrorKind::Unauthorized));
    let mut expected = stats.clone();
    expected["tokens_today"] = json!(stats["tokens_today"].as_i64().unwrap() + 1_200);
    assert_eq!(rig.get("/v1/ai/stats").await.body, expected, "nothing was written but the cost");
}
