#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use proptest::prelude::*;

fn coded<'a>(error_code: &'a str, route: &'a str, environment: &'a str) -> Grouping<'a> {
    Grouping { error_code: Some(error_code), route: Some(route), environment, message: "m", custom: None }
}

fn uncoded(message: &str) -> Grouping<'_> {
    Grouping { environment: "prod", message, ..Grouping::default() }
}

fn sha256_hex(text: &str) -> String {
    lower_hex(&Sha256::digest(text.as_bytes()))
}

#[test]
fn the_formula_is_that_of_the_contract() {
    let expected = sha256_hex("v1\u{1f}DB_TIMEOUT\u{1f}/api/users/:id\u{1f}prod");
    assert_eq!(fingerprint(&coded("DB_TIMEOUT", "/api/users/42?page=2", "prod")), expected);
    // Frozen: computed once by coreutils' sha256sum.
    assert_eq!(expected, "2514426893931bad8ffa234a8de6cc14517595ed99051e519e14aaa8793ba6f4");
}

#[test]
fn without_a_code_the_template_of_the_message_stands_in_its_place() {
    assert_eq!(fingerprint(&uncoded("user 17 is gone")), sha256_hex("v1\u{1f}user <n> is gone\u{1f}\u{1f}prod"));
    assert_eq!(fingerprint(&uncoded("user 17 is gone")), fingerprint(&uncoded("user 4 is gone")));
    assert_ne!(fingerprint(&uncoded("user 17 is gone")), fingerprint(&uncoded("user 17 is back")));
    let empty_code = Grouping { error_code: Some(""), ..uncoded("a") };
    assert_eq!(fingerprint(&empty_code), fingerprint(&uncoded("a")), "an empty code is none");
}

