//! The load generator: connections that each send one request after the other, as fast as they are answered.
//!
//! One thread, in a process of its own. Every event has an id of its own: digits in the rendered request are counted up.

use crate::http::{Connection, post};
use crate::preload::per_second;
use crate::usage::cpu_seconds;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Digits of the number in an event id.
const DIGITS: usize = 10;
/// What stands for the digits before a request is sent.
const BLANK: &str = "##########";

/// What a child sends.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// To whom.
    pub address: SocketAddr,
    /// Keys of projects; the connections take turns.
    pub keys: Vec<String>,
    /// Connections at once.
    pub connections: usize,
    /// Events in a request; 1 is sent as a single event.
    pub batch: usize,
    /// Before anything is measured.
    pub warm_up: Duration,
    /// How long is measured.
    pub lasts: Duration,
}

/// How it went.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Loaded {
    /// Acknowledged events per second.
    pub rate: f64,
    /// Half of the requests were answered within so many milliseconds.
    pub p50: f64,
    /// 99 of 100.
    pub p99: f64,
    /// CPU seconds of the generator per second.
    pub cores: f64,
}

/// Sends for as long as `load` says; an answer other than 202 ends it.
///
/// # Errors
/// If an event was not accepted, or the server cannot be reached.
pub async fn send(load: &Load) -> anyhow::Result<Loaded> {
    let mut connections = Vec::with_capacity(load.connections);
    for (number, key) in (0..load.connections).zip(load.keys.iter().cycle()) {
        connections.push((Connection::open(load.address).await?, Requests::new(number, key, load.batch)));
    }
    let from = Instant::now() + load.warm_up;
    let until = from + load.lasts;
    let mut tasks = tokio::task::JoinSet::new();
    for (connection, requests) in connections {
        tasks.spawn(one(connection, requests, from, until));
    }
    let mut latencies = Histogram::<u64>::new(3)?;
    let cpu = cpu_seconds()?;
    while let Some(done) = tasks.join_next().await {
        latencies.add(done??)?;
    }
    let millis = |quantile| Duration::from_micros(latencies.value_at_quantile(quantile)).as_secs_f64() * 1_000.0;
    let batch = u64::try_from(load.batch)?;
    Ok(Loaded {
        rate: per_second(latencies.len() * batch, load.lasts),
        p50: millis(0.5),
        p99: millis(0.99),
        cores: (cpu_seconds()? - cpu) / (load.warm_up + load.lasts).as_secs_f64(),
    })
}

/// One connection's life. Returns the latencies, in microseconds, of what was answered between `from` and `until`.
async fn one(
    mut connection: Connection,
    mut requests: Requests,
    from: Instant,
    until: Instant,
) -> anyhow::Result<Histogram<u64>> {
    let mut latencies = Histogram::new(3)?;
    loop {
        let sent = Instant::now();
        let answer = connection.exchange(requests.next()).await?;
        let now = Instant::now();
        if answer.status != 202 {
            anyhow::bail!("{}: {}", answer.status, String::from_utf8_lossy(answer.body));
        }
        if now >= until {
            return Ok(latencies);
        }
        if now >= from {
            latencies.record(u64::try_from((now - sent).as_micros())?)?;
        }
    }
}

/// One rendered request whose event ids are counted up from one sending to the next.
struct Requests {
    bytes: Vec<u8>,
    places: Vec<usize>,
    next: u64,
}

impl Requests {
    fn new(connection: usize, key: &str, batch: usize) -> Self {
        let run = ulid::Ulid::generate().to_string();
        let event = event(&format!("{run}-{connection}-{BLANK}"), connection);
        let bytes = if batch == 1 {
            post("/v1/events", key, event.as_bytes())
        } else {
            let events = vec![event.as_str(); batch].join(",");
            post("/v1/events/batch", key, format!(r#"{{"events":[{events}]}}"#).as_bytes())
        };
        let blank = BLANK.as_bytes();
        let places = bytes.windows(DIGITS).enumerate().filter(|(_, window)| *window == blank);
        Self { places: places.map(|(place, _)| place).collect(), bytes, next: 0 }
    }

    fn next(&mut self) -> &[u8] {
        for place in &self.places {
            let digits = format!("{:0DIGITS$}", self.next);
            self.next += 1;
            if let Some(into) = self.bytes.get_mut(*place..*place + DIGITS) {
                into.copy_from_slice(digits.as_bytes());
            }
        }
        &self.bytes
    }
}

/// As a client sends it: about 400 bytes, which become a record of about 630; those of the floor have about 610.
fn event(id: &str, connection: usize) -> String {
    format!(
        r#"{{"event_id":"{id}","event_type":"error","severity":"error","environment":"prod","message":"request 4711 to /api/users/42 failed after 1503 ms","attributes":{{"route":"/api/users/42","error_code":"DB_TIMEOUT_{}","status_code":500,"release":"v2.14.3","region":"eu-west-1"}},"payload":{{"trace_id":"4bf92f3577b34da6a3ce929d0e0e4736","host":"web-7","duration_ms":1503}}}}"#,
        connection % 16
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_events_have_one_id() {
        let mut requests = Requests::new(7, "key", 3);
        let mut ids = std::collections::HashSet::new();
        for _ in 0..4 {
            let text = String::from_utf8(requests.next().to_vec()).unwrap();
            let (_, body) = text.split_once("\r\n\r\n").unwrap();
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            ids.extend(body["events"].as_array().unwrap().iter().map(|event| event["event_id"].to_string()));
        }
        assert_eq!(ids.len(), 12);
    }
}
