//! What an endpoint means by an answer that is none. Pure.
//!
//! Status codes alone do not tell: a model that is gone is a 404, a 400 or a 403; a refused `response_format` a 400, 422,
//! 404 or 500. So the words decide where they are known, and the status where they are not.

use super::error::ErrorKind;
use super::ladder::Unsupported;
use serde_json::Value;

/// What to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Ask the same in another way.
    Unsupported(Unsupported),
    /// Ask another model.
    ModelGone,
    /// Tell the caller.
    Final(ErrorKind),
}

/// The words of the models that are no more.
const GONE: &[&str] = &[
    "model_not_found",
    "model not found",
    "model_decommissioned",
    "decommissioned",
    "model_not_available",
    "invalid model",
    "invalid_model",
    "unknown model",
    "no such model",
    "not a valid model",
    "access to model",
    "has been retired",
    "model_deprecated",
];
/// With one of these a `model` is no more.
const ABSENT: &[&str] =
    &["not found", "does not exist", "not exist", "no longer", "deprecated", "retired", "not available"];
const TOO_LARGE: &[&str] = &[
    "context_length",
    "context length",
    "context window",
    "context size",
    "maximum context",
    "prompt is too long",
    "too many tokens",
    "reduce the length",
    "input is too long",
    "string too long",
];
/// The words of those who do not take the shape that is asked for.
const SHAPE: &[&str] = &[
    "response_format",
    "response format",
    "json_schema",
    "json_object",
    "json schema",
    "structured output",
    "grammar",
    "guided",
    "tool",
    "function",
    "strict",
    "requested parameters",
    "json mode",
    "failed to generate json",
];
const SPENT: &[&str] =
    &["insufficient_quota", "insufficient credit", "insufficient balance", "billing", "payment required"];
const FILTERED: &[&str] = &["content_filter", "content filter", "content_policy", "content management policy"];

/// What an error means. `body` is its text, JSON or not.
pub(super) fn read(status: u16, body: &str) -> Refusal {
    let said = body.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| said.contains(word));
    let is_bad_request = matches!(status, 400 | 404 | 405 | 415 | 422 | 501);
    if status == 402 || (says(SPENT) && matches!(status, 400 | 403 | 429)) {
        return Refusal::Final(ErrorKind::OutOfCredit);
    }
    if status == 413 || (is_bad_request && says(TOO_LARGE)) {
        return Refusal::Final(ErrorKind::TooLarge);
    }
    if let Some(parameter) = parameter(&said).filter(|_| is_bad_request) {
        return Refusal::Unsupported(parameter);
    }
    if is_bad_request && says(FILTERED) {
        return Refusal::Final(ErrorKind::Unusable);
    }
    // Before the missing model: "response_format is not supported by this model" is about the shape.
    if (is_bad_request || status == 500) && says(SHAPE) {
        return Refusal::Unsupported(Unsupported::Mode);
    }
    let names_model = said.contains("model") && says(ABSENT);
    if status == 410 || ((is_bad_request || status == 403) && (says(GONE) || names_model)) {
        return Refusal::ModelGone;
    }
    by_status(status)
}

fn by_status(status: u16) -> Refusal {
    Refusal::Final(match status {
        401 | 403 => ErrorKind::Unauthorized,
        408 | 409 | 425 => ErrorKind::Unavailable,
        429 => ErrorKind::RateLimited,
        // Whatever it is that is not understood: something simpler may be.
        400 | 422 | 501 => return Refusal::Unsupported(Unsupported::Mode),
        500.. => ErrorKind::Unavailable,
        _ => ErrorKind::Refused,
    })
}

/// A parameter that is refused by name.
fn parameter(said: &str) -> Option<Unsupported> {
    if said.contains("max_tokens") && said.contains("max_completion_tokens") {
        return Some(Unsupported::MaxTokens);
    }
    let is_refused =
        ["unsupported", "not support", "only the default", "deprecated"].iter().any(|word| said.contains(word));
    (said.contains("temperature") && is_refused).then_some(Unsupported::Temperature)
}

