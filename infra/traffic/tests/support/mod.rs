//! A server that plays ingest and core: it counts like the real ones (an id once) and misbehaves as scripted.
#![allow(dead_code)]

mod http;

use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, read_request, response};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use traffic::client::{ClientConfig, Progress};
use traffic::event::ClientEvent;
use traffic::generate::{Run, sample};
use traffic::tally::Tally;

/// The key that the server knows.
pub const KEY: &str = "sk_test";
/// When the server's clock began, and the events of the tests.
const EPOCH: DateTime<Utc> = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");

/// What happens to one request of ingest instead of the plain truth.
#[derive(Clone, Debug)]
pub enum Fault {
    /// None.
    Fine,
    /// Answers with this status and code and takes nothing in; `Retry-After` in seconds if given.
    Refuse(u16, &'static str, Option<u64>),
    /// Takes everything in and closes without an answer.
    CutAfter,
    /// Closes without having taken anything in.
    CutBefore,
    /// Takes everything in and closes half way through the answer.
    CutWithin,
    /// Takes everything in and answers 500.
    FailAfter,
    /// Takes everything in but the n-th event of the batch, which it refuses with this code.
    RejectItem(usize, &'static str),
    /// Takes everything in and never answers.
    Stall,
    /// Takes everything in and answers with 202 and nonsense.
    Babble,
}

/// Shows the counts that a look sees: from the number of the look (0, 1, ...) and the true counts.
pub type View = Box<dyn FnMut(usize, &BTreeMap<String, u64>) -> Vec<Value> + Send>;

/// What becomes of an event that was taken in for the first time.
#[derive(Clone, Debug)]
pub enum Fate {
    /// Counted.
    Counted,
    /// Kept in the dead letters.
    DeadLettered,
    /// Dropped for this reason.
    Dropped(&'static str),
    /// Lost, and nothing says so.
    Lost,
}

/// What core says of how complete it is.
#[derive(Clone, Copy, Debug)]
pub enum Freshness {
    /// Until now: it sees the end of the log.
    UntilNow,
    /// Until the last request with events was received, however long ago that is.
    UntilReceived,
}

/// What the server knows, across its restarts.
pub struct State {
    /// Applied to the next requests of ingest, in order; afterwards all goes well.
    pub script: VecDeque<Fault>,
    /// Ids taken in.
    pub ids: BTreeSet<String>,
    /// Error events by fingerprint, each id once.
    pub counts: BTreeMap<String, u64>,
    /// Decides what becomes of each event, its id having been new.
    pub fate: Box<dyn FnMut(&ClientEvent) -> Fate + Send>,
    /// All events that are counted, each id once.
    pub counted: u64,
    /// Events whose id had been taken in before.
    pub duplicate: u64,
    /// Events in the dead letters.
    pub dead_lettered: u64,
    /// Events dropped, by reason.
    pub dropped: BTreeMap<String, u64>,
    /// Whether core has the route of the ledger.
    pub has_ledger: bool,
    /// Requests to ingest, of all kinds.
    pub requests: usize,
    /// Events of each request to ingest.
    pub sizes: Vec<usize>,
    /// Looks at the first page.
    pub looks: usize,
    /// Answers of core to its next requests, in order; 200 stands for the truth, as does the end of them.
    pub core_script: VecDeque<u16>,
    /// Looks, from the first on, in which core says that it is not complete.
    pub incomplete_looks: usize,
    /// What core says of how complete it is, if it says that at all.
    pub freshness: Freshness,
    /// The server's clock counts from here.
    started: Instant,
    received_at: DateTime<Utc>,
    /// What core shows.
    pub view: View,
    shown: Vec<Value>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            script: VecDeque::new(),
            ids: BTreeSet::new(),
            counts: BTreeMap::new(),
            fate: Box::new(|_| Fate::Counted),
            counted: 0,
            duplicate: 0,
            dead_lettered: 0,
            dropped: BTreeMap::new(),
            has_ledger: true,
            requests: 0,
            sizes: Vec::new(),
            looks: 0,
            core_script: VecDeque::new(),
            incomplete_looks: 0,
            freshness: Freshness::UntilNow,
            started: Instant::now(),
            received_at: EPOCH,
            view: Box::new(|_, counts| incidents(counts)),
            shown: Vec::new(),
        }
    }
}

/// One incident per fingerprint.
pub fn incidents(counts: &BTreeMap<String, u64>) -> Vec<Value> {
    counts.iter().map(|(fingerprint, count)| incident(&format!("inc-{fingerprint}"), fingerprint, *count)).collect()
}

pub fn incident(id: &str, fingerprint: &str, count: u64) -> Value {
    json!({"id": id, "fingerprint": fingerprint, "event_count": count, "title": "t", "status": "open"})
}

/// A running server; it dies with this value, in the middle of whatever it does.
pub struct Server {
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub type Shared = Arc<Mutex<State>>;

pub fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().expect("no test panics while holding it")
}

impl Server {
    pub async fn start(state: &Shared) -> Self {
        Self::start_at(state, SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// On a given port, e.g. that of a server that has died.
    pub async fn start_at(state: &Shared, address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("the port is free");
        let address = listener.local_addr().expect("it is bound");
        let state = Arc::clone(state);
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("accepting works");
                connections.spawn(serve(stream, Arc::clone(&state)));
            }
        });
        Self { address, task }
    }

