//! Walking a list from end to end while it is written to.

use crate::rig::{Rig, at, incident};
use std::collections::HashMap;

const SORTS: [&str; 6] =
    ["last_seen_at:desc", "last_seen_at:asc", "event_count:desc", "event_count:asc", "opened_at:desc", "opened_at:asc"];

async fn page(rig: &Rig, query: &str, cursor: Option<&str>) -> (Vec<String>, Option<String>) {
    let cursor = cursor.map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
    let answer = rig.get(&format!("/v1/incidents?{query}{cursor}")).await;
    let next = answer.body["pagination"]["next_cursor"].as_str().map(str::to_owned);
    assert_eq!(answer.body["pagination"]["has_more"], next.is_some());
    (answer.ids(), next)
}

fn id(number: i64) -> String {
    incident(number).id.clone()
}

#[actix_web::test]
async fn a_walk_by_cursor_meets_what_stands_still_exactly_once_while_others_come_and_change() {
    let rig = Rig::new().await;
    for sort in SORTS {
        rig.execute("TRUNCATE incidents CASCADE").await;
        let mut filler = rig.filler().await;
        // Even numbers stand still, odd ones change; both ends of the list and its middle grow meanwhile.
        filler.flush((100..200).map(incident).collect()).await;
        let (mut met, mut cursor, mut round) = (HashMap::<String, usize>::new(), None, 0);
        loop {
            let (ids, next) = page(&rig, &format!("sort={sort}&limit=7"), cursor.as_deref()).await;
            for id in ids {
                *met.entry(id).or_default() += 1;
            }
            let Some(next) = next else { break };
            cursor = Some(next);
            round += 1;
            assert!(round < 100, "{sort}: the walk does not end");
            let mut rows: Vec<_> = [round, 1_000 + round, 150_000 + round].into_iter().map(incident).collect();
            let mut changed = incident(101 + (round * 22) % 98);
            (changed.last_seen, changed.event_count) = (at(5_000 + round), 5_000 + round);
            rows.push(changed);
            if round < 15 {
                filler.flush(rows).await;
            }
        }
        for number in (100..200).step_by(2) {
            assert_eq!(met.get(&id(number)), Some(&1), "{sort}: {number}");
        }
        if sort.ends_with("desc") || sort.starts_with("opened_at") {
            assert!(met.values().all(|times| *times == 1), "{sort}: {met:?}");
        }
    }
}

#[actix_web::test]
async fn a_walk_by_cursor_and_a_writer_at_full_speed_do_not_disturb_each_other() {
    let rig = Rig::new().await;
    let mut filler = rig.filler().await;
    filler.flush((0..500).map(incident).collect()).await;
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let writer = actix_web::rt::spawn(async move {
        let mut number = 1_000;
        while stopped.try_recv().is_err() {
            filler.flush((number..number + 5).map(incident).collect()).await;
            number += 5;
        }
        number
    });
    let (mut met, mut cursor) = (Vec::new(), None);
    loop {
        let (ids, next) = page(&rig, "sort=opened_at:desc&limit=9", cursor.as_deref()).await;
        met.extend(ids);
        cursor = next;
        if cursor.is_none() {
            break;
        }
    }
    stop.send(()).unwrap();
    let written = writer.await.unwrap();
    assert!(written > 1_000, "the writer was at work: {written}");
    let old: Vec<String> = met.iter().filter(|met| **met < id(1_000)).cloned().collect();
    assert_eq!(old, (0..500).rev().map(id).collect::<Vec<_>>());
}

#[actix_web::test]
async fn ties_are_walked_once_each() {
    let rig = Rig::new().await;
    let mut rows: Vec<_> = (0..40).map(incident).collect();
    for row in &mut rows {
        (row.first_seen, row.last_seen, row.event_count) = (at(0), at(0), 7);
    }
    rig.filler().await.flush(rows).await;
    for sort in SORTS {
        let (mut met, mut cursor) = (Vec::new(), None);
        loop {
            let (ids, next) = page(&rig, &format!("sort={sort}&limit=3"), cursor.as_deref()).await;
            met.extend(ids);
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        let mut wanted: Vec<_> = (0..40).map(id).collect();
        if sort.ends_with("desc") {
            wanted.reverse();
        }
        assert_eq!(met, wanted, "{sort}");
    }
}

#[actix_web::test]
async fn a_walk_by_offset_covers_the_list_and_says_where_it_is() {
    let rig = Rig::new().await;
    rig.filler().await.flush((0..25).map(incident).collect()).await;
    let mut met = Vec::new();
    for (offset, rows, more) in [(0, 10, true), (10, 10, true), (20, 5, false), (25, 0, false), (1_000_000, 0, false)] {
        let answer = rig.get(&format!("/v1/incidents?limit=10&offset={offset}&sort=opened_at:asc")).await;
        let pagination = &answer.body["pagination"];
        assert_eq!(answer.ids().len(), rows);
        assert_eq!((pagination["offset"].as_i64(), pagination["total"].as_i64()), (Some(offset), Some(25)));
        assert_eq!((pagination["has_more"].as_bool(), pagination["next_cursor"].is_string()), (Some(more), more));
        met.extend(answer.ids());
    }
    assert_eq!(met, (0..25).map(id).collect::<Vec<_>>());
}

#[actix_web::test]
async fn a_page_by_cursor_says_how_many_were_before_it_and_follows_a_page_by_offset() {
    let rig = Rig::new().await;
    rig.filler().await.flush((0..25).map(incident).collect()).await;
    let first = rig.get("/v1/incidents?limit=10&offset=5&sort=opened_at:asc").await;
    let cursor = first.body["pagination"]["next_cursor"].as_str().unwrap();
    let second = rig.get(&format!("/v1/incidents?limit=10&sort=opened_at:asc&cursor={cursor}")).await;
    assert_eq!(second.body["pagination"]["offset"], 15);
    assert_eq!(second.body["pagination"]["next_cursor"], serde_json::Value::Null);
    assert_eq!(second.ids(), (15..25).map(id).collect::<Vec<_>>());
}
