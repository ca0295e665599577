//! The README's list of metrics is the code's.
#![allow(clippy::unwrap_used)]

use schema::instrument::{Instrument, Kind, table};
use std::collections::BTreeSet;
use std::path::Path;

fn declared() -> Vec<&'static Instrument> {
    web::metrics::ALL.iter().chain(actors::metrics::ALL).collect()
}

#[test]
fn the_readme_lists_every_metric_in_the_words_of_the_code() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    let (_, rest) = page.split_once("<!-- metrics -->\n").unwrap();
    let (shown, _) = rest.split_once("<!-- /metrics -->").unwrap();
    let wanted = table(declared());
    assert_eq!(shown.trim(), wanted.trim(), "put this between the two marks:\n\n{wanted}");
}

#[test]
fn names_say_whose_they_are_and_what_they_count() {
    let mut names = BTreeSet::new();
    for instrument in declared() {
        let name = instrument.name;
        assert!(names.insert(name), "{name} is declared twice");
        assert!(name.starts_with("signals_"), "{name}");
        assert_eq!(name.ends_with("_total"), instrument.kind == Kind::Counter, "{name}");
        assert!(instrument.help().ends_with('.') && !instrument.help().contains('|'), "{name}: {}", instrument.help());
        if instrument.kind == Kind::Histogram {
            let units = ["_seconds", "_records", "_rows"];
            assert!(
                units.iter().any(|unit| name.ends_with(unit)),
                "{name} has no unit that the exporter has buckets for"
            );
        }
        let unbounded = ["project_id", "project", "fingerprint", "event_id", "key_id", "path"];
        assert!(!instrument.labels.iter().any(|label| unbounded.contains(label)), "{name} has a label without bound");
    }
}
