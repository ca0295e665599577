//! Whatever a client sends, it is told what is wrong with it: the status and the code, never a 5xx, and nothing of it
//! reaches the log.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

mod rig;

use flate2::Compression;
use rig::KEY;
use rig::ingest::{Options, Rig, answer};
use serde_json::json;
use std::collections::HashSet;
use std::io::Write;

const MIB: usize = 1 << 20;
const EVENTS: &str = "/v1/events";
const BATCH: &str = "/v1/events/batch";

struct Case {
    name: &'static str,
    path: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: Vec<u8>,
    status: u16,
    code: &'static str,
    /// The first wrong member, for a 422.
    pointer: Option<&'static str>,
}

fn case(name: &'static str, path: &'static str, body: impl Into<Vec<u8>>, status: u16, code: &'static str) -> Case {
    let headers = vec![("x-api-key", KEY), ("content-type", "application/json")];
    Case { name, path, headers, body: body.into(), status, code, pointer: None }
}

/// 422 for a single event, with the member that is named.
fn invalid(name: &'static str, pointer: &'static str, body: impl Into<Vec<u8>>) -> Case {
    Case { pointer: Some(pointer), ..case(name, EVENTS, body, 422, "invalid") }
}

impl Case {
    fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.retain(|header| header.0 != name);
        self.headers.push((name, value));
        self
    }

    fn without(mut self, name: &'static str) -> Self {
        self.headers.retain(|header| header.0 != name);
        self
    }

    fn pointing(self, pointer: &'static str) -> Self {
        Self { pointer: Some(pointer), ..self }
    }
}

