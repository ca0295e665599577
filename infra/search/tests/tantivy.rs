//! What only an index in a folder can suffer: kill -9, damage, a second process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use chrono::{NaiveDate, TimeDelta};
use rand::RngExt;
use schema::search::{IndexedEvent, ItemOutcome, Page, SearchAnswer, SearchError, SearchIndex, SearchRequest};
use search::Tantivy;
use std::collections::HashMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use support::{at, event, everything};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Tells the child where it shall store, and from which batch on.
const CHILD: &str = "SIGNALS_TEST_STORE_INTO";
/// Events of a batch of the child.
const BATCH: u64 = 200;
/// How often the child is killed.
const KILLS: u64 = 12;
/// Nothing here takes so long, however loaded the machine is.
const PATIENCE: Duration = Duration::from_secs(120);

/// The index in a folder. A child that another test is just starting holds all files of this process for a moment, the lock of
/// an index that was closed among them.
async fn reopened(folder: &Path) -> Tantivy {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        match Tantivy::open(folder) {
            Ok(index) => return index,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// The events of a batch lie on both sides of midnight, so that two days are written.
fn batch(number: u64) -> Vec<IndexedEvent> {
    let of = |place: u64| {
        let hour = if place.is_multiple_of(2) { "2026-11-24T23:00:00Z" } else { "2026-11-25T01:00:00Z" };
        let mut event = event(&format!("b{number}-{place}"), hour);
        event.occurred_at += TimeDelta::milliseconds(i64::try_from(number).unwrap());
        event
    };
    (0..BATCH).map(of).collect()
}

/// Everything, page by page.
async fn all(index: &Tantivy) -> HashMap<String, u32> {
    let mut seen = HashMap::new();
    let mut request = everything();
    loop {
        let SearchAnswer { hits, missing_days, .. } = index.search(&request).await.unwrap();
        assert!(missing_days.is_empty());
        let Some((last, _)) = hits.last() else { return seen };
        request.page = Page::After(last.clone());
        hits.into_iter().for_each(|(_, event)| *seen.entry(event.event_id).or_default() += 1);
    }
}

/// Not a test: what [`every_acknowledged_event_is_there_once_after_kill_9`] runs in a process of its own.
#[tokio::test]
async fn child_that_stores_until_it_is_killed() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (first, folder) = told.split_once(' ').unwrap();
    let index = Tantivy::open(Path::new(folder)).unwrap();
    for number in first.parse::<u64>().unwrap().. {
        say(&format!("begin {number}"));
        let outcomes = index.store(&batch(number)).await.unwrap();
        assert!(outcomes.iter().all(|outcome| matches!(outcome, ItemOutcome::Stored | ItemOutcome::AlreadyThere)));
        say(&format!("stored {number}"));
    }
}

/// A line of its own that is out at once, past the test harness.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n{line}").unwrap();
    out.flush().unwrap();
}