#[test]
fn the_clients_own_fingerprint_replaces_code_and_route() {
    let custom = |parts: &[&'static str]| Grouping { custom: Some(parts.to_vec()), ..coded("E", "/r", "prod") };
    assert_eq!(fingerprint(&custom(&["checkout"])), sha256_hex("v1\u{1f}checkout\u{1f}prod"));
    assert_eq!(fingerprint(&custom(&["a", "b"])), sha256_hex("v1\u{1f}a\u{1f}b\u{1f}prod"));
    assert_ne!(fingerprint(&custom(&["ab"])), fingerprint(&custom(&["a", "b"])));
    assert_ne!(fingerprint(&custom(&["a\u{1f}b"])), fingerprint(&custom(&["a", "b"])));
    assert_eq!(fingerprint(&custom(&[])), fingerprint(&coded("E", "/r", "prod")), "an empty list is none");
}

#[test]
fn environments_stay_apart() {
    assert_ne!(fingerprint(&coded("E", "/r", "prod")), fingerprint(&coded("E", "/r", "dev")));
}

#[test]
fn routes_lose_ids_query_and_fragment() {
    for (route, template) in [
        ("", ""),
        ("/", "/"),
        ("/api/users/42", "/api/users/:id"),
        ("/api/users/42/", "/api/users/:id/"),
        ("/api/users/42?tab=1#top", "/api/users/:id"),
        ("/api#x?y", "/api"),
        ("GET /orders/550e8400-e29b-41d4-a716-446655440000/items/7", "GET /orders/:id/items/:id"),
        ("/o/01ARZ3NDEKTSV4RRFFQ69G5FAV", "/o/:id"),
        ("/commit/da39a3ee5e6b4b0d3255bfef95601890afd80709", "/commit/:id"),
        ("/v2/users", "/v2/users"),
        ("/api/users/:id", "/api/users/:id"),
        ("/users/42abc", "/users/42abc"),
        ("/größe/7", "/größe/:id"),
    ] {
        assert_eq!(template_route(route), template, "{route}");
    }
}

#[test]
fn messages_lose_what_differs_within_a_kind() {
    for (message, template) in [
        ("", ""),
        ("connection refused", "connection refused"),
        ("timeout after 1500ms", "timeout after <n>ms"),
        ("took 3 s", "took <n> s"),
        ("took 3.14 s.", "took <n> s."),
        ("no such user 'bob'", "no such user <str>"),
        ("no such user \"bob smith\": gone", "no such user <str>: gone"),
        ("can't open user's file", "can't open user's file"),
        ("can't find 'the user's file' here", "can't find <str> here"),
        ("key `a` and key `b`", "key <str> and key <str>"),
        ("an unclosed \"quote 5", "an unclosed \"quote <n>"),
        ("order 550e8400-e29b-41d4-a716-446655440000 lost", "order <id> lost"),
        ("trace=507f1f77bcf86cd799439011.", "trace=<id>."),
        ("at 0x7ffdeadbeef00042", "at <id>"),
        ("at 0x1f", "at <n>x<n>f"),
        ("dial tcp 10.0.0.7:5432: refused", "dial tcp <addr>: refused"),
        ("dial [fe80::1]:80", "dial [<addr>]:<n>"),
        ("peer 2001:db8::1 left", "peer <addr> left"),
        ("mail to a.b+c@example.com bounced", "mail to <email> bounced"),
        ("GET https://api.example.com/users/42?x=1", "GET https://api.example.com/users/<n>?x=<n>"),
        ("at 2026-11-24T05:00:00.123Z", "at <n>-<n>-<n>T<n>:<n>:<n>Z"),
        ("  spaced \t\n out  ", "spaced out"),
        ("Größe 5 überschritten", "Größe <n> überschritten"),
    ] {
        assert_eq!(template_message(message), template, "{message}");
    }
}

#[test]
fn only_the_first_kib_of_a_message_decides() {
    let long = "ä".repeat(600);
    assert_eq!(template_message(&long), "ä".repeat(512));
    let odd = format!("x{long}");
    assert_eq!(template_message(&odd).len(), 1_023, "cut on a character's boundary");
}

proptest! {
    #[test]
    fn any_text_has_a_template_without_digits(message in any::<String>()) {
        prop_assert!(!template_message(&message).contains(|c: char| c.is_ascii_digit()));
    }

    #[test]
    fn a_template_of_plain_words_is_its_own_template(message in "[a-z0-9 /.<>=-]{0,60}") {
        let once = template_message(&message);
        prop_assert_eq!(template_message(&once), once);
    }

    #[test]
    fn a_route_template_is_its_own_template(route in any::<String>()) {
        let once = template_route(&route);
        prop_assert_eq!(template_route(&once), once);
    }

    #[test]
    fn numbers_do_not_decide(a in 0..u64::MAX, bits in 0..64_u32) {
        // Of any number of digits.
        let b = a >> bits;
        prop_assert_eq!(
            fingerprint(&uncoded(&format!("row {a} is gone"))),
            fingerprint(&uncoded(&format!("row {b} is gone")))
        );
        let (one, other) = (format!("/rows/{a}?x={b}"), format!("/rows/{b}"));
        prop_assert_eq!(fingerprint(&coded("E", &one, "prod")), fingerprint(&coded("E", &other, "prod")));
    }

    #[test]
    fn different_parts_give_different_fingerprints(
        one in ("[a-c\u{1f}]{0,3}", "[a-c/\u{1f}]{0,3}", "[a-c]{0,3}"),
        other in ("[a-c\u{1f}]{0,3}", "[a-c/\u{1f}]{0,3}", "[a-c]{0,3}"),
    ) {
        prop_assume!(one != other && !one.0.is_empty() && !other.0.is_empty());
        prop_assert_ne!(
            fingerprint(&coded(&one.0, &one.1, &one.2)),
            fingerprint(&coded(&other.0, &other.1, &other.2))
        );
    }
}

#[test]
fn the_overflow_has_a_fingerprint_of_its_own_in_each_environment() {
    let (prod, dev) = (overflow_fingerprint("prod"), overflow_fingerprint("dev"));
    assert_eq!(prod.len(), 64);
    assert_ne!(prod, dev);
    assert_ne!(prod, fingerprint(&coded("", "", "prod")));
}