    /// Ends it and waits until its connections are gone.
    pub async fn kill(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Quick and small, for tests.
    pub fn client(&self) -> ClientConfig {
        let url = self.url().parse().expect("an URL");
        ClientConfig {
            connections: 4,
            batch: 10,
            first_pause: Duration::from_millis(1),
            ..ClientConfig::new(url, KEY.into())
        }
    }
}

async fn serve(stream: TcpStream, state: Shared) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await {
        let reply = if request.header("x-api-key") != Some(KEY) {
            Reply::Whole(problem(401, "unknown_key", None))
        } else if request.path == "/v1/incidents" {
            core(&request, &mut lock(&state))
        } else if request.path == "/v1/ledger" {
            ledger(&mut lock(&state))
        } else {
            ingest(&request, &mut lock(&state))
        };
        match reply {
            Reply::Whole(bytes) => stream.write_all(&bytes).await.expect("the client listens"),
            Reply::Half(bytes) => {
                let _ = stream.write_all(&bytes[..bytes.len() - 5]).await;
                return;
            }
            Reply::Cut => return,
            Reply::Stall => std::future::pending().await,
        }
    }
}

enum Reply {
    Whole(Vec<u8>),
    Half(Vec<u8>),
    Cut,
    Stall,
}

fn problem(status: u16, code: &str, retry_after: Option<u64>) -> Vec<u8> {
    response(status, retry_after, &json!({"code": code, "detail": format!("because {code}")}))
}

fn ingest(request: &Request, state: &mut State) -> Reply {
    let body: Value = serde_json::from_slice(&request.body).expect("a JSON body");
    let (events, is_batch) = match request.path.as_str() {
        "/v1/events" => (vec![body], false),
        "/v1/events/batch" => (body["events"].as_array().expect("events").clone(), true),
        _ => return Reply::Whole(problem(404, "not_found", None)),
    };
    state.requests += 1;
    state.sizes.push(events.len());
    let fault = state.script.pop_front();
    match fault {
        Some(Fault::Refuse(status, code, after)) => return Reply::Whole(problem(status, code, after)),
        Some(Fault::CutBefore) => return Reply::Cut,
        _ => {}
    }
    let rejected = match fault {
        Some(Fault::RejectItem(index, code)) if is_batch && index < events.len() => Some((index, code)),
        _ => None,
    };
    for (index, event) in events.iter().enumerate() {
        if rejected.is_none_or(|(rejected, _)| rejected != index) {
            state.count(event);
        }
    }
    state.received_at = state.now();
    let whole = accepted(&events, is_batch, rejected, state.received_at);
    match fault {
        Some(Fault::CutAfter) => Reply::Cut,
        Some(Fault::CutWithin) => Reply::Half(whole),
        Some(Fault::FailAfter) => Reply::Whole(problem(500, "internal", None)),
        Some(Fault::Stall) => Reply::Stall,
        Some(Fault::Babble) => Reply::Whole(response(202, None, &json!({"ok": 1}))),
        _ => Reply::Whole(whole),
    }
}

