//! A whole request -> the records for the log and the answer for the client. Pure: bytes in, bytes out.

use super::answer::{Accepted, BatchAccepted, Rejected};
use super::event::{Intake, Refused, take_in};
use super::limits::EVENT_BYTES;
use super::split::{Event, Events, Form, split};
use crate::error::{FieldError, Problem};
use crate::producer::Records;

/// Bytes that an envelope adds to the event it was made of, about.
const FRAME: usize = 320;

/// What goes to the log, and what the client is told once it is there.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) records: Records,
    /// Events in the request, refused ones included.
    pub(super) events: u32,
    pub(super) answer: Answer,
}

/// The body of a 202.
#[derive(Debug)]
pub(super) enum Answer {
    Single(Accepted),
    Batch(BatchAccepted),
}

/// # Errors
/// 400, 413 or 422 if nothing of the request can be taken.
pub(super) fn prepare(body: &[u8], form: Form, intake: Intake<'_>) -> Result<Prepared, Problem> {
    match split(body, form)? {
        Events::Single(event) => single(event, intake),
        Events::Many { events, pointer } => many(&events, pointer, intake),
    }
}

fn single(event: &str, intake: Intake<'_>) -> Result<Prepared, Problem> {
    let mut records = Records::with_capacity(event.len().min(EVENT_BYTES) + FRAME);
    let mut event_id = String::new();
    records.push(|log| take_in(event, intake, log).map(|id| event_id = id)).map_err(|refused| match refused {
        Refused::Malformed(detail) => Problem::malformed(format!("the body is no JSON: {detail}")),
        Refused::TooLarge => Problem::too_large(too_large()),
        Refused::Invalid(errors) => Problem::invalid(errors),
    })?;
    let answer = Answer::Single(Accepted { accepted: true, event_id, received_at: intake.received_at });
    Ok(Prepared { records, events: 1, answer })
}

