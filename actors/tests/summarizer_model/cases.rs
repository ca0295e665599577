//! What an endpoint may do, and what is expected then: one table, by kind.

use super::support::model_server::{ModelServer, Reply, Seen, completion, good_answer};
use super::{KEY, facts};
use Expected::{Error, NothingBelieved, Partly, Summary};
use actors::summarizer::model::{ErrorKind, Mode};
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::Duration;

/// What is expected of one script.
pub enum Expected {
    /// A summary in this mode by this model, after so many requests.
    Summary { mode: Mode, model: &'static str, requests: usize },
    /// An answer of which nothing can be believed; this is said of it.
    NothingBelieved { says: &'static str },
    /// A summary without what was dropped; this is said of it.
    Partly { says: &'static str },
    /// An error after so many requests, with this wait in seconds.
    Error { kind: ErrorKind, requests: usize, wait: Option<f64> },
}

pub struct Case {
    pub name: &'static str,
    pub server: ModelServer,
    pub expected: Expected,
}

fn case(name: &'static str, replies: Vec<Reply>, expected: Expected) -> Case {
    Case { name, server: ModelServer::replies(replies), expected }
}

fn scripted(name: &'static str, script: impl FnMut(&Seen) -> Reply + Send + 'static, expected: Expected) -> Case {
    Case { name, server: ModelServer::start(script), expected }
}

/// Says this, after `count` replies of another kind.
pub fn then_good(first: Reply) -> impl FnMut(&Seen) -> Reply + Send + 'static {
    let mut first = Some(first);
    move |seen| first.take().unwrap_or_else(|| Reply::good(seen))
}

/// The good answer to [`facts`] with one member changed.
fn with(member: &str, value: Value) -> Reply {
    let mut answer = good_answer(&facts());
    answer[member] = value;
    Reply::Says(answer.to_string())
}

fn good() -> Reply {
    Reply::Says(good_answer(&facts()).to_string())
}

fn answered(mode: Mode, requests: usize) -> Expected {
    Summary { mode, model: "first", requests }
}

fn fails(kind: ErrorKind, requests: usize) -> Expected {
    Error { kind, requests, wait: None }
}

fn limited(seconds: f64) -> Expected {
    Error { kind: ErrorKind::RateLimited, requests: 1, wait: Some(seconds) }
}

pub fn well_answered() -> Vec<Case> {
    let text = good_answer(&facts()).to_string();
    let parts = json!({"choices": [{"message": {"content": [{"type": "text", "text": text}]}}]});
    vec![
        case("well", vec![good()], answered(Mode::JsonSchema, 1)),
        case("slowly", vec![Reply::After(Duration::from_millis(700), Box::new(good()))], answered(Mode::JsonSchema, 1)),
        case(
            "in prose",
            vec![Reply::Says(format!("Sure, here it is:\n\n{text}\n\nGood luck!"))],
            answered(Mode::JsonSchema, 1),
        ),
        case("in a code fence", vec![Reply::Says(format!("```json\n{text}\n```"))], answered(Mode::JsonSchema, 1)),
        case(
            "after thinking aloud",
            vec![Reply::Says(format!("<think>{{\"title\": 1}}</think>{text}"))],
            answered(Mode::JsonSchema, 1),
        ),
        case("in parts", vec![Reply::Completion(parts)], answered(Mode::JsonSchema, 1)),
        scripted("torn, then well", then_good(Reply::Tears), answered(Mode::JsonSchema, 2)),
        scripted("500, then well", then_good(Reply::error(500, "oops")), answered(Mode::JsonSchema, 2)),
        scripted("409, then well", then_good(Reply::error(409, "conflict")), answered(Mode::JsonSchema, 2)),
        scripted(
            "no JSON, then well a rung lower",
            then_good(Reply::Says("I think it is the database.".into())),
            answered(Mode::JsonObject, 2),
        ),
        scripted(
            "cut, then well with twice the room",
            |seen| match seen.body["max_tokens"].as_u64() {
                Some(900) => Reply::Completion(completion("first", "{\"title\":\"Requests fa", "length")),
                _ => Reply::good(seen),
            },
            answered(Mode::JsonSchema, 2),
        ),
    ]
}

/// Refuses every mode but those, in the words of real endpoints.
pub fn only(modes: &'static [&'static str]) -> impl FnMut(&Seen) -> Reply + Send + 'static {
    move |seen| match seen.mode() {
        mode if modes.contains(&mode) => Reply::good(seen),
        "json_schema" => Reply::error(400, "This response_format type is unavailable now"),
        "json_object" => Reply::error(422, "response_format: Extra inputs are not permitted"),
        _ => Reply::error(404, "No endpoints found that support tool use."),
    }
}