fn accepted(events: &[Value], is_batch: bool, rejected: Option<(usize, &str)>, received_at: DateTime<Utc>) -> Vec<u8> {
    if !is_batch {
        let event_id = &events[0]["event_id"];
        return response(202, None, &json!({"accepted": true, "event_id": event_id, "received_at": received_at}));
    }
    let rejected: Vec<_> =
        rejected.iter().map(|(index, code)| json!({"index": index, "code": code, "detail": "d"})).collect();
    let count = events.len() - rejected.len();
    let answer = json!({"accepted": true, "count": count, "event_ids": [], "received_at": received_at,
        "rejected": rejected});
    response(202, None, &answer)
}

impl State {
    /// As if all events of a tally, and no others, had been taken in and counted.
    pub fn hold(&mut self, tally: &Tally) {
        self.counts = tally.counts();
        self.counted += tally.certain();
    }

    fn core_refusal(&mut self) -> Option<Reply> {
        let status = self.core_script.pop_front().filter(|status| *status != 200)?;
        Some(Reply::Whole(problem(status, "scripted", None)))
    }

    /// The server's time, to the microsecond.
    fn now(&self) -> DateTime<Utc> {
        EPOCH + TimeDelta::microseconds(self.started.elapsed().as_micros().try_into().expect("a short test"))
    }

    fn count(&mut self, event: &Value) {
        let event: ClientEvent = serde_json::from_value(event.clone()).expect("the shape of an event");
        if !self.ids.insert(event.event_id.clone()) {
            self.duplicate += 1;
            return;
        }
        match (self.fate)(&event) {
            Fate::Counted => {
                self.counted += 1;
                if let Some(group) = event.group() {
                    *self.counts.entry(group.fingerprint).or_default() += 1;
                }
            }
            Fate::DeadLettered => self.dead_lettered += 1,
            Fate::Dropped(reason) => *self.dropped.entry(reason.to_owned()).or_default() += 1,
            Fate::Lost => {}
        }
    }
}

fn ledger(state: &mut State) -> Reply {
    if let Some(refusal) = state.core_refusal() {
        return refusal;
    }
    if !state.has_ledger {
        return Reply::Whole(problem(404, "not_found", None));
    }
    let State { counted, duplicate, dead_lettered, dropped, .. } = state;
    let handled = *counted + *duplicate + *dead_lettered + dropped.values().sum::<u64>();
    let ledger = json!({"project_id": "p", "accepted": handled, "counted": counted, "duplicate": duplicate,
        "dead_lettered": dead_lettered, "dropped": dropped, "in_flight": 0, "unreported": 0, "is_closed": true,
        "ingest": []});
    Reply::Whole(response(200, None, &ledger))
}

/// Pages of seven, so that a handful of incidents needs several.
fn core(request: &Request, state: &mut State) -> Reply {
    if let Some(refusal) = state.core_refusal() {
        return refusal;
    }
    assert_eq!((request.query("limit"), request.query("sort")), (Some("100"), Some("opened_at%3Aasc")));
    let from: usize = request.query("cursor").map_or(0, |cursor| cursor.parse().expect("a cursor of ours"));
    if from == 0 {
        state.shown = (state.view)(state.looks, &state.counts);
        state.looks += 1;
    }
    let is_complete = state.looks > state.incomplete_looks;
    let until = match state.freshness {
        Freshness::UntilNow => state.now(),
        Freshness::UntilReceived => state.received_at,
    };
    let complete_until = is_complete.then_some(until);
    let page: Vec<_> = state.shown.iter().skip(from).take(7).cloned().collect();
    let next = from + page.len();
    let has_more = next < state.shown.len();
    let pagination = json!({"total": state.shown.len(), "limit": 7, "offset": from, "has_more": has_more,
        "next_cursor": has_more.then(|| next.to_string())});
    Reply::Whole(response(
        200,
        None,
        &json!({"incidents": page, "pagination": pagination, "complete_until": complete_until}),
    ))
}

/// Events of the normal mix.
pub fn events(count: u32, seed: u64) -> Vec<ClientEvent> {
    sample(count, seed, Run::new(seed), EPOCH).collect()
}

pub fn progress() -> Arc<Progress> {
    Arc::new(Progress::default())
}
