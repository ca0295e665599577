//! The indexer and the search server are killed while events flow: afterwards each event is in the index, once; nobody else
//! takes notice meanwhile.

use crate::chance::Chance;
use crate::load::{Load, Sent, acknowledged};
use crate::proof::prove;
use crate::servers::Server;
use crate::stack::Stack;
use crate::wait::{eventually, until};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// As good as endless: such a load is stopped.
const ENDLESS: u64 = 10_000_000;
/// Events a second and project.
const RATE: f64 = 200.0;
/// Kills of the indexer; the search server is killed with every second one.
const KILLS: u64 = 4;
const WITHIN: Duration = Duration::from_secs(180);
/// Ids that the search server lists at once.
const PAGE: usize = 10_000;

async fn ask(search: &Server, path: &str, body: &Value) -> Result<Value, String> {
    let url = format!("{}/signals-events-v1/{path}?ignore_unavailable=true", search.url());
    let client = reqwest::Client::builder().timeout(Duration::from_secs(20)).pool_max_idle_per_host(0).build().unwrap();
    let request = client.post(url).header("content-type", "application/json").body(body.to_string());
    let response = request.send().await.map_err(|error| error.to_string())?;
    let (status, text) = (response.status(), response.text().await.map_err(|error| error.to_string())?);
    if status.is_success() { Ok(serde_json::from_str(&text).unwrap()) } else { Err(text) }
}

async fn indexed(search: &Server) -> Result<u64, String> {
    let counted = ask(search, "_count", &json!({"query": {"match_all": {}}})).await?;
    Ok(counted["count"].as_u64().unwrap())
}

/// Every document's project and event id, in their order; the server is asked itself.
async fn all_ids(search: &Server) -> Vec<(String, String)> {
    let mut ids = Vec::new();
    let mut after = Value::Null;
    loop {
        let mut body = json!({"size": PAGE, "sort": [{"project_id": "asc"}, {"event_id": "asc"}, {"id": "asc"}], "_source": false});
        if !after.is_null() {
            body["search_after"] = after.clone();
        }
        let page = ask(search, "_search", &body).await.unwrap();
        let hits = page["hits"]["hits"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        ids.extend(hits.iter().map(|hit| (text(&hit["sort"][0]), text(&hit["sort"][1]))));
        let Some(last) = hits.last() else { return ids };
        after = last["sort"].clone();
    }
}

/// Each acknowledged event is there, and none twice.
async fn each_is_there_once(stack: &Stack, sent: &[(&str, &Sent)]) {
    let search = stack.search();
    let mut wanted = BTreeSet::new();
    for (project, sent) in sent {
        wanted.extend((0..sent.events).map(|number| ((*project).to_owned(), format!("event-{number}"))));
        // The one behind all others.
        wanted.insert(((*project).to_owned(), "last".to_owned()));
    }
    let all = u64::try_from(wanted.len()).unwrap();
    eventually("every event in the index", WITHIN, async || {
        let found = indexed(search).await?;
        assert!(found <= all, "{found} documents of {all} events");
        if found == all { Ok(()) } else { Err(format!("{found} of {all}")) }
    })
    .await;
    let found = all_ids(search).await;
    let unique: BTreeSet<_> = found.iter().cloned().collect();
    assert_eq!((found.len(), unique == wanted), (wanted.len(), true), "each event once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_of_the_indexer_and_of_the_search_server_loses_and_doubles_nothing() {
    let (stack, mut chance) = (Stack::real_with_search().await, Chance::new("indexer"));
    let search = stack.search();
    let mut program = stack.up().await;
    let apis = [stack.api(), stack.project("proj_other").await];
    let mut indexer = stack.run("indexer", &["indexer"]);
    let begun = Instant::now();
    let loads = apis.each_ref().map(|api| Load::start(api, ENDLESS, Some(RATE)));
    for kill in 0..KILLS {
        let before = eventually("the index", WITHIN, || indexed(search)).await;
        eventually("more in the index", WITHIN, async || match indexed(search).await? {
            now if now > before => Ok(()),
            now => Err(format!("{now} documents, as before")),
        })
        .await;
        chance.moment(Duration::from_millis(500)).await;
        println!("indexer: {:?} kill -9, {} acknowledged", begun.elapsed(), acknowledged(&loads));
        indexer.kill9();
        if kill % 2 == 1 {
            indexer = stack.run("indexer", &["indexer"]);
            eventually("more in the index", WITHIN, async || {
                let now = indexed(search).await?;
                if now > before { Ok(()) } else { Err(format!("{now} documents")) }
            })
            .await;
            chance.moment(Duration::from_millis(300)).await;
            search.kill();
            println!("indexer: {:?} the search server is killed", begun.elapsed());
            let mark = acknowledged(&loads);
            until("more acknowledged events", WITHIN, || acknowledged(&loads) > mark + 500).await;
            stack.ready(&mut program).await;
            search.start();
        } else {
            indexer = stack.run("indexer", &["indexer"]);
        }
        assert!(indexer.is_running(), "the indexer ended");
    }
    let [one, other] = loads;
    let sent = [one.stop().await, other.stop().await];
    prove(&stack, &sent).await;
    each_is_there_once(&stack, &[("proj_demo", &sent[0]), ("proj_other", &sent[1])]).await;
    let events: u64 = sent.iter().map(|sent| sent.events).sum();
    println!("indexer: {events} events in the index once, {:?}", begun.elapsed());
    indexer.end().await;
    program.end().await;
}