/// An event with one more member, as text.
fn with(member: &str) -> String {
    format!(r#"{{"event_type":"error","message":"m",{member}}}"#)
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zlib(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn raw_deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn brotli(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    brotli::CompressorWriter::new(&mut out, 4_096, 5, 22).write_all(plain).unwrap();
    out
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::encode_all(plain, 3).unwrap()
}

fn syntax() -> Vec<Case> {
    let bad = |name, body: &[u8]| case(name, EVENTS, body, 400, "malformed");
    vec![
        bad("nothing", b""),
        bad("blanks", b" \r\n\t "),
        bad("a word", b"hello"),
        bad("half an object", br#"{"event_type":"error","#),
        bad("half a string", br#"{"event_type":"err"#),
        bad("half a list", br#"[{"event_type":"error","message":"m"}"#),
        bad("a comma too many", br#"{"event_type":"error","message":"m",}"#),
        bad("single quotes", b"{'event_type':'error'}"),
        bad("no quotes", b"{event_type:error}"),
        bad("a comment", b"{/* */}"),
        bad("two objects in a line", br#"{"event_type":"error","message":"m"}{"event_type":"error","message":"m"}"#),
        bad("something after a list", br#"[{"event_type":"error","message":"m"}] x"#),
        bad("NaN", with(r#""payload":{"a":NaN}"#).as_bytes()),
        bad("a leading zero", with(r#""payload":{"a":01}"#).as_bytes()),
        bad("a bare minus", with(r#""payload":{"a":-}"#).as_bytes()),
        bad("a bad escape", with(r#""payload":{"a":"\x41"}"#).as_bytes()),
        bad("half an escape", with(r#""payload":{"a":"\u12"}"#).as_bytes()),
        bad("a raw NUL in a string", b"{\"event_type\":\"error\",\"message\":\"a\0b\"}"),
        bad("a raw line feed in a string", b"{\"event_type\":\"error\",\"message\":\"a\nb\"}"),
        bad("a NUL behind the event", b"{\"event_type\":\"error\",\"message\":\"m\"}\0"),
        bad("bytes that are no UTF-8", b"{\"event_type\":\"error\",\"message\":\"\xff\xfe\"}"),
        bad("half a character", b"{\"event_type\":\"error\",\"message\":\"\xc3\"}"),
        bad("an overlong character", b"{\"event_type\":\"error\",\"message\":\"\xc0\x80\"}"),
        bad("a surrogate as bytes", b"{\"event_type\":\"error\",\"message\":\"\xed\xa0\x80\"}"),
        bad("UTF-16", &"{\"event_type\":\"error\"}".encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>()),
        bad("a hundred thousand open lists", "[".repeat(100_000).as_bytes()),
        bad("forty thousand open objects", r#"{"a":"#.repeat(40_000).as_bytes()),
        case("half a batch", BATCH, r#"{"events":[{"event_type""#, 400, "malformed"),
        case("an empty batch body", BATCH, "", 400, "malformed"),
    ]
}

fn members() -> Vec<Case> {
    vec![
        invalid("null", "", "null"),
        invalid("a number", "", "5"),
        invalid("a string", "", r#""error""#),
        invalid("no member", "/event_type", "{}"),
        invalid("no message", "/message", r#"{"event_type":"error"}"#),
        invalid("no type", "/event_type", r#"{"message":"m"}"#),
        invalid("a null type", "/event_type", r#"{"event_type":null,"message":"m"}"#),
        invalid("an unknown type", "/event_type", r#"{"event_type":"crash","message":"m"}"#),
        invalid("a type in capitals", "/event_type", r#"{"event_type":"ERROR","message":"m"}"#),
        invalid("a number for a type", "/event_type", r#"{"event_type":1,"message":"m"}"#),
        invalid("a list for a message", "/message", r#"{"event_type":"error","message":["m"]}"#),
        invalid("a huge number for a message", "/message", r#"{"event_type":"error","message":1e999}"#),
        invalid("half a surrogate pair", "/message", r#"{"event_type":"error","message":"\ud83d"}"#),
        invalid(
            "a surrogate pair the wrong way round",
            "/message",
            r#"{"event_type":"error","message":"\ude00\ud83d"}"#,
        ),
        invalid("a member twice", "", r#"{"event_type":"error","message":"m","message":"n"}"#),
        invalid("an unknown severity", "/severity", with(r#""severity":"fatal""#)),
        invalid("a severity that is a number", "/severity", with(r#""severity":3"#)),
        invalid("an empty environment", "/environment", with(r#""environment":"""#)),
        invalid("blanks in the environment", "/environment", with(r#""environment":"pro d""#)),
        invalid("a NUL in the environment", "/environment", with(r#""environment":"a\u0000""#)),
        invalid("a long environment", "/environment", with(&format!(r#""environment":"{}""#, "e".repeat(65)))),
        invalid("an empty id", "/event_id", with(r#""event_id":"""#)),
        invalid("a NUL in the id", "/event_id", with(r#""event_id":"a\u0000b""#)),
        invalid("a blank in the id", "/event_id", with(r#""event_id":"a b""#)),
        invalid("an umlaut in the id", "/event_id", with(r#""event_id":"ä""#)),
        invalid("a long id", "/event_id", with(&format!(r#""event_id":"{}""#, "i".repeat(129)))),
        invalid("a number for an id", "/event_id", with(r#""event_id":12345678901234567890123"#)),
        invalid("the year 9999", "/occurred_at", with(r#""occurred_at":"9999-12-31T23:59:59Z""#)),
        invalid("the year 10000", "/occurred_at", with(r#""occurred_at":"+10000-01-01T00:00:00Z""#)),
        invalid("the year 1969", "/occurred_at", with(r#""occurred_at":"1969-12-31T23:59:59Z""#)),
        invalid("the year 0", "/occurred_at", with(r#""occurred_at":"0000-01-01T00:00:00Z""#)),
        invalid("the 30th of February", "/occurred_at", with(r#""occurred_at":"2026-02-30T00:00:00Z""#)),
        invalid("the hour 25", "/occurred_at", with(r#""occurred_at":"2026-02-01T25:00:00Z""#)),
        invalid("no time zone", "/occurred_at", with(r#""occurred_at":"2026-02-01T00:00:00""#)),
        invalid("a date alone", "/occurred_at", with(r#""occurred_at":"2026-02-01""#)),
        invalid("seconds since 1970", "/occurred_at", with(r#""occurred_at":1760000000"#)),
        invalid("an impossible zone", "/occurred_at", with(r#""occurred_at":"2026-02-01T00:00:00+99:99""#)),
    ]
}

fn documents() -> Vec<Case> {
    let deep = |levels: usize| format!("{}1{}", r#"{"a":"#.repeat(levels), "}".repeat(levels));
    vec![
        invalid("attributes that are a list", "/attributes", with(r#""attributes":[]"#)),
        invalid("attributes that are text", "/attributes", with(r#""attributes":"{}""#)),
        invalid("a payload that is a number", "/payload", with(r#""payload":1"#)),
        invalid(
            "nine levels of attributes",
            "/attributes/a/a/a/a/a/a/a/a",
            with(&format!(r#""attributes":{}"#, deep(9))),
        ),
        invalid(
            "thirty thousand levels of attributes",
            "/attributes/a/a/a/a/a/a/a/a",
            with(&format!(r#""attributes":{}"#, deep(30_000))),
        ),
        Case { pointer: None, ..invalid("33 levels of payload", "", with(&format!(r#""payload":{}"#, deep(33)))) },
        invalid("a huge number in attributes", "/attributes/n", with(r#""attributes":{"n":1e999}"#)),
        invalid("a huge negative number", "/payload/n/0", with(r#""payload":{"n":[-1e400]}"#)),
        invalid("half a pair in attributes", "/attributes/x", with(r#""attributes":{"x":"\udfff"}"#)),
        invalid("half a pair in a name", "/attributes", with(r#""attributes":{"\ud800":1}"#)),
        invalid("an attribute twice", "/attributes/a", with(r#""attributes":{"a":1,"a":2}"#)),
        invalid(
            "a payload's member twice, deep inside",
            "/payload/x/0/y",
            with(r#""payload":{"x":[{"y":1,"\u0079":1}]}"#),
        ),
        invalid("a code that is an object", "/attributes/error_code", with(r#""attributes":{"error_code":{}}"#)),
        invalid("a code that is true", "/attributes/error_code", with(r#""attributes":{"error_code":true}"#)),
        invalid(
            "a long code",
            "/attributes/error_code",
            with(&format!(r#""attributes":{{"error_code":"{}"}}"#, "c".repeat(257))),
        ),
        invalid("a route that is a number", "/attributes/route", with(r#""attributes":{"route":7}"#)),
        invalid(
            "a long route",
            "/attributes/route",
            with(&format!(r#""attributes":{{"route":"/{}"}}"#, "r".repeat(8_192))),
        ),
        invalid("a fingerprint of numbers", "/attributes/fingerprint", with(r#""attributes":{"fingerprint":[1]}"#)),
        invalid(
            "a fingerprint that is an object",
            "/attributes/fingerprint",
            with(r#""attributes":{"fingerprint":{}}"#),
        ),
        invalid(
            "a fingerprint of 33 parts",
            "/attributes/fingerprint",
            with(&format!(r#""attributes":{{"fingerprint":[{}"x"]}}"#, r#""x","#.repeat(32))),
        ),
    ]
}

fn lists() -> Vec<Case> {
    let refused = |name, path, body: String, pointer| case(name, path, body, 422, "invalid").pointing(pointer);
    let good = r#"{"event_type":"error","message":"m"}"#;
    vec![
        refused("an empty list", EVENTS, "[]".into(), ""),
        refused("a list of numbers", EVENTS, "[1,2]".into(), "/0"),
        refused("a list in a list", EVENTS, format!("[[{good}]]"), "/0"),
        refused("a list of bad events", EVENTS, r#"[{"message":"m"},{"event_type":"error"}]"#.into(), "/0/event_type"),
        refused("a batch without events", BATCH, "{}".into(), "/events"),
        refused("a batch of null", BATCH, r#"{"events":null}"#.into(), "/events"),
        refused("an empty batch", BATCH, r#"{"events":[]}"#.into(), "/events"),
        refused("a batch that is an object", BATCH, format!(r#"{{"events":{good}}}"#), "/events"),
        refused("an event that is a list of its members", EVENTS, r#"[["error","m"]]"#.into(), "/0"),
        refused("a batch that is a list of its members", BATCH, format!("[[{good}]]"), "/events"),
        refused("a batch that is a list", BATCH, format!("[{good}]"), "/events"),
        refused("a batch that is one event", BATCH, good.into(), "/events"),
        refused("two lists of events", BATCH, format!(r#"{{"events":[{good}],"events":[{good}]}}"#), "/events"),
        refused("a batch of 1001", BATCH, format!(r#"{{"events":[{}1]}}"#, "1,".repeat(1_000)), "/events"),
        refused("a list of 1001", EVENTS, format!("[{}1]", "1,".repeat(1_000)), ""),
        refused("a batch of bad events", BATCH, r#"{"events":[7]}"#.into(), "/events/0"),
        refused("1001 lines", EVENTS, "1\n".repeat(1_001), "").with("content-type", "application/x-ndjson"),
        refused("no line", EVENTS, "\n \n\n".into(), "").with("content-type", "application/x-ndjson"),
        refused("broken lines", EVENTS, "{\nx\n".into(), "/0").with("content-type", "application/x-ndjson"),
    ]
}

fn sizes() -> Vec<Case> {
    let event = |bytes: usize| with(&format!(r#""payload":{{"x":"{}"}}"#, "y".repeat(bytes)));
    let blanks = vec![b' '; 64 * MIB];
    let large = |name, body: Vec<u8>| case(name, EVENTS, body, 413, "too_large");
    let bomb = |name, body: Vec<u8>, encoding| {
        assert!(body.len() < 4 * MIB, "{name}: {}", body.len());
        large(name, body).with("content-encoding", encoding)
    };
    let broken =
        |name, body: &[u8], encoding| case(name, EVENTS, body, 400, "malformed").with("content-encoding", encoding);
    let good = with(r#""event_id":"e""#);
    let squeezed = gzip(good.as_bytes());
    vec![
        large("an event of 300 KiB", event(300 * 1_024).into()),
        large("an event of 3 MiB", event(3 * MIB).into()),
        large("a body of 5 MiB", event(5 * MIB).into()),
        large("a body of 64 MiB", blanks.clone()),
        bomb("a gzip bomb", gzip(&blanks), "gzip"),
        bomb("a zlib bomb", zlib(&blanks), "deflate"),
        bomb("a deflate bomb", raw_deflate(&blanks), "deflate"),
        bomb("a brotli bomb", brotli(&blanks), "br"),
        bomb("a zstd bomb", zstd(&blanks), "zstd"),
        bomb("a gzip bomb of many members", gzip(&blanks[..MIB]).repeat(64), "gzip"),
        bomb("a zstd bomb of many frames", zstd(&blanks[..MIB]).repeat(64), "zstd"),
        broken("plain text called gzip", good.as_bytes(), "gzip"),
        broken("plain text called deflate", good.as_bytes(), "deflate"),
        broken("plain text called brotli", good.as_bytes(), "br"),
        broken("plain text called zstd", good.as_bytes(), "zstd"),
        broken("half a gzip stream", &squeezed[..squeezed.len() / 2], "gzip"),
        broken("gzip with a wrong checksum", &[&squeezed[..squeezed.len() - 8], &[0; 8]].concat(), "gzip"),
        broken("nothing at all, called gzip", b"", "gzip"),
        broken("gzip twice", &gzip(&squeezed), "gzip"),
    ]
}

fn headers() -> Vec<Case> {
    let good = with(r#""event_id":"e""#);
    let refused = |name, status, code| case(name, EVENTS, good.clone(), status, code);
    vec![
        refused("no key", 401, "missing_key").without("x-api-key"),
        refused("an empty key", 401, "missing_key").with("x-api-key", ""),
        refused("an unknown key", 401, "unknown_key").with("x-api-key", "sig_nobody"),
        refused("a key with a quote", 401, "unknown_key").with("x-api-key", "' OR 1=1 --"),
        refused("an unknown bearer", 401, "unknown_key").without("x-api-key").with("authorization", "Bearer nobody"),
        refused("a user and a password", 401, "missing_key").without("x-api-key").with("authorization", "Basic YTpi"),
        refused("a form", 415, "unsupported_media_type").with("content-type", "application/x-www-form-urlencoded"),
        refused("plain text", 415, "unsupported_media_type").with("content-type", "text/plain"),
        refused("XML", 415, "unsupported_media_type").with("content-type", "application/xml"),
        refused("latin 1", 415, "unsupported_media_type").with("content-type", "application/json; charset=iso-8859-1"),
        refused("an encoding nobody knows", 415, "unsupported_encoding").with("content-encoding", "compress"),
        refused("two encodings", 415, "unsupported_encoding").with("content-encoding", "gzip, br"),
        case("lines as a batch", BATCH, good.clone(), 415, "unsupported_media_type")
            .with("content-type", "application/x-ndjson"),
        case("a path nobody knows", "/v1/event", good.clone(), 404, "not_found"),
    ]
}

#[actix_web::test]
async fn every_bad_request_is_refused_with_its_status_and_code_and_leaves_no_record() {
    let rig = Rig::start(Options::default()).await;
    let cases: Vec<Case> =
        [syntax(), members(), documents(), lists(), sizes(), headers()].into_iter().flatten().collect();
    let names: HashSet<&str> = cases.iter().map(|case| case.name).collect();
    assert_eq!(names.len(), cases.len(), "each case has its name");
    assert!(cases.len() >= 60, "{}", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let mut request = rig.client.post(format!("{}{}", rig.url, case.path)).body(case.body);
        for (name, value) in case.headers {
            request = request.header(name, value);
        }
        let (status, _, body) = answer(request).await;
        let pointer = body["errors"][0]["pointer"].as_str();
        let named = case.pointer.is_none_or(|wanted| pointer == Some(wanted));
        if (status, body["code"].as_str()) != (case.status, Some(case.code)) || !named {
            wrong.push(format!("{}: {status} {body}, not {} {} {:?}", case.name, case.status, case.code, case.pointer));
        }
        assert!(status < 500, "{}: {body}", case.name);
        assert_eq!((&body["error"], body["status"].as_u64()), (&body["detail"], Some(status.into())), "{}", case.name);
        assert!(body["request_id"].is_string(), "{}", case.name);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(rig.envelopes().len(), 0, "nothing of it is in the log");
    let good = rig.post(EVENTS).json(&json!({"event_type": "error", "message": "m"}));
    assert_eq!(answer(good).await.0, 202, "and the next client is served");
    rig.stop().await;
}

#[actix_web::test]
async fn a_method_that_is_not_known_is_refused_as_such() {
    let rig = Rig::start(Options::default()).await;
    for path in [EVENTS, BATCH] {
        let (status, _, body) = answer(rig.client.get(format!("{}{path}", rig.url))).await;
        assert_eq!((status, body["code"].as_str()), (405, Some("method_not_allowed")), "{path}");
    }
    rig.stop().await;
}

/// What looks strange and is good: it must not be refused.
#[actix_web::test]
async fn strange_but_good_requests_are_taken_and_kept_as_they_are() {
    let rig = Rig::start(Options::default()).await;
    let eight = format!("{}1{}", r#"{"a":"#.repeat(8), "}".repeat(8));
    let strange = [
        with(r#""attributes":{"nul":"\u0000","big":123456789012345678901234567890,"tiny":1e-400}"#),
        with(&format!(r#""attributes":{eight}"#)),
        with(r#""unknown":{"x":[1e5]},"severity":null"#),
        "{\"event_type\":\"error\",\"message\":\"NUL \\u0000 and \\ud83d\\ude00\"}".to_owned(),
        format!("\u{feff}{}", with(r#""event_id":"!~""#)),
        with(r#""occurred_at":"2016-12-31T23:59:60Z""#),
        with(r#""occurred_at":"2026-01-01t00:00:00.123456789+01:00""#),
    ];
    for body in &strange {
        let (status, _, answer) =
            answer(rig.post(EVENTS).header("content-type", "application/json").body(body.clone())).await;
        assert_eq!(status, 202, "{body}: {answer}");
    }
    let envelopes = rig.envelopes();
    assert_eq!(envelopes.len(), strange.len());
    assert!(envelopes.iter().any(|envelope| envelope["message"] == "NUL \0 and \u{1f600}"));
    rig.stop().await;
}
