//! A request's text -> its events, each still as text. Pure.

use super::document::{read_object, without_place};
use super::limits::BATCH_EVENTS;
use crate::error::{FieldError, Problem};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use std::fmt;
use std::str::Utf8Error;

/// How a body is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// One event, a list of events, or one event a line, by its shape.
    Events,
    /// One event a line.
    Lines,
    /// `{"events": [...]}`.
    Batch,
}

/// One event of many; a line need not even be text.
pub(super) type Event<'a> = Result<&'a str, Utf8Error>;

/// The events of a request.
#[derive(Debug)]
pub(super) enum Events<'a> {
    Single(&'a str),
    /// With the JSON pointer of the list in the body.
    Many {
        events: Vec<Event<'a>>,
        pointer: &'static str,
    },
}

const WANTED: &str = "is required: a list of 1 to 1000 events";

/// # Errors
/// 400 if the body is no JSON, 422 if it is another JSON value than the form wants or holds no event or too many.
pub(super) fn split(body: &[u8], form: Form) -> Result<Events<'_>, Problem> {
    if form == Form::Lines {
        return lines(body);
    }
    let text =
        std::str::from_utf8(body).map_err(|error| Problem::malformed(format!("the body is not UTF-8: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).trim_ascii();
    match (form, text.bytes().next()) {
        (_, None) => Err(Problem::malformed("the body is empty")),
        (Form::Batch, _) => batch(text),
        (_, Some(b'[')) => {
            let List(events) = serde_json::from_str(text).map_err(|error| refusal(&error, ""))?;
            many(events.into_iter().map(|raw| Ok(raw.get())).collect(), "")
        }
        (_, Some(_)) if begins_with_a_line(text) => lines(text.as_bytes()),
        _ => Ok(Events::Single(text)),
    }
}

fn batch(text: &str) -> Result<Events<'_>, Problem> {
    #[derive(Deserialize)]
    struct Body<'a> {
        #[serde(borrow)]
        events: Option<List<'a>>,
    }
    let body: Body<'_> = read_object(text).map_err(|error| refusal(&error, "/events"))?;
    let List(events) = body.events.ok_or_else(|| Problem::invalid(vec![FieldError::new("/events", WANTED)]))?;
    many(events.into_iter().map(|raw| Ok(raw.get())).collect(), "/events")
}

fn lines(body: &[u8]) -> Result<Events<'_>, Problem> {
    let lines = body.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    many(lines.take(BATCH_EVENTS + 1).map(std::str::from_utf8).collect(), "")
}

fn many<'a>(events: Vec<Event<'a>>, pointer: &'static str) -> Result<Events<'a>, Problem> {
    match events.len() {
        0 => Err(Problem::invalid(vec![FieldError::new(pointer, "holds no event")])),
        1..=BATCH_EVENTS => Ok(Events::Many { events, pointer }),
        _ => Err(Problem::invalid(vec![FieldError::new(pointer, too_many())])),
    }
}

/// Whether the first line is a whole JSON value and more follows: one event a line without a name for it.
fn begins_with_a_line(text: &str) -> bool {
    text.split_once('\n').is_some_and(|(first, _)| serde_json::from_str::<&RawValue>(first).is_ok())
}

fn refusal(error: &serde_json::Error, pointer: &str) -> Problem {
    if error.is_data() {
        Problem::invalid(vec![FieldError::new(pointer, without_place(error))])
    } else {
        Problem::malformed(format!("the body is no JSON: {error}"))
    }
}

fn too_many() -> String {
    format!("holds more than {BATCH_EVENTS} events")
}

/// A list of at most [`BATCH_EVENTS`] values as text; the rest is not even looked at.
struct List<'a>(Vec<&'a RawValue>);

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = List<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of events")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut events = Vec::new();
        while let Some(event) = list.next_element()? {
            if events.len() == BATCH_EVENTS {
                return Err(A::Error::custom(too_many()));
            }
            events.push(event);
        }
        Ok(List(events))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn many_of(body: &str, form: Form) -> Vec<String> {
        match split(body.as_bytes(), form).unwrap() {
            Events::Many { events, .. } => events.into_iter().map(|event| event.unwrap().to_owned()).collect(),
            Events::Single(text) => panic!("single: {text}"),
        }
    }

    fn refused(body: &[u8], form: Form) -> (u16, &'static str, Option<String>) {
        let problem = split(body, form).unwrap_err();
        (problem.status.as_u16(), problem.code, problem.errors.first().map(|error| error.pointer.clone()))
    }

    #[test]
    fn the_shape_tells_one_event_from_a_list_and_from_lines() {
        for single in [" {\"a\":1}\n", "{\n\"a\":1\n}", "\u{feff}{}", "5", "{broken"] {
            assert!(matches!(split(single.as_bytes(), Form::Events), Ok(Events::Single(_))), "{single}");
        }
        assert_eq!(many_of("[{\"a\":1} , 2]", Form::Events), ["{\"a\":1}", "2"]);
        assert_eq!(many_of("{\"a\":1}\n\n{\"b\":2}\r\n", Form::Events), ["{\"a\":1}", "{\"b\":2}"]);
        assert_eq!(many_of("{}\nbroken", Form::Events), ["{}", "broken"]);
        assert_eq!(many_of("{\"a\":1}", Form::Lines), ["{\"a\":1}"]);
        assert_eq!(many_of("{\"x\":0,\"events\":[1]}", Form::Batch), ["1"]);
    }

    #[test]
    fn a_line_that_is_no_text_stays_alone() {
        let Events::Many { events, .. } = split(b"{}\n\xff\xfe\n{}", Form::Lines).unwrap() else { panic!() };
        assert_eq!(events.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }

    #[test]
    fn what_holds_no_list_of_events_is_refused() {
        assert_eq!(refused(b"", Form::Events), (400, "malformed", None));
        assert_eq!(refused(b"\xff", Form::Events), (400, "malformed", None));
        assert_eq!(refused(b"[1,", Form::Events), (400, "malformed", None));
        assert_eq!(refused(b"[]", Form::Events), (422, "invalid", Some(String::new())));
        assert_eq!(refused(b"\n \n", Form::Lines), (422, "invalid", Some(String::new())));
        for bad in [
            &b"{}"[..],
            b"{\"events\":null}",
            b"{\"events\":[]}",
            b"{\"events\":5}",
            b"[]",
            b"{\"events\":[],\"events\":[]}",
        ] {
            assert_eq!(refused(bad, Form::Batch), (422, "invalid", Some("/events".into())), "{bad:?}");
        }
    }

    #[test]
    fn a_request_holds_a_thousand_events_at_most() {
        let list = |n: usize| format!("[{}1]", "1,".repeat(n - 1));
        assert_eq!(many_of(&list(1_000), Form::Events).len(), 1_000);
        assert_eq!(refused(list(1_001).as_bytes(), Form::Events).0, 422);
        assert_eq!(refused("1\n".repeat(1_001).as_bytes(), Form::Lines).0, 422);
        assert_eq!(refused(format!("{{\"events\":{}}}", list(1_001)).as_bytes(), Form::Batch).0, 422);
    }
}
