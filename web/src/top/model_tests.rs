//! What the keys do, and what a frame shows.

use super::super::client::{Ask, Look};
use super::super::{TopArgs, draw, frame};
use super::*;
use crate::supervision::{Page, Supervision};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use serde_json::json;

fn actor(id: &str, state: &str, observed: serde_json::Value) -> serde_json::Value {
    let kind = id.split(' ').next().unwrap();
    json!({"kind": kind, "id": id, "state": state, "restarts": {"count": 0}, "observed": observed})
}

fn router(partition: i32, lag: i64, undurable: usize, restarts: u64) -> serde_json::Value {
    let mut view = actor(
        &format!("PartitionRouter {partition}"),
        if partition == 2 { "stuck" } else { "running" },
        json!({"type": "router", "topic": "t", "partition": partition, "epoch": 3, "tenure_ms": 9_000,
            "next_offset": 1_000_000, "position": 1_000_200, "high_watermark": 1_000_000 + lag, "lag": lag,
            "undurable": undurable, "is_caught_up": null, "flush_ms": 120, "last_flush_ms": 8, "step": "routing records",
            "step_ms": 4_000, "incidents": 30, "projects": 4}),
    );
    view["mailbox"] = json!({"waiting": 1, "capacity": 4});
    view["last_progress_ms"] = json!(4_321);
    view["restarts"] = json!({"count": restarts, "budget": {"used": 1, "most": 10, "period_seconds": 60}});
    if partition == 2 {
        view["why"] = json!("it does not answer: routing records for 4000 ms");
    }
    view
}

fn partition(number: i32, lag: i64) -> serde_json::Value {
    json!({"topic": "t", "partition": number, "next_offset": 500, "epoch": 7, "high_watermark": 500 + lag, "lag": lag,
        "complete_until": null, "updated_at": "2026-11-24T05:00:00Z", "is_here": number < 3})
}

/// An engine with the partitions 0 to 2, and partition 3 in another process.
fn tree() -> Supervision {
    let mut root = actor(
        "RootSupervisor",
        "running",
        json!({"type": "root", "up_ms": 200_000, "group": "g", "topic": "t",
        "alive": [{"kind": "IncidentActor", "count": 90}], "arbiters": []}),
    );
    root["restarts"] = json!({"count": 2, "deaths": [{"actor": "IncidentActor p/f", "partition": 1, "reason": "panicked",
        "message": "the record says so", "offset": 1_234, "ms_ago": 2_000, "restarted_after_ms": 0}]});
    let flusher = json!({"type": "flusher", "under_way": 1, "oldest_ms": 120, "durable": 4_321, "refused": 0, "failures": 0,
        "last_error": null});
    let consumer =
        json!({"type": "consumer", "rounds": 99, "last_round_ms": 1, "work": "polling", "work_ms": 10, "tenures": 3});
    root["children"] = json!([
        actor("Flusher", "running", flusher),
        actor("KafkaConsumer", "running", consumer),
        router(0, 5, 9, 0),
        router(1, 50, 7, 0),
        router(2, 0, 8, 1)
    ]);
    let quarantined = json!({"project_id": "p", "fingerprint": "f".repeat(64), "reason": "it kills", "records": 31,
        "since_at": "2026-11-24T05:00:00Z"});
    let gap = json!({"topic": "t", "partition": 1, "from_offset": 10, "to_offset": 1_010, "size": 1_000,
        "reason": "retention", "detected_at": "2026-11-24T05:00:00Z"});
    serde_json::from_value(json!({"collected_in_ms": 3, "engine": root, "database_answers": true,
        "complete_until": "2026-11-24T05:00:00Z",
        "partitions": [partition(0, 5), partition(1, 50), partition(2, 0), partition(3, 20)],
        "log_gaps": {"total": 1, "records": 1_000, "items": [gap]},
        "quarantine": {"total": 1, "records": 31, "items": [quarantined]}}))
    .unwrap()
}