/// A model that takes neither `max_tokens` nor a temperature.
pub fn quirky(seen: &Seen) -> Reply {
    if seen.body.get("max_tokens").is_some() {
        return Reply::error(
            400,
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
        );
    }
    if seen.body.get("temperature").is_some() {
        return Reply::error(400, "Unsupported value: 'temperature' does not support 0 with this model.");
    }
    assert_eq!(seen.body["max_completion_tokens"], 900);
    Reply::good(seen)
}

pub fn by_model(seen: &Seen) -> Reply {
    match seen.model() {
        "first" => Reply::error(404, "Model not found"),
        _ => Reply::good(seen),
    }
}

pub fn of_other_abilities() -> Vec<Case> {
    vec![
        scripted("only json_object", only(&["json_object"]), answered(Mode::JsonObject, 2)),
        scripted("only tools", only(&["tool"]), answered(Mode::Tool, 3)),
        scripted("nothing but text", only(&["plain"]), answered(Mode::Plain, 4)),
        scripted("not even that", only(&[]), fails(ErrorKind::Refused, 4)),
        scripted("other parameters", quirky, answered(Mode::JsonSchema, 3)),
        scripted("a retired model", by_model, Summary { mode: Mode::JsonSchema, model: "second", requests: 2 }),
        case("all models retired", vec![Reply::error(404, "Model not found")], fails(ErrorKind::NoModel, 2)),
    ]
}

