//! The proof that every count is exact, after whatever has happened.

use crate::api::Counts;
use crate::load::{Sent, expected};
use crate::stack::Stack;
use crate::wait::eventually;
use serde_json::json;
use std::time::{Duration, Instant};

/// Counted or recognised as sent before, whichever project.
pub const SETTLED: &str = "SELECT coalesce(sum(events), 0)::bigint AS n FROM ledger";
/// A project left out of the proof: of its events nobody knows whether they were taken in.
pub const PROBE: &str = "proj_probe";

/// An event behind all others. When it shows, all others of its project are counted.
const LAST: &str = "the last event";
/// For the engine to get to the end of the log.
const CATCHES_UP_WITHIN: Duration = Duration::from_secs(180);

/// Each incident of each project shows exactly what was sent; so do the ledger and the minutes; the log has no gap.
pub async fn prove(stack: &Stack, sent: &[Sent]) {
    let begun = Instant::now();
    for project in sent {
        project.api.send(&json!({"event_type": "error", "message": LAST, "event_id": "last"})).await;
    }
    for project in sent {
        let mut wanted = expected(project.events);
        wanted.insert(LAST.to_owned(), 1);
        eventually("the last event", CATCHES_UP_WITHIN, async || {
            let counts = project.api.try_counts().await?;
            let (wanted, found) = (wanted.values().sum::<i64>(), counts.values().sum::<i64>());
            if counts.contains_key(LAST) { Ok(()) } else { Err(format!("{found} of {wanted} are counted")) }
        })
        .await;
        // Another look: the first page of the last one may be older than its last page.
        let found = project.api.try_counts().await.unwrap();
        compare(&wanted, &found);
    }
    let all = sent.iter().map(|project| i64::try_from(project.events).unwrap() + 1).sum::<i64>();
    let sum = |what: &str, of: &str| {
        format!("SELECT coalesce(sum({what}), 0)::bigint AS n FROM {of} AND project_id <> '{PROBE}'")
    };
    let duplicates = sum("events", "ledger WHERE outcome = 'duplicate'");
    let others = sum("events", "ledger WHERE outcome NOT IN ('counted', 'duplicate')");
    assert_eq!(stack.number(&sum("events", "ledger WHERE outcome = 'counted'")).await, all, "the ledger");
    assert_eq!(stack.number(&others).await, 0, "the ledger knows nothing else");
    let minutes = stack.number(&sum("value", "metrics_bucket WHERE true")).await;
    assert_eq!(minutes, all, "the minutes of the projects");
    let minutes = stack.number(&sum("value", "trend_minutes WHERE true")).await;
    assert_eq!(
        minutes,
        stack.number(&sum("event_count", "incidents WHERE true")).await,
        "the minutes of the incidents"
    );
    assert_eq!(stack.number("SELECT count(*) AS n FROM log_gaps").await, 0, "gaps of the log");
    let duplicates = stack.number(&duplicates).await;
    println!("{all} events exact, {duplicates} duplicates; the engine caught up in {:?}", begun.elapsed());
}

/// Each incident shows exactly what was sent; incidents of other titles are left aside.
pub fn matches(sent: &Sent, found: &Counts) {
    let wanted = expected(sent.events);
    let found = found.iter().filter(|(title, _)| wanted.contains_key(*title));
    compare(&wanted, &found.map(|(title, count)| (title.clone(), *count)).collect());
}

fn compare(wanted: &Counts, found: &Counts) {
    let titles = wanted.keys().chain(found.keys()).collect::<std::collections::BTreeSet<_>>();
    let count = |counts: &Counts, title: &str| counts.get(title).copied().unwrap_or(0);
    let differences: Vec<String> = titles
        .into_iter()
        .map(|title| (title, count(wanted, title), count(found, title)))
        .filter(|(_, wanted, found)| wanted != found)
        .map(|(title, wanted, found)| format!("{title}: {found} instead of {wanted}"))
        .collect();
    assert!(differences.is_empty(), "{} counts differ\n{}", differences.len(), differences.join("\n"));
}

/// Waits until the engine has settled more than `before`; returns the new number. Outages of the database are no error.
pub async fn grown(stack: &Stack, query: &str, before: i64) -> i64 {
    eventually(query, CATCHES_UP_WITHIN, async || match stack.try_number(query).await? {
        now if now > before => Ok(now),
        now => Err(format!("{now} is not more than {before}")),
    })
    .await
}
