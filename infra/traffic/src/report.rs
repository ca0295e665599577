//! The closing report: what was sent, what became of it, and how long it took.

use chrono::{DateTime, Utc};
use hdrhistogram::Histogram;
use indicatif::HumanCount;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Latencies of acknowledged requests.
#[derive(Clone, Debug)]
pub struct Latency {
    /// Microseconds. `None` only if the histogram's own bounds were refused.
    micros: Option<Histogram<u64>>,
    max: Duration,
}

/// The longest latency that is told apart, an hour in microseconds.
const LONGEST_MICROS: u64 = 3_600_000_000;

impl Default for Latency {
    fn default() -> Self {
        Self { micros: Histogram::new_with_bounds(1, LONGEST_MICROS, 3).ok(), max: Duration::ZERO }
    }
}

impl Latency {
    /// Counts one request.
    pub fn record(&mut self, latency: Duration) {
        self.max = self.max.max(latency);
        if let Some(micros) = &mut self.micros {
            micros.saturating_record(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX));
        }
    }

    /// The latency that a part of the requests (0 to 1) stayed within, to three digits.
    pub fn quantile(&self, part: f64) -> Duration {
        self.micros.as_ref().map_or(Duration::ZERO, |micros| Duration::from_micros(micros.value_at_quantile(part)))
    }

    /// The worst one.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// How many were recorded.
    pub fn count(&self) -> u64 {
        self.micros.as_ref().map_or(0, Histogram::len)
    }

    fn merge(&mut self, other: Self) {
        self.max = self.max.max(other.max);
        if let (Some(ours), Some(theirs)) = (&mut self.micros, other.micros) {
            // Only histograms of other bounds can be refused, and all have the same.
            let _ = ours.add(theirs);
        }
    }
}

/// Events by fate: sent = accepted + refused + unknown + undelivered.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Events that at least one attempt was made for.
    pub sent: u64,
    /// Acknowledged by 202.
    pub accepted: u64,
    /// Refused for good, by the server's code.
    pub refused: BTreeMap<String, u64>,
    /// Given up; may have been taken in. By the last reason.
    pub unknown: BTreeMap<String, u64>,
    /// Given up; certainly not taken in. By the last reason.
    pub undelivered: BTreeMap<String, u64>,
    /// Events that were due but never tried, because the run ended before.
    pub unsent: u64,
    /// Whether there were even more.
    pub more_unsent: bool,
    /// Attempts, whatever came of them.
    pub requests: u64,
    /// Repeated attempts, by what made them necessary.
    pub retries: BTreeMap<String, u64>,
    /// Events in those repeated attempts.
    pub resent: u64,
    /// From the first request to the last answer.
    pub elapsed: Duration,
    /// Of each acknowledged request, from the time at which it was to be sent.
    pub latency: Latency,
    /// The latest time of receipt, by the server's clock.
    pub received_until: Option<DateTime<Utc>>,
    /// Why the sending ended before its time, if it did.
    pub stopped: Option<String>,
}

impl Report {
    pub(crate) fn add_refused(&mut self, code: &str) {
        add(&mut self.refused, code, 1);
    }

    pub(crate) fn add_unknown(&mut self, reason: &str) {
        add(&mut self.unknown, reason, 1);
    }

    pub(crate) fn add_undelivered(&mut self, reason: &str) {
        add(&mut self.undelivered, reason, 1);
    }

    pub(crate) fn add_retry(&mut self, reason: &str, events: u64) {
        add(&mut self.retries, reason, 1);
        self.resent += events;
    }

    /// Whether something was sent and all of it was acknowledged.
    pub fn is_complete(&self) -> bool {
        self.sent > 0 && self.accepted == self.sent && self.unsent == 0
    }

    /// Adds the counts of another connection; `elapsed` is the longer of the two.
    pub fn merge(&mut self, other: Self) {
        self.sent += other.sent;
        self.accepted += other.accepted;
        self.unsent += other.unsent;
        self.more_unsent |= other.more_unsent;
        self.requests += other.requests;
        self.resent += other.resent;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.latency.merge(other.latency);
        self.received_until = self.received_until.max(other.received_until);
        self.stopped = self.stopped.take().or(other.stopped);
        for (ours, theirs) in [
            (&mut self.refused, other.refused),
            (&mut self.unknown, other.unknown),
            (&mut self.undelivered, other.undelivered),
            (&mut self.retries, other.retries),
        ] {
            theirs.iter().for_each(|(reason, count)| add(ours, reason, *count));
        }
    }
}

fn add(counts: &mut BTreeMap<String, u64>, reason: &str, count: u64) {
    match counts.get_mut(reason) {
        Some(known) => *known += count,
        None => {
            counts.insert(reason.to_owned(), count);
        }
    }
}

/// Tenths per second, rounded down; integers, so that no count is too large for it.
fn tenths_per_second(count: u64, elapsed: Duration) -> u128 {
    (u128::from(count) * 10_000_000_000).checked_div(elapsed.as_nanos()).unwrap_or(0)
}

fn rate(count: u64, elapsed: Duration) -> String {
    let tenths = tenths_per_second(count, elapsed);
    let whole = HumanCount(u64::try_from(tenths / 10).unwrap_or(u64::MAX));
    format!("{whole}.{}", tenths % 10)
}

fn millis(latency: Duration) -> String {
    format!("{:.1} ms", latency.as_secs_f64() * 1_000.0)
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    write!(f, "{name:<12} {}", HumanCount(counts.values().sum()))?;
    for (index, (reason, count)) in counts.iter().enumerate() {
        write!(f, "{}{reason} x {}", if index == 0 { "  (" } else { ", " }, HumanCount(*count))?;
    }
    writeln!(f, "{}", if counts.is_empty() { "" } else { ")" })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.elapsed.as_secs_f64();
        writeln!(
            f,
            "{:<12} {} events in {} requests, {seconds:.1} s",
            "sent",
            HumanCount(self.sent),
            HumanCount(self.requests)
        )?;
        writeln!(f, "{:<12} {}", "accepted", HumanCount(self.accepted))?;
        line(f, "refused", &self.refused)?;
        line(f, "retries", &self.retries)?;
        if self.resent > 0 {
            writeln!(f, "{:<12} {} events under the same ids", "resent", HumanCount(self.resent))?;
        }
        if !self.unknown.is_empty() {
            line(f, "unknown", &self.unknown)?;
        }
        if !self.undelivered.is_empty() {
            line(f, "undelivered", &self.undelivered)?;
        }
        if self.unsent > 0 {
            let least = if self.more_unsent { "at least " } else { "" };
            writeln!(f, "{:<12} {least}{} events were due but never tried", "unsent", HumanCount(self.unsent))?;
        }
        if let Some(reason) = &self.stopped {
            writeln!(f, "{:<12} {reason}", "stopped")?;
        }
        let (requests, events) = (rate(self.requests, self.elapsed), rate(self.accepted, self.elapsed));
        writeln!(f, "{:<12} {requests} requests/s, {events} events/s accepted", "rate")?;
        if self.latency.count() == 0 {
            return write!(f, "{:<12} no request was acknowledged", "latency");
        }
        let [p50, p95, p99] = [0.50, 0.95, 0.99].map(|part| millis(self.latency.quantile(part)));
        writeln!(f, "{:<12} p50 {p50}, p95 {p95}, p99 {p99}, max {}", "latency", millis(self.latency.max()))?;
        let meaning = "of a request, from when it was due until its acknowledgement; waiting and resends included";
        write!(f, "{:<12} {meaning}", "")
    }
}

#[cfg(test)]
mod tests;
