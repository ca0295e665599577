//! The house rules that a machine can check, read from the source itself.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

fn rust_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("node_modules") {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// (path below the root, text) of every Rust file in `src` of these crates.
fn sources(crates: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for name in crates {
        rust_files(&root().join(name).join("src"), &mut files);
    }
    assert!(files.len() > 5, "the source must be there to be read");
    let relative = |path: &PathBuf| path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
    files.iter().map(|path| (relative(path), fs::read_to_string(path).unwrap())).collect()
}

const CRATES: &[&str] = &["schema", "actors", "web", "infra/embedded", "infra/search", "infra/traffic", "benches"];

/// Fails with every file that says `word` and is none of `allowed` (beginnings of paths).
fn only_in(crates: &[&str], word: &str, allowed: &[&str]) {
    let guilty: Vec<_> = sources(crates)
        .into_iter()
        .filter(|(path, text)| text.contains(word) && !allowed.iter().any(|start| path.starts_with(start)))
        .map(|(path, _)| path)
        .collect();
    assert!(guilty.is_empty(), "`{word}` belongs into {allowed:?} only, but stands in {guilty:?}");
}

/// Crates of ours under `[dependencies]`.
fn dependencies(name: &str) -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    let ours = ["schema", "actors", "web", "embedded", "search", "traffic", "benches"];
    let names = section.lines().filter_map(|line| line.split(['.', ' ', '=']).next());
    names.filter(|name| ours.contains(name)).map(str::to_owned).collect()
}

#[test]
fn crates_import_only_what_the_architecture_allows() {
    let allowed: &[(&str, &[&str])] = &[
        ("schema", &[]),
        ("actors", &["schema"]),
        ("web", &["schema", "actors", "embedded", "search", "traffic"]),
        ("infra/embedded", &[]),
        ("infra/search", &["schema"]),
        ("infra/traffic", &["schema"]),
    ];
    for (name, allowed) in allowed {
        for dependency in dependencies(name) {
            assert!(allowed.contains(&dependency.as_str()), "{name} must not import {dependency}");
        }
    }
}

#[test]
fn wiring_is_in_the_wiring_files_only() {
    only_in(&["web"], "actors::", &["web/src/run.rs", "web/src/supervision", "web/src/main.rs"]);
    only_in(&["web"], "embedded::", &["web/src/stack.rs"]);
    only_in(&["web"], "search::OpenSearch", &["web/src/stack.rs"]);
    only_in(&["web"], "traffic::", &["web/src/main.rs"]);
}

#[test]
fn incidents_are_written_in_one_place() {
    only_in(CRATES, "INSERT INTO incidents", &["schema/src/flush/"]);
    only_in(CRATES, "UPDATE incidents", &["schema/src/flush/"]);
    only_in(CRATES, "SET next_offset", &["schema/src/flush/", "schema/src/checkpoint.rs"]);
}

#[test]
fn received_time_is_stamped_in_one_file() {
    only_in(
        CRATES,
        "Utc::now()",
        &["web/src/ingest/clock.rs", "actors/src/flusher/lateness.rs", "infra/traffic/", "benches/"],
    );
}

#[test]
fn a_child_never_imports_its_parent() {
    for (path, text) in sources(&["actors"]) {
        let is_child = ["incident", "project", "flusher", "dead_letter"]
            .iter()
            .any(|room| path.starts_with(&format!("actors/src/{room}/")));
        if is_child {
            for parent in ["crate::router", "crate::supervision::root", "crate::consumer::tenures"] {
                assert!(!text.contains(parent), "{path} imports its parent {parent}");
            }
        }
    }
    only_in(&["schema"], "actix", &[]);
    only_in(&["actors"], "actix_web", &[]);
}

#[test]
fn no_file_is_longer_than_four_hundred_lines() {
    let long: Vec<_> =
        sources(CRATES).into_iter().filter(|(_, text)| text.lines().count() > 400).map(|f| f.0).collect();
    assert!(long.is_empty(), "{long:?}");
}

#[test]
fn every_guarantee_names_a_test_that_exists() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    for number in 1..=10 {
        let line = page.lines().find(|line| line.starts_with(&format!("| G{number} ")));
        let line = line.unwrap_or_else(|| panic!("ARCHITECTURE.md has no line for G{number}"));
        for file in line.split('`').filter(|part| part.ends_with(".rs")) {
            assert!(root().join(file).is_file(), "G{number} is said to be guarded by {file}, which is not there");
        }
    }
}
