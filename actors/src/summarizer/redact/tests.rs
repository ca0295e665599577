use super::*;
use proptest::prelude::*;
use serde_json::json;

/// Texts and what becomes of them.
const ROWS: &[(&str, &str)] = &[
    ("nothing here, v2.4.1 at 03:09:48", "nothing here, v2.4.1 at 03:09:48"),
    ("Authorization: Bearer abc.def-123", "Authorization: <secret-1>"),
    ("{\"authorization\":\"Basic dXNlcjpwYXNz\"}", "{\"authorization\":\"<secret-1>\"}"),
    ("sent Bearer 0a1b2c3d4e5f", "sent Bearer <secret-1>"),
    ("Basic authentication failed", "Basic authentication failed"),
    ("Cookie: a=1; sid=zzz\nHost: x", "Cookie: <secret-1>\nHost: x"),
    ("password=hunter2&user=bob", "password=<secret-1>&user=bob"),
    ("password: hunter2.", "password: <secret-1>."),
    ("Invalid password: must be longer", "Invalid password: must be longer"),
    ("invalid token: expired yesterday", "invalid token: expired yesterday"),
    ("token: 9f3a77c1d2", "token: <secret-1>"),
    ("{\"password\":\"p\\\"w\",\"n\":1}", "{\"password\":\"<secret-1>\",\"n\":1}"),
    (r#"{\"api_key\":\"abc\",\"n\":1}"#, r#"{\"api_key\":\"<secret-1>\",\"n\":1}"#),
    ("DB_PASSWORD='s3 cret' run", "DB_PASSWORD='<secret-1>' run"),
    ("apiKey => xyz1", "apiKey => <secret-1>"),
    ("app --password hunter2 --verbose", "app --password <secret-1> --verbose"),
    ("token_count=512 tokens_in=7", "token_count=512 tokens_in=7"),
    ("GET /cb?code=abc&state=1", "GET /cb?code=<secret-1>&state=1"),
    ("postgres://app:pa/s@s@db:5432/x", "postgres://app:<secret-1>@db:5432/x"),
    ("https://user:pw@host/a", "https://user:<secret-1>@host/a"),
    ("https://0123456789ab@o1.ingest.example/5", "https://<secret-1>@o1.ingest.example/5"),
    ("http://host:8080/users/@me", "http://host:8080/users/@me"),
    ("Server=db;User Id=sa;Password=Sup3r!;", "Server=db;User Id=sa;Password=<secret-1>;"),
    ("AccountName=x;AccountKey=abc+/9==;", "AccountName=x;AccountKey=<secret-1>;"),
    ("mail bob.o'neil+x@mail.example.com now", "mail <email-1> now"),
    ("user%40example.com and müller@exämple.de", "<email-1> and <email-2>"),
    ("a@b is no address", "a@b is no address"),
    ("card 4111 1111 1111 1111 2026 ok", "card <card-1> 2026 ok"),
    ("4111111111111111", "<card-1>"),
    ("4111111111111112 and 1732417200000000000", "4111111111111112 and 1732417200000000000"),
    ("from 10.1.2.3:8080 to 203.0.113.9.", "from <ip-1>:8080 to <ip-2>."),
    ("127.0.0.1 v1.2.3.4 1.2.3.4.5", "127.0.0.1 v1.2.3.4 1.2.3.4.5"),
    ("peer 2001:db8::1: refused, [fe80::1]:80", "peer <ip-1>: refused, [<ip-2>]:80"),
    ("std::vec::Vec at 12:34:56 in a::b", "std::vec::Vec at 12:34:56 in a::b"),
    ("bob@ex\u{200b}ample.com\u{0}", "<email-1>"),
];

/// The same for keys, which are put together here so that no scanner takes this file for a leak.
fn keys() -> Vec<(String, String)> {
    let key = |parts: &[&str]| parts.concat();
    let digits = "0123456789abcdef0123456789abcdef";
    let long = "Zx9Yw8Vu7Ts6Rq5Po4Nm3Lk2Ji1Hg0";
    let provider = [
        key(&["AKIA", "IOSFODNN7EXAMPLE"]),
        key(&["gh", "p_", long]),
        key(&["github", "_pat_", long]),
        key(&["gl", "pat-", long]),
        key(&["xo", "xb-12345-", long]),
        key(&["sk", "_live_", long]),
        key(&["rk", "_test_", long]),
        key(&["wh", "sec_", long]),
        key(&["sk", "-proj-", long]),
        key(&["sk", "-ant-api03-", long]),
        key(&["sk", "-do-", long]),
        key(&["AI", "za", long, "12345"]),
        key(&["do", "p_v1_", digits]),
        key(&["np", "m_", long]),
        key(&["SG", ".", long, ".", long]),
        key(&["SK", digits]),
        key(&["h", "f_", long]),
        key(&["da", "pi", digits]),
        key(&["shp", "at_", digits]),
        key(&["hv", "s.", long]),
        key(&["gs", "k_", long]),
    ];
    let sentence =
        |key: String| (format!("call failed with {key}, retrying"), "call failed with <secret-1>, retrying".to_owned());
    let web_token = key(&["eyJ", "hbGciOiJIUzI1NiJ9", ".eyJzdWIiOiIxIn0", ".c2lnbmF0dXJl"]);
    let pem = key(&["-----BEGIN RSA PRIV", "ATE KEY-----\nMIIabc\nxyz==\n-----END RSA PRIV", "ATE KEY-----"]);
    let cut_pem = key(&["-----BEGIN PRIV", "ATE KEY-----\\nMIIabc"]);
    let slack = key(&["https://hooks.sl", "ack.com/services/T000/B000/abcdefgh"]);
    let framed = [
        (format!("jwt {web_token}."), "jwt <secret-1>"),
        (format!("key: {pem} end"), "key: <private-key-1> end"),
        (cut_pem, "<private-key-1>"),
        (slack, "https://hooks.slack.com/services/<secret-1>"),
    ];
    let framed = framed.into_iter().map(|(before, after)| (before, after.to_owned()));
    provider.into_iter().map(sentence).chain(framed).collect()
}

#[test]
fn every_rule_takes_out_its_own_and_leaves_the_rest() {
    let rows = ROWS.iter().map(|(before, after)| ((*before).to_owned(), (*after).to_owned()));
    for (before, after) in rows.chain(keys()) {
        assert_eq!(text(&before), after, "{before}");
    }
}

#[test]
fn equal_values_get_equal_marks_and_are_counted_once() {
    let mut document = json!({
        "samples": [{"message": "bob@example.com from 10.0.0.8"}, {"message": "amy@example.com, then bob@example.com"}],
        "attributes": {"password": "korrekt-pferd-9", "nested": {"api_key": ["k-1234567", 4711]}, "note": "he typed korrekt-pferd-9"},
        "by_user": {"bob@example.com": 3},
        "cards": [4_111_111_111_111_111_u64],
        "secret": {"inner": "x1"},
        "auth": "none",
    });
    let redacted = redact(&mut document);
    assert_eq!(
        document,
        json!({
            "samples": [{"message": "<email-1> from <ip-1>"}, {"message": "<email-2>, then <email-1>"}],
            "attributes": {"password": "<secret-3>", "nested": {"api_key": ["<secret-1>", "<secret-2>"]}, "note": "he typed <secret-3>"},
            "by_user": {"<email-1>": 3},
            "cards": ["<card-1>"],
            "secret": {"inner": "<secret-4>"},
            "auth": "none",
        })
    );
    let counts = [Kind::Email, Kind::Secret, Kind::Card, Kind::Ip, Kind::PrivateKey].map(|kind| redacted.of(kind));
    assert_eq!((counts, redacted.total()), ([2, 4, 1, 1, 0], 8));
}

#[test]
fn the_facts_that_we_write_ourselves_stay_as_they_are() {
    let facts: Value = serde_json::from_str(include_str!("../facts/example.json")).unwrap();
    let mut redacted = facts.clone();
    assert_eq!(redact(&mut redacted).total(), 0);
    assert_eq!(redacted, facts);
}

#[test]
fn an_own_id_survives_even_if_it_was_once_given_as_a_secret() {
    let id = "01KAT2M8T0ABCDEFGHJKMNPQRS";
    let mut document = json!({"event_id": id, "attributes": {"token": id}, "message": format!("token={id}")});
    redact(&mut document);
    assert_eq!(document, json!({"event_id": id, "attributes": {"token": "<secret-1>"}, "message": "token=<secret-1>"}));
}

/// Digits with a right check digit.
fn card() -> impl Strategy<Value = String> {
    (400_000_000_000_000_u64..=499_999_999_999_999).prop_map(|digits| {
        let body = format!("{digits}0");
        (0..10).map(|check| format!("{}{check}", &body[..15])).find(|card| checks::is_card(card)).unwrap()
    })
}

proptest! {
    #[test]
    fn no_text_panics_and_a_second_run_finds_nothing_new(any in "\\PC{0,200}", framed in "[a-z:=@./\"' {}<>0-9-]{0,120}") {
        for sent in [any, framed] {
            let once = text(&sent);
            prop_assert_eq!(text(&once), once);
        }
    }

    #[test]
    fn cards_are_found_in_any_grouping_and_company(card in card(), dashed in any::<bool>(), before in "[a-z ]{0,10} ", after in "( [a-z ]{0,10})?") {
        let separator = if dashed { "-" } else { " " };
        let groups: Vec<_> = card.as_bytes().chunks(4).map(|group| std::str::from_utf8(group).unwrap()).collect();
        for written in [card.clone(), groups.join(separator)] {
            prop_assert_eq!(text(&format!("{before}{written}{after}")), format!("{before}<card-1>{after}"));
        }
    }

    #[test]
    fn addresses_are_found(v4 in any::<[u8; 4]>(), v6 in any::<[u16; 8]>()) {
        let v4 = std::net::Ipv4Addr::from(v4);
        prop_assume!(!v4.is_loopback() && !v4.is_unspecified());
        prop_assert_eq!(text(&format!("from {v4}: no")), "from <ip-1>: no");
        let v6 = std::net::Ipv6Addr::from(v6);
        prop_assert_eq!(text(&format!("from [{v6}]:443")), "from [<ip-1>]:443");
    }

    #[test]
    fn whatever_stands_under_a_secret_name_is_gone(value in "[!-~]{6,40}", name in prop::sample::select(vec!["password", "apiKey", "X-Auth-Token", "client_secret"])) {
        prop_assume!(!names::is_harmless(value.trim()) && !is_mark(&value));
        let mut document = json!({"attributes": {name: value}, "message": format!("it was {value} indeed")});
        redact(&mut document);
        prop_assert_eq!(&document["attributes"][name], "<secret-1>");
        let is_distinct = value.len() >= DISTINCT_LETTERS || !value.chars().all(char::is_alphabetic);
        if is_distinct {
            prop_assert!(!document["message"].as_str().unwrap().contains(&value));
        }
    }

    #[test]
    fn own_ids_hashes_and_times_are_never_touched(id in any::<u128>(), seconds in 0_i64..4_000_000_000) {
        let time = chrono::DateTime::from_timestamp(seconds, 0).unwrap().to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
        let document = json!({
            "event_id": ulid::Ulid::from(id).to_string(), "event_ids": [uuid::Uuid::from_u128(id).to_string()],
            "fingerprint": format!("{id:064x}"), "occurred_at": time, "first_seen": time, "minute": time,
            "id": format!("{id:032x}"), "attributes": {},
        });
        let mut redacted = document.clone();
        redact(&mut redacted);
        prop_assert_eq!(redacted, document);
    }
}