/// Runs the child from batch `first` on and kills it at a random moment; the last batch that it acknowledged.
async fn killed_child(folder: &Path, first: u64) -> Option<u64> {
    let mut child = tokio::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child_that_stores_until_it_is_killed", "--nocapture"])
        .env(CHILD, format!("{first} {}", folder.display()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (stop_at, micros) = {
        let mut chance = rand::rng();
        (first + chance.random_range(1..12), chance.random_range(0..60_000))
    };
    let mut acknowledged = None;
    while let Some(line) = lines.next_line().await.unwrap() {
        if line == format!("begin {stop_at}") {
            // Not a wait for something: the moment within the store is to be a random one.
            tokio::time::sleep(Duration::from_micros(micros)).await;
            child.start_kill().unwrap();
        }
        acknowledged = line.strip_prefix("stored ").map(|number| number.parse().unwrap()).or(acknowledged);
    }
    assert!(!child.wait().await.unwrap().success());
    acknowledged
}

#[tokio::test]
async fn every_acknowledged_event_is_there_once_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut next = 0;
    for round in 0..KILLS {
        let killed = tokio::time::timeout(PATIENCE, killed_child(folder.path(), next)).await.expect("killed in time");
        let acknowledged = killed.expect("at least one batch was stored");
        let index = reopened(folder.path()).await;
        let seen = all(&index).await;
        assert_eq!(seen.iter().find(|(_, times)| **times > 1), None, "round {round}");
        for event in (0..=acknowledged).flat_map(batch) {
            assert!(seen.contains_key(&event.event_id), "round {round}: {} is lost", event.event_id);
        }
        for (day, _) in [("2026.11.24", 0), ("2026.11.25", 1)] {
            let day = tantivy::Index::open_in_dir(folder.path().join(day)).unwrap();
            assert!(day.validate_checksum().unwrap().is_empty(), "round {round}");
        }
        // As the log would: the last batch comes again.
        next = acknowledged;
    }
    let index = reopened(folder.path()).await;
    let before = all(&index).await.len();
    let outcomes = index.store(&batch(next)).await.unwrap();
    assert!(outcomes.iter().all(|outcome| *outcome == ItemOutcome::AlreadyThere));
    assert_eq!(all(&index).await.len(), before);
}

async fn three_days(folder: &Path) -> Tantivy {
    let index = reopened(folder).await;
    let events = ["2026-11-22T12:00:00Z", "2026-11-23T12:00:00Z", "2026-11-24T12:00:00Z"].map(|time| event(time, time));
    assert_eq!(index.store(&events).await.unwrap(), vec![ItemOutcome::Stored; 3]);
    index
}

#[tokio::test]
async fn a_damaged_day_is_told_and_the_rest_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    drop(three_days(folder.path()).await);
    let damaged = folder.path().join("2026.11.23");
    fs::write(damaged.join("meta.json"), "{\"half\": ").unwrap();
    let index = reopened(folder.path()).await;
    let answer = index.search(&everything()).await.unwrap();
    assert_eq!((answer.total, answer.missing_days), (2, vec![day("2026-11-23")]));
    let outcomes =
        index.store(&[event("a", "2026-11-23T13:00:00Z"), event("b", "2026-11-24T13:00:00Z")]).await.unwrap();
    assert!(matches!(&outcomes[0], ItemOutcome::Retry(why) if why.contains("2026.11.23")), "{outcomes:?}");
    assert_eq!(outcomes[1], ItemOutcome::Stored);
    // Once the folder is moved away, the day begins anew.
    fs::rename(&damaged, folder.path().join("aside")).unwrap();
    assert_eq!(index.store(&[event("a", "2026-11-23T13:00:00Z")]).await.unwrap(), [ItemOutcome::Stored]);
    let answer = index.search(&everything()).await.unwrap();
    assert_eq!((answer.total, answer.missing_days), (4, vec![]));
}

/// Each file of a day, cut to half its length, emptied or overwritten: an answer or an error, never a panic.
#[tokio::test]
async fn no_damage_to_a_file_brings_the_process_down() {
    let folder = tempfile::tempdir().unwrap();
    drop(three_days(folder.path()).await);
    let damaged = folder.path().join("2026.11.23");
    let mut tried = 0;
    for entry in fs::read_dir(&damaged).unwrap() {
        let path = entry.unwrap().path();
        let whole = fs::read(&path).unwrap();
        let is_content = path.extension().is_some_and(|extension| extension != "lock" && extension != "json");
        for broken in [whole[..whole.len() / 2].to_vec(), vec![], vec![0xff; whole.len()], vec![0; 3]] {
            fs::write(&path, &broken).unwrap();
            let index = reopened(folder.path()).await;
            let answer = index.search(&everything()).await.unwrap();
            let shown = if answer.missing_days.is_empty() { 3 } else { 2 };
            assert_eq!(answer.total, shown, "{}", path.display());
            if is_content && broken.len() < whole.len() {
                assert_eq!(answer.missing_days, [day("2026-11-23")], "{}", path.display());
            }
            let id = event("2026-11-24T12:00:00Z", "2026-11-24T12:00:00Z").id();
            assert!(index.event(&["project".to_owned()], &id).await.unwrap().is_some());
            tried += 1;
        }
        fs::write(&path, &whole).unwrap();
    }
    assert!(tried > 20, "{tried}");
    assert_eq!(reopened(folder.path()).await.search(&everything()).await.unwrap().total, 3);
}