/// The sentence in an error's body: `error.message`, `error`, `message` or `detail`; else its text.
pub(super) fn sentence(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let found = parsed.as_ref().and_then(|value| {
        let places = ["/error/message", "/error", "/message", "/detail"];
        places.iter().find_map(|place| value.pointer(place)).map(|said| match said {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    });
    found.unwrap_or_else(|| body.to_owned())
}

#[cfg(test)]
mod tests {
    use super::Refusal::{Final, ModelGone, Unsupported as Not};
    use super::*;
    use ErrorKind::{OutOfCredit, RateLimited, Refused, TooLarge, Unauthorized, Unavailable, Unusable};
    use Unsupported::{MaxTokens, Mode, Temperature};

    /// What real endpoints say, and what they mean.
    const SAID: &[(u16, &str, Refusal)] = &[
        (
            400,
            r#"{"error":{"message":"Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.","type":"invalid_request_error","param":"response_format","code":null}}"#,
            Not(Mode),
        ),
        (
            400,
            r#"{"error":{"message":"This model does not support response format `json_schema`.","type":"invalid_request_error"}}"#,
            Not(Mode),
        ),
        (
            400,
            r#"{"error":{"message":"This response_format type is unavailable now","type":"invalid_request_error"}}"#,
            Not(Mode),
        ),
        (400, r#"{"error":"'response_format.type' must be 'json_schema' or 'text'"}"#, Not(Mode)),
        (
            400,
            r#"{"error":{"message":"Failed to generate JSON. Please adjust your prompt.","code":"json_validate_failed"}}"#,
            Not(Mode),
        ),
        (
            422,
            r#"{"detail":[{"type":"extra_forbidden","loc":["body","response_format"],"msg":"Extra inputs are not permitted"}]}"#,
            Not(Mode),
        ),
        (422, r#"{"detail":"Unprocessable"}"#, Not(Mode)),
        (
            404,
            r#"{"error":{"message":"No endpoints found that can handle the requested parameters.","code":404}}"#,
            Not(Mode),
        ),
        (404, r#"{"error":{"message":"No endpoints found that support tool use.","code":404}}"#, Not(Mode)),
        (400, r#"{"error":{"message":"registry.ollama.ai/library/gemma does not support tools"}}"#, Not(Mode)),
        (500, r#"{"error":{"code":500,"message":"failed to parse grammar","type":"server_error"}}"#, Not(Mode)),
        (501, "", Not(Mode)),
        (
            400,
            r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.","param":"max_tokens","code":"unsupported_parameter"}}"#,
            Not(MaxTokens),
        ),
        (
            400,
            r#"{"error":{"message":"Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is supported.","param":"temperature"}}"#,
            Not(Temperature),
        ),
        (
            404,
            r#"{"error":{"message":"The model `llama3.3-70b-instruct` does not exist or you do not have access to it.","code":"model_not_found"}}"#,
            ModelGone,
        ),
        (404, r#"{"id":"not_found","message":"Model not found"}"#, ModelGone),
        (
            400,
            r#"{"error":{"message":"The model `llama3-70b-8192` has been decommissioned and is no longer supported.","code":"model_decommissioned"}}"#,
            ModelGone,
        ),
        (400, r#"{"object":"error","message":"Invalid model: mistral-old","code":"1500"}"#, ModelGone),
        (
            403,
            r#"{"error":{"message":"Project `p` does not have access to model `gpt-9`","code":"model_not_found"}}"#,
            ModelGone,
        ),
        (404, r#"{"error":"model \"llama9\" not found, try pulling it first"}"#, ModelGone),
        (410, "", ModelGone),
        (404, "<html>404 page</html>", Final(Refused)),
        (
            400,
            r#"{"error":{"message":"This model's maximum context length is 8192 tokens.","code":"context_length_exceeded"}}"#,
            Final(TooLarge),
        ),
        (413, "", Final(TooLarge)),
        (
            400,
            r#"{"error":{"code":"content_filter","message":"The response was filtered due to the prompt triggering the content management policy."}}"#,
            Final(Unusable),
        ),
        (401, r#"{"error":{"message":"Incorrect API key provided"}}"#, Final(Unauthorized)),
        (403, r#"{"id":"forbidden","message":"You are not authorized"}"#, Final(Unauthorized)),
        (402, r#"{"error":{"message":"Insufficient Balance"}}"#, Final(OutOfCredit)),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#,
            Final(OutOfCredit),
        ),
        (429, r#"{"id":"too_many_requests","message":"rate limit"}"#, Final(RateLimited)),
        (408, "", Final(Unavailable)),
        (409, "", Final(Unavailable)),
        (500, r#"{"error":{"message":"The server had an error"}}"#, Final(Unavailable)),
        (503, "overloaded", Final(Unavailable)),
        (529, "overloaded", Final(Unavailable)),
        (301, "", Final(Refused)),
        (418, "", Final(Refused)),
    ];

    #[test]
    fn what_real_endpoints_say_is_understood() {
        for (status, body, expected) in SAID {
            assert_eq!(read(*status, body), *expected, "{status} {body}");
        }
    }

    #[test]
    fn the_sentence_is_found_where_endpoints_put_it() {
        for body in
            [r#"{"error":{"message":"no"}}"#, r#"{"error":"no"}"#, r#"{"message":"no"}"#, r#"{"detail":"no"}"#, "no"]
        {
            assert_eq!(sentence(body), "no", "{body}");
        }
        assert_eq!(sentence(r#"{"detail":[1]}"#), "[1]");
    }
}
