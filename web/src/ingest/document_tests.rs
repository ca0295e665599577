#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

fn raw(text: &str) -> &RawValue {
    serde_json::from_str(text).unwrap()
}

fn fault(text: &str, depth: usize) -> (String, String) {
    let error = check_object(raw(text), "/attributes", depth).unwrap_err();
    (error.pointer, error.detail)
}

#[test]
fn depth_counts_objects_and_lists_with_the_outermost() {
    assert_eq!(check_object(raw(r#"{"a":{"b":[1]}}"#), "", 3), Ok(()));
    let (pointer, detail) = fault(r#"{"a":{"b":[1]}}"#, 2);
    assert_eq!((pointer.as_str(), detail.as_str()), ("/attributes/a/b", "is nested too deeply"));
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(fault(&deep, 8).1, "is nested too deeply");
}

#[test]
fn a_member_must_not_appear_twice_however_it_is_written() {
    assert_eq!(fault(r#"{"x":[0,{"a":1,"\u0061":2}]}"#, 8).0, "/attributes/x/1/a");
    assert_eq!(fault(r#"{"a/b~":1,"a/b~":1}"#, 8), ("/attributes/a~1b~0".into(), "appears twice".into()));
    let many: String = (0..5_000).map(|n| format!("\"k{n}\":0,")).collect();
    assert_eq!(fault(&format!("{{{many}\"k4999\":0}}"), 8).0, "/attributes/k4999");
    assert_eq!(check_object(raw(&format!("{{{many}\"k5000\":0}}")), "", 8), Ok(()));
}

#[test]
fn what_others_cannot_read_is_refused_where_it_stands() {
    assert_eq!(fault(r#"{"a":"\ud800"}"#, 8).0, "/attributes/a");
    assert_eq!(fault(r#"{"a":[1,"\udc00x"]}"#, 8).0, "/attributes/a/1");
    assert_eq!(fault(r#"{"a":1e999}"#, 8), ("/attributes/a".into(), "number out of range".into()));
    assert_eq!(fault("[]", 8).1, "must be an object");
    let fine = r#"{"a":"\ud83d\ude00\u0000","b":123456789012345678901234567890,"c":-1.5e300,"d":null,"e":true}"#;
    assert_eq!(check_object(raw(fine), "", 8), Ok(()));
}

#[test]
fn the_grouping_reads_code_route_and_fingerprint() {
    let all = shown(raw(r#"{"error_code":"E","route":"/a\u0062","fingerprint":["x","y"],"other":{}}"#)).unwrap();
    assert_eq!(all.error_code.as_deref(), Some("E"));
    assert_eq!(all.route.as_deref(), Some("/ab"));
    assert_eq!(all.fingerprint, Some(vec!["x".into(), "y".into()]));
    assert_eq!(shown(raw(r#"{"error_code":500}"#)).unwrap().error_code.as_deref(), Some("500"));
    assert_eq!(shown(raw(r#"{"fingerprint":"x"}"#)).unwrap().fingerprint, Some(vec!["x".into()]));
    assert_eq!(shown(raw(r#"{"error_code":null,"route":null,"fingerprint":null}"#)).unwrap(), Shown::default());
}

#[test]
fn each_wrong_member_is_named() {
    let errors = shown(raw(r#"{"error_code":{},"route":5,"fingerprint":[1]}"#)).unwrap_err();
    let pointers: Vec<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/attributes/error_code", "/attributes/route", "/attributes/fingerprint"]);
    let long = format!(r#"{{"error_code":"{}"}}"#, "x".repeat(257));
    assert_eq!(shown(raw(&long)).unwrap_err()[0].detail, "is longer than 256 bytes");
}

proptest! {
    /// What passes here can be read by every parser that builds a tree.
    #[test]
    fn what_is_sound_parses_as_a_tree(text in r#"\{("[ab\\u0d8]{0,6}":([0-9e.]{1,6}|"[a\\ud8]{0,7}"|\[\{\}\]),?){0,3}\}"#) {
        if let Ok(raw) = serde_json::from_str::<&RawValue>(&text)
            && check_object(raw, "", 8).is_ok()
        {
            prop_assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{}", text);
        }
    }
}