fn many(events: &[Event<'_>], pointer: &str, intake: Intake<'_>) -> Result<Prepared, Problem> {
    let bytes: usize = events.iter().flatten().map(|event| event.len() + FRAME).sum();
    let mut records = Records::with_capacity(bytes);
    let (mut event_ids, mut refusals) = (Vec::with_capacity(events.len()), Vec::new());
    for (index, event) in events.iter().enumerate() {
        let taken = records.push(|log| {
            let event = event.map_err(|error| Refused::Malformed(format!("not UTF-8: {error}")))?;
            take_in(event, intake, log).map(|id| event_ids.push(id))
        });
        if let Err(refused) = taken {
            refusals.push((index, refused));
        }
    }
    if event_ids.is_empty() {
        return Err(nothing_taken(refusals, pointer));
    }
    let answer = BatchAccepted {
        accepted: true,
        count: event_ids.len(),
        event_ids,
        received_at: intake.received_at,
        rejected: refusals.into_iter().map(|(index, refused)| rejected(index, refused)).collect(),
    };
    // The form allows no more than a thousand.
    Ok(Prepared { records, events: u32::try_from(events.len()).unwrap_or(u32::MAX), answer: Answer::Batch(answer) })
}

fn rejected(index: usize, refused: Refused) -> Rejected {
    let (code, detail) = match refused {
        Refused::Malformed(detail) => ("malformed", format!("no JSON: {detail}")),
        Refused::TooLarge => ("too_large", too_large()),
        Refused::Invalid(errors) => {
            let words: Vec<String> = errors
                .iter()
                .map(|error| format!("{} {}", error.pointer, error.detail).trim_start().to_owned())
                .collect();
            ("invalid", words.join("; "))
        }
    };
    Rejected { index, code, detail }
}

/// 422 that names every member of every event.
fn nothing_taken(refusals: Vec<(usize, Refused)>, pointer: &str) -> Problem {
    let mut errors = Vec::new();
    for (index, refused) in refusals {
        let place = format!("{pointer}/{index}");
        match refused {
            Refused::Invalid(inner) => {
                errors.extend(inner.into_iter().map(|e| FieldError::new(format!("{place}{}", e.pointer), e.detail)));
            }
            other => errors.push(FieldError::new(place, rejected(index, other).detail)),
        }
    }
    Problem::invalid(errors)
}

fn too_large() -> String {
    format!("an event may have {EVENT_BYTES} bytes")
}

impl Answer {
    /// Its JSON.
    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        match self {
            Self::Single(accepted) => serde_json::to_vec(accepted),
            Self::Batch(accepted) => serde_json::to_vec(accepted),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Principal;
    use chrono::{TimeZone, Utc};
    use proptest::prelude::*;

    fn prepared(body: &str, form: Form) -> Result<Prepared, Problem> {
        let principal =
            Principal { key_id: "k".into(), org_id: "o".into(), project_id: "p".into(), scopes: Vec::new() };
        let received_at = Utc.with_ymd_and_hms(2026, 11, 24, 12, 0, 0).unwrap();
        prepare(body.as_bytes(), form, Intake { principal: &principal, received_at })
    }

    const GOOD: &str = r#"{"event_type":"error","message":"m","event_id":"good"}"#;

    #[test]
    fn a_bad_item_never_sinks_the_good_ones() {
        let huge = format!(r#"{{"event_type":"error","message":"{}"}}"#, "x".repeat(EVENT_BYTES));
        let body = format!("{GOOD}\n{{\"message\":5}}\nbroken\n{huge}\n{GOOD}");
        let prepared = prepared(&body, Form::Lines).unwrap();
        assert_eq!((prepared.records.len(), prepared.events), (2, 5));
        let Answer::Batch(answer) = prepared.answer else { panic!() };
        assert_eq!((answer.count, answer.event_ids), (2, vec!["good".to_owned(), "good".to_owned()]));
        let rejected: Vec<_> = answer.rejected.iter().map(|rejected| (rejected.index, rejected.code)).collect();
        assert_eq!(rejected, [(1, "invalid"), (2, "malformed"), (3, "too_large")]);
        assert_eq!(answer.rejected[0].detail, "/event_type is required; /message must be a string");
    }

    #[test]
    fn a_request_of_bad_items_alone_is_refused_with_every_member() {
        let problem = prepared(r#"{"events":[{"message":5},7]}"#, Form::Batch).unwrap_err();
        let pointers: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(problem.status, 422);
        assert_eq!(pointers, ["/events/0/event_type", "/events/0/message", "/events/1"]);
    }

    #[test]
    fn one_event_is_answered_as_one_and_a_list_of_one_as_a_list() {
        assert!(matches!(prepared(GOOD, Form::Events).unwrap().answer, Answer::Single(_)));
        assert!(matches!(prepared(&format!("[{GOOD}]"), Form::Events).unwrap().answer, Answer::Batch(_)));
    }

    proptest! {
        /// Whatever comes is taken or refused as the client's fault; nothing makes it panic.
        #[test]
        fn any_bytes_are_taken_or_refused(
            body in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..200),
                r#"[\[{"events":]{0,12}(\{("event_type":"error"|"message":"m"|"attributes":\{[a-z":,\[\]{}]{0,20}|,){0,4}\}?[,\n\]]?){0,3}"#
                    .prop_map(String::into_bytes),
            ],
        ) {
            let principal =
                Principal { key_id: "k".into(), org_id: "o".into(), project_id: "p".into(), scopes: Vec::new() };
            let received_at = Utc.with_ymd_and_hms(2026, 11, 24, 12, 0, 0).unwrap();
            for form in [Form::Events, Form::Lines, Form::Batch] {
                match prepare(&body, form, Intake { principal: &principal, received_at }) {
                    Ok(prepared) => prop_assert!(!prepared.records.is_empty()),
                    Err(problem) => prop_assert!(problem.status.is_client_error(), "{}", problem),
                }
            }
        }
    }
}