fn page(next: Option<&str>) -> Page {
    let child = actor(
        "IncidentActor p/f",
        "running",
        json!({"type": "resident", "generation": 3, "letters": 2, "last_used_ms": 1_500}),
    );
    serde_json::from_value(json!({"kind": "IncidentActor", "total": 30, "sort": "last_used", "items": [child],
        "next_cursor": next}))
    .unwrap()
}

fn seen() -> Model {
    let mut model = Model::new("http://here/".to_owned());
    let ask = model.ask();
    model.take(&ask, Ok(Look { tree: tree(), children: Some(page(Some("last_used.1.1"))) }));
    model
}

fn press(model: &mut Model, code: KeyCode) -> Option<Effect> {
    Command::of(KeyEvent::new(code, KeyModifiers::NONE)).map(|command| model.apply(command))
}

fn partitions(model: &Model) -> Vec<i32> {
    model.lines().iter().filter_map(|line| line.partition).collect()
}

#[test]
fn keys_sort_the_partitions_and_walk_among_them_and_their_children() {
    let mut model = seen();
    assert_eq!((partitions(&model), model.selected()), (vec![0, 1, 2, 3], Some(0)));
    for (key, order) in [('l', [1, 3, 0, 2]), ('u', [0, 2, 1, 3]), ('r', [2, 0, 1, 3]), ('p', [0, 1, 2, 3])] {
        assert_eq!(press(&mut model, KeyCode::Char(key)), Some(Effect::Draw));
        assert_eq!(partitions(&model), order, "{key}");
    }
    press(&mut model, KeyCode::Char('l'));
    press(&mut model, KeyCode::Up);
    assert_eq!(model.selected(), Some(3), "partition 0 stood behind it");
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    press(&mut model, KeyCode::Down);
    assert_eq!(model.selected(), Some(2), "the last line is the end");

    assert_eq!(press(&mut model, KeyCode::Char('n')), Some(Effect::Look));
    assert_eq!((model.ask().cursor.as_deref(), model.page()), (Some("last_used.1.1"), 2));
    press(&mut model, KeyCode::Char('n'));
    assert_eq!(model.page(), 2, "the next page has not come yet");
    press(&mut model, KeyCode::Char('b'));
    assert_eq!((model.ask().cursor, model.page()), (None, 1));
    press(&mut model, KeyCode::Char('n'));
    press(&mut model, KeyCode::Char('o'));
    let ask = model.ask();
    assert_eq!((ask.order, ask.cursor, ask.of_projects), (Order::Letters, None, false));
    press(&mut model, KeyCode::Tab);
    assert!(model.ask().of_projects);
    press(&mut model, KeyCode::Char(' '));
    assert!(model.is_held);
    assert_eq!(press(&mut model, KeyCode::Char('x')), None);
    assert_eq!(press(&mut model, KeyCode::Char('q')), Some(Effect::Quit));
    let interrupt = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(Command::of(interrupt), Some(Command::Quit));
}

#[test]
fn a_failed_look_says_why_and_leaves_what_is_known_and_late_children_are_not_taken() {
    let mut model = seen();
    let ask = model.ask();
    model.take(&ask, Err("connection refused".to_owned()));
    assert_eq!(model.lines().len(), 7);
    assert!(frame(&model, 160).contains("connection refused"));
    press(&mut model, KeyCode::Tab);
    let other = Page { total: 4_444, ..page(None) };
    model.take(&ask, Ok(Look { tree: tree(), children: Some(other) }));
    let children = model.look.as_ref().unwrap().0.children.as_ref().unwrap();
    assert_eq!(children.total, 30, "they are an answer to what was asked before");
    assert!(model.trouble.is_none());
}

