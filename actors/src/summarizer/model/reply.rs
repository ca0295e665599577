//! What a completion says: the answer's JSON object and what it cost. Tolerant of everything but a missing answer. Pure.

use serde_json::{Deserializer, Map, Value};

/// Places in a text where an object may begin that are looked at.
const BEGINNINGS: usize = 64;

/// What can be read from a completion.
#[derive(Debug)]
pub(super) struct Reply {
    /// The answer, or why there is none.
    pub answer: Result<Map<String, Value>, Unusable>,
    /// Tokens read and written, if the endpoint says.
    pub usage: Option<(u32, u32)>,
    /// The model that answered, if the endpoint says.
    pub model: Option<String>,
    /// Length of what it wrote, in bytes.
    pub written: usize,
}

/// Why a completion holds no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the answer was cut at its longest")]
    Cut,
    #[error("the answer holds no JSON object")]
    NoJson,
    #[error("the answer is empty")]
    Empty,
    #[error("the answer was filtered")]
    Filtered,
    #[error("the model declined to answer")]
    Declined,
    #[error("what answers there speaks another language than chat completions")]
    Foreign,
}

/// An error that came with status 200, as gateways send it: its status and text.
pub(super) fn hidden_error(body: &Value) -> Option<(u16, String)> {
    let error = body.get("error").filter(|error| !error.is_null() && body.get("choices").is_none())?;
    let code = error.get("code").and_then(|code| code.as_u64().or_else(|| code.as_str()?.parse().ok()));
    let status = code.and_then(|code| u16::try_from(code).ok()).filter(|code| (400..600).contains(code));
    Some((status.unwrap_or(502), body.to_string()))
}

/// Reads the body of a completion.
pub(super) fn read(body: &Value) -> Reply {
    let message = body.pointer("/choices/0/message");
    let finish = body.pointer("/choices/0/finish_reason").and_then(Value::as_str).unwrap_or_default();
    let text = message.map(written).unwrap_or_default();
    let declined = message.and_then(|message| message.get("refusal")).and_then(Value::as_str);
    let answer = match find_object(&text) {
        Some(object) => Ok(object),
        None if message.is_none() => Err(Unusable::Foreign),
        None if finish == "content_filter" => Err(Unusable::Filtered),
        None if declined.is_some_and(|why| !why.is_empty()) => Err(Unusable::Declined),
        None if finish == "length" => Err(Unusable::Cut),
        None if text.trim().is_empty() => Err(Unusable::Empty),
        None => Err(Unusable::NoJson),
    };
    let model = body.get("model").and_then(Value::as_str).filter(|model| !model.is_empty()).map(str::to_owned);
    Reply { answer, usage: usage(body), model, written: text.len() }
}

/// What the model wrote: the arguments of its tool call if it made one, else its content, whole or in parts.
fn written(message: &Value) -> String {
    let arguments =
        message.pointer("/tool_calls/0/function/arguments").or_else(|| message.pointer("/function_call/arguments"));
    match arguments.or_else(|| message.get("content")) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().filter_map(|part| part.get("text")?.as_str()).collect(),
        // Some endpoints parse the arguments themselves.
        Some(object @ Value::Object(_)) => object.to_string(),
        _ => String::new(),
    }
}

fn usage(body: &Value) -> Option<(u32, u32)> {
    let count = |place: &str| body.pointer(place).and_then(Value::as_u64).and_then(|count| u32::try_from(count).ok());
    let (read, wrote) = (count("/usage/prompt_tokens"), count("/usage/completion_tokens"));
    Some((read?, wrote?)).filter(|(read, _)| *read > 0)
}

/// Tokens of a text if nobody has counted them: four bytes make one.
pub(super) fn estimate(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(4)).unwrap_or(u32::MAX)
}

/// The answer's object in a text: the text itself, within a code fence, or amidst prose. Of several the one that looks most
/// like an answer, of equal ones the last: models that think aloud come to their answer at the end.
pub(super) fn find_object(text: &str) -> Option<Map<String, Value>> {
    if let Ok(object) = serde_json::from_str(text) {
        return Some(object);
    }
    let mut rest = text;
    let mut best: Option<(usize, Map<String, Value>)> = None;
    for _ in 0..BEGINNINGS {
        let Some(found) = rest.find('{').and_then(|at| rest.get(at..)) else { break };
        let mut stream = Deserializer::from_str(found).into_iter::<Map<String, Value>>();
        let next = stream.next();
        rest = match next {
            Some(Ok(object)) => {
                let likeness = likeness(&object);
                if likeness > 0 && best.as_ref().is_none_or(|(known, _)| *known <= likeness) {
                    best = Some((likeness, object));
                }
                found.get(stream.byte_offset()..).unwrap_or_default()
            }
            _ => found.get(1..).unwrap_or_default(),
        };
    }
    best.map(|(_, object)| object)
}