pub fn rate_limited() -> Vec<Case> {
    let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let slow = |headers: &[(&'static str, &str)]| vec![Reply::refusal(429, "too many requests", headers)];
    vec![
        case("429, seconds", slow(&[("retry-after", "60")]), limited(60.0)),
        case("429, a date", slow(&[("retry-after", "Sun, 06 Nov 1994 08:50:37 GMT"), date]), limited(60.0)),
        case("429, milliseconds", slow(&[("retry-after-ms", "61000"), ("retry-after", "1")]), limited(61.0)),
        case("429, epoch seconds", slow(&[("x-ratelimit-reset-tokens-per-minute", "784111817"), date]), limited(40.0)),
        case("429, a duration", slow(&[("x-ratelimit-reset-requests", "6m0s")]), limited(360.0)),
        case(
            "429, the limit that is spent",
            slow(&[
                ("x-ratelimit-reset-requests", "1s"),
                ("x-ratelimit-remaining-requests", "9"),
                ("x-ratelimit-reset-tokens", "90s"),
                ("x-ratelimit-remaining-tokens", "0"),
            ]),
            limited(90.0),
        ),
        case(
            "429 behind a 200",
            vec![Reply::Completion(json!({"error": {"code": 429, "message": "slow down"}}))],
            fails(ErrorKind::RateLimited, 2),
        ),
        case("429, no word of when", slow(&[]), fails(ErrorKind::RateLimited, 2)),
        case("429, no credit", vec![Reply::error(429, "insufficient_quota")], fails(ErrorKind::OutOfCredit, 1)),
        case(
            "503, seconds",
            vec![Reply::refusal(503, "overloaded", &[("retry-after", "30")])],
            Error { kind: ErrorKind::Unavailable, requests: 1, wait: Some(30.0) },
        ),
    ]
}

pub fn broken() -> Vec<Case> {
    let page = Reply::Raw {
        status: 200,
        headers: vec![("content-type", "text/html".into())],
        body: b"<html>hello</html>".to_vec(),
    };
    let cut = Reply::Completion(completion("first", "{\"title\":\"cu", "length"));
    let declined =
        json!({"choices": [{"message": {"content": null, "refusal": "I cannot help."}, "finish_reason": "stop"}]});
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    bomb.write_all(&vec![b' '; 64 << 20]).unwrap();
    let bomb =
        Reply::Raw { status: 200, headers: vec![("content-encoding", "gzip".into())], body: bomb.finish().unwrap() };
    vec![
        case("500 again and again", vec![Reply::error(500, "oops")], fails(ErrorKind::Unavailable, 2)),
        case("torn again and again", vec![Reply::Tears], fails(ErrorKind::Unavailable, 2)),
        case("cut again and again", vec![cut], fails(ErrorKind::Unusable, 2)),
        case("prose again and again", vec![Reply::Says("It is the database.".into())], fails(ErrorKind::Unusable, 2)),
        case("2 MB of text", vec![Reply::Says("x".repeat(2 << 20))], fails(ErrorKind::Unusable, 1)),
        case("64 MB in a small gzip", vec![bomb], fails(ErrorKind::Unusable, 1)),
        case("a web page", vec![page], fails(ErrorKind::Unusable, 1)),
        case("declined", vec![Reply::Completion(declined)], fails(ErrorKind::Unusable, 1)),
        case(
            "filtered",
            vec![Reply::Completion(completion("first", "", "content_filter"))],
            fails(ErrorKind::Unusable, 1),
        ),
        case(
            "401",
            vec![Reply::error(401, &format!("Incorrect API key provided: {KEY}"))],
            fails(ErrorKind::Unauthorized, 1),
        ),
        case("402", vec![Reply::error(402, "Insufficient Balance")], fails(ErrorKind::OutOfCredit, 1)),
        case("413", vec![Reply::error(413, "too large")], fails(ErrorKind::TooLarge, 1)),
        case(
            "context length",
            vec![Reply::error(400, "This model's maximum context length is 8192 tokens.")],
            fails(ErrorKind::TooLarge, 1),
        ),
        case("another place", vec![Reply::refusal(404, "no route", &[])], fails(ErrorKind::Refused, 1)),
    ]
}

pub fn not_believable() -> Vec<Case> {
    let proof = |statement: &str, cites: Value| json!([{"statement": statement, "cites": cites}]);
    let mixed = json!([
        {"statement": "412 events were counted.", "cites": ["counts.total"]},
        {"statement": "9,731 events were counted.", "cites": ["counts.total"]},
    ]);
    vec![
        case(
            "invented event ids",
            vec![with("evidence", proof("It began with a failed write.", json!(["evt-7777"])))],
            NothingBelieved { says: "evidence 1 \"evt-7777\" is cited, but was not sent" },
        ),
        case(
            "false numbers",
            vec![with("evidence", proof("9,731 events were counted.", json!(["counts.total"])))],
            NothingBelieved { says: "quotes 9,731, which is in none of the facts that it cites" },
        ),
        case(
            "some false numbers",
            vec![with("evidence", mixed)],
            Partly { says: "evidence 2 \"9,731 events were counted.\" quotes 9,731" },
        ),
        case(
            "a false title",
            vec![with("title", json!("9,731 orders lost"))],
            Partly { says: "title \"9,731 orders lost\" quotes 9,731" },
        ),
        case(
            "a foreign address",
            vec![with("impact", json!("See https://elsewhere.example/a."))],
            Partly { says: "is an address that was not sent" },
        ),
        case("wrong types", vec![with("title", json!({"text": 1}))], Partly { says: "is not a text" }),
        case(
            "wrong types throughout",
            vec![Reply::Says(json!({"title": 1, "evidence": "none", "confidence": []}).to_string())],
            NothingBelieved { says: "cites nothing that was sent" },
        ),
        case(
            "another object",
            vec![Reply::Says(json!({"answer": 42}).to_string())],
            NothingBelieved { says: "evidence is missing" },
        ),
    ]
}