#[test]
fn a_frame_shows_the_tree_what_is_stuck_and_what_has_happened() {
    let text = frame(&seen(), 200);
    for shown in [
        "http://here/",
        "lag 75   complete until 2026-11-24 05:00:00   quarantined 1 (31 records)   log gaps 1 (1,000 records)",
        "RootSupervisor",
        "up 3 m 20 s, t of g",
        "├ Flusher",
        "1 under way, 4,321 durable",
        "polling, round 99",
        "├ PartitionRouter 2",
        "it does not answer: routing records",
        "1 (1/10)",
        "└ PartitionRouter 3    elsewhere  20",
        "30 incidents of partition 0 by last used, page 1",
        "IncidentActor p/f",
        "2 s ago  IncidentActor p/f  panicked at offset 1,234: the record says so",
        "in quarantine  p/ffffffffffff  31 records  it kills",
        "gap in the log  partition 1  offsets 10 to 1,010  retention",
    ] {
        assert!(text.contains(shown), "`{shown}` is not in\n{text}");
    }
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("PartitionRouter 1")).collect();
    assert!(lines.len() == 1 && lines[0].contains("1/4") && lines[0].contains("1,000,200"), "{lines:?}");
}

#[test]
fn every_size_of_a_terminal_can_be_drawn_and_the_selected_partition_stays_in_sight() {
    let mut model = seen();
    for _ in 0..3 {
        press(&mut model, KeyCode::Down);
    }
    for (columns, rows) in [(1, 1), (3, 2), (20, 5), (60, 12), (80, 24), (200, 60), (500, 3)] {
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        let screen = draw::Screen { model: &model, has_help: true };
        terminal.draw(|frame| frame.render_widget(screen, frame.area())).unwrap();
        let text = terminal.backend().to_string();
        let is_big_enough = columns >= 60 && rows >= 12;
        assert!(!is_big_enough || text.contains("└ PartitionRouter 3"), "{columns} x {rows}\n{text}");
    }
    let empty = Model::new("http://here/".to_owned());
    assert!(frame(&empty, 80).starts_with("signals top  http://here/"));
}

#[test]
fn without_an_engine_the_checkpoints_are_the_tree() {
    let mut model = Model::new("http://here/".to_owned());
    let look = Look { tree: Supervision { engine: None, ..tree() }, children: None };
    model.take(&Ask::default(), Ok(look));
    assert_eq!(partitions(&model), [0, 1, 2, 3]);
    assert!(model.lines().iter().all(|line| line.state == State::Elsewhere));
    let text = frame(&model, 120);
    assert!(text.contains("no engine in that process") && text.contains("nothing more is known here"), "{text}");
}

#[test]
fn the_key_is_not_shown() {
    use clap::Parser;
    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        top: TopArgs,
    }
    let line = Line::parse_from(["top", "--key", "sk_secret", "--interval", "0.5"]);
    assert!(!format!("{line:?}").contains("secret"));
    assert_eq!(line.top.interval.as_millis(), 500);
    for bad in ["0", "-1", "x", "NaN", "1e9"] {
        assert!(Line::try_parse_from(["top", "--interval", bad]).is_err(), "{bad}");
    }
}

#[test]
fn an_indexer_shows_its_lag_and_why_it_waits() {
    let mut tree = tree();
    let mut indexer = actor(
        "Indexer 0",
        "waiting",
        json!({"type": "indexer", "topic": "t", "partition": 0, "index": "opensearch", "age_ms": 9, "next_offset": 1_000,
            "high_watermark": 1_500, "lag": 500, "events": 990, "failures": 3, "last_error": "away", "step": "waiting to try again",
            "step_ms": 70}),
    );
    indexer["why"] = json!("tried 3 times: away");
    let mut thread = actor(
        "IndexConsumer",
        "running",
        json!({"type": "consumer", "rounds": 9, "last_round_ms": 1, "work": "polling",
        "work_ms": 1, "tenures": 1}),
    );
    thread["children"] = json!([indexer]);
    tree.engine.as_mut().unwrap().children.push(serde_json::from_value(thread).unwrap());
    let mut model = Model::new("http://here".into());
    let ask = model.ask();
    model.take(&ask, Ok(Look { tree, children: None }));
    let lines = model.lines();
    let last = lines.iter().find(|line| line.cells[0].contains("Indexer 0")).unwrap();
    assert_eq!(
        (last.cells[0].as_str(), last.cells[2].as_str(), last.cells[6].as_str()),
        ("├   Indexer 0", "500", "1,000")
    );
    assert_eq!((last.cells[11].as_str(), last.partition), ("tried 3 times: away", None));
}