/// How many members of an answer it has.
fn likeness(object: &Map<String, Value>) -> usize {
    let members = ["title", "impact", "likely_causes", "evidence", "next_steps", "confidence"];
    members.iter().filter(|name| object.contains_key(**name)).count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn says(content: Value, finish: &str) -> Reply {
        read(&json!({"model": "m", "choices": [{"message": {"content": content}, "finish_reason": finish}]}))
    }

    #[test]
    fn the_object_is_found_wherever_it_stands() {
        let bare = r#"{"title":"T {x}","impact":"\"}"}"#;
        let expected: Map<String, Value> = serde_json::from_str(bare).unwrap();
        for text in [
            bare.to_owned(),
            format!(" \n{bare}\n"),
            format!("```json\n{bare}\n```"),
            format!("Sure! Here it is: {bare} Hope {{this}} helps."),
            format!("<think>maybe {{\"title\":\"draft\"}}?</think>{bare}"),
            format!("{{\"thoughts\":1}} {bare}"),
            format!("{{broken {bare}"),
        ] {
            assert_eq!(find_object(&text).as_ref(), Some(&expected), "{text}");
        }
        for text in ["", "no", "[1,2]", "{", r#"{"title":"cut"#, r#"{"other":1}  x"#] {
            assert_eq!(find_object(text), None, "{text}");
        }
    }

    #[test]
    fn all_ways_to_answer_are_read() {
        let object = json!({"title": "t"});
        let call = |arguments: Value| json!({"choices": [{"message": {"content": null, "tool_calls": [{"function": {"name": "incident_summary", "arguments": arguments}}]}}]});
        for body in [
            json!({"choices": [{"message": {"content": object.to_string()}}]}),
            json!({"choices": [{"message": {"content": [{"type": "text", "text": object.to_string()}]}}]}),
            call(json!(object.to_string())),
            call(object.clone()),
        ] {
            assert_eq!(Value::Object(read(&body).answer.unwrap()), object, "{body}");
        }
    }

    #[test]
    fn why_there_is_no_answer_is_told() {
        let table = [
            (says(json!("{\"title\":\"cu"), "length"), Unusable::Cut),
            (says(json!("I cannot."), "stop"), Unusable::NoJson),
            (says(json!(null), "stop"), Unusable::Empty),
            (says(json!(null), "content_filter"), Unusable::Filtered),
            (says(json!(42), "stop"), Unusable::Empty),
            (read(&json!({"choices": [{"message": {"content": null, "refusal": "no"}}]})), Unusable::Declined),
            (read(&json!({"choices": []})), Unusable::Foreign),
            (read(&json!("hello")), Unusable::Foreign),
        ];
        for (reply, why) in table {
            assert_eq!(reply.answer.unwrap_err(), why);
        }
    }

    #[test]
    fn usage_is_taken_when_it_makes_sense() {
        let used = |usage: Value| read(&json!({"choices": [], "usage": usage})).usage;
        assert_eq!(used(json!({"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9})), Some((7, 2)));
        for nonsense in [
            json!(null),
            json!({}),
            json!({"prompt_tokens": "7"}),
            json!({"prompt_tokens": -1, "completion_tokens": 2}),
        ] {
            assert_eq!(used(nonsense), None);
        }
        assert_eq!((estimate(0), estimate(5), estimate(8)), (0, 2, 2));
    }

    #[test]
    fn an_error_behind_a_200_is_seen() {
        let hidden = |body: Value| hidden_error(&body).map(|(status, _)| status);
        assert_eq!(hidden(json!({"error": {"code": 429, "message": "slow"}})), Some(429));
        assert_eq!(hidden(json!({"error": {"code": "503"}})), Some(503));
        assert_eq!(hidden(json!({"error": "no"})), Some(502));
        assert_eq!(hidden(json!({"error": null})), None);
        assert_eq!(hidden(json!({"error": {"code": 400}, "choices": []})), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic_and_what_is_wrapped_is_found(before in "[^{]{0,40}", after in ".{0,40}", title in ".{0,20}") {
            let _ = find_object(&after);
            let object = json!({"title": title, "evidence": []});
            let text = format!("{before}{object}{}", after.replace('{', "("));
            prop_assert_eq!(find_object(&text).map(Value::Object), Some(object));
        }
    }
}