#[tokio::test]
async fn a_day_that_was_half_made_or_half_deleted_is_finished() {
    let folder = tempfile::tempdir().unwrap();
    drop(three_days(folder.path()).await);
    fs::create_dir(folder.path().join("2026.11.25")).unwrap();
    fs::create_dir(folder.path().join("2026.11.26")).unwrap();
    fs::write(folder.path().join("2026.11.26/.managed.json"), "[]").unwrap();
    fs::write(folder.path().join("2026.11.26/.tmpAbC123"), "{").unwrap();
    fs::rename(folder.path().join("2026.11.22"), folder.path().join(".dropped-2026.11.22")).unwrap();
    fs::create_dir(folder.path().join("not a day")).unwrap();
    let index = reopened(folder.path()).await;
    let fresh = ["2026-11-25T12:00:00Z", "2026-11-26T12:00:00Z"].map(|time| event(time, time));
    assert_eq!(index.store(&fresh).await.unwrap(), vec![ItemOutcome::Stored; 2]);
    let answer = index.search(&everything()).await.unwrap();
    assert_eq!((answer.total, answer.missing_days), (4, vec![]));
    assert!(!folder.path().join(".dropped-2026.11.22").exists());
    assert!(folder.path().join("not a day").exists());
}

#[tokio::test]
async fn retention_deletes_folders_even_of_days_that_are_being_written() {
    let folder = tempfile::tempdir().unwrap();
    let index = three_days(folder.path()).await;
    fs::write(folder.path().join("2026.11.22/meta.json"), "").unwrap();
    let gone = index.drop_days_before(day("2026-11-24")).await.unwrap();
    assert_eq!(gone, [day("2026-11-22"), day("2026-11-23")]);
    assert!(!folder.path().join("2026.11.23").exists());
    assert_eq!(index.search(&everything()).await.unwrap().total, 1);
    // An event of a day that is gone makes it anew.
    assert_eq!(index.store(&[event("late", "2026-11-23T12:00:00Z")]).await.unwrap(), [ItemOutcome::Stored]);
    assert_eq!(index.search(&everything()).await.unwrap().total, 2);
}

#[tokio::test]
async fn more_days_than_writers_are_stored_in_one_batch() {
    let folder = tempfile::tempdir().unwrap();
    let index = reopened(folder.path()).await;
    let events: Vec<_> = (0..60_i64)
        .map(|number| {
            let mut event = event(&format!("e{number}"), "2026-11-01T12:00:00Z");
            event.received_at += TimeDelta::days(number % 20);
            event
        })
        .collect();
    for _ in 0..2 {
        index.store(&events).await.unwrap();
    }
    assert_eq!(index.search(&everything()).await.unwrap().total, 60);
    assert_eq!(all(&index).await.len(), 60);
}

#[tokio::test]
async fn a_second_process_is_refused_and_a_late_search_is_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let index = three_days(folder.path()).await;
    let second = Tantivy::open(folder.path()).unwrap_err();
    assert!(matches!(&second, SearchError::Unavailable(why) if why.contains("in use")), "{second}");
    let late = index.clone().within(Duration::ZERO).search(&everything()).await.unwrap_err();
    assert!(matches!(late, SearchError::Unavailable(_)), "{late}");
    assert_eq!(index.search(&everything()).await.unwrap().total, 3);
    drop(index);
    // The late search lets go of the folder as soon as it has noticed that it is late.
    let begun = Instant::now();
    while let Err(error) = Tantivy::open(folder.path()) {
        assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_question_that_makes_no_sense_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let index = three_days(folder.path()).await;
    let key = schema::search::SortKey { occurred_at: at("2026-11-24T12:00:00Z"), id: "no id".to_owned() };
    for request in [
        SearchRequest { page: Page::Offset(9_999), ..everything() },
        SearchRequest { page: Page::Offset(usize::MAX), ..everything() },
        SearchRequest { page: Page::After(key), ..everything() },
        SearchRequest { interval: Some(TimeDelta::zero()), ..everything() },
        SearchRequest { interval: Some(TimeDelta::MIN), ..everything() },
    ] {
        let refused = index.search(&request).await.unwrap_err();
        assert!(matches!(refused, SearchError::Refused(_)), "{request:?}: {refused}");
    }
}
