//! The request: `POST {base}/chat/completions`, as the openai client writes it.

use super::ladder::{Abilities, Mode};
use crate::summarizer::prompt::{ANSWER_NAME, answer_schema, rules};
use serde_json::{Map, Value, json};

/// The body that asks `model` about `document`, JSON text.
pub(super) fn body(model: &str, document: &str, abilities: Abilities, max_tokens: u32) -> Value {
    let messages = json!([{"role": "system", "content": rules()}, {"role": "user", "content": document}]);
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| body.insert(name.to_owned(), value);
    put("model", model.into());
    put("messages", messages);
    put(if abilities.max_tokens { "max_tokens" } else { "max_completion_tokens" }, max_tokens.into());
    if abilities.temperature {
        put("temperature", 0.into());
    }
    match abilities.mode {
        Mode::JsonSchema => {
            let schema = json!({"name": ANSWER_NAME, "strict": true, "schema": answer_schema()});
            put("response_format", json!({"type": "json_schema", "json_schema": schema}));
        }
        Mode::JsonObject => {
            put("response_format", json!({"type": "json_object"}));
        }
        Mode::Tool => {
            let function = json!({
                "name": ANSWER_NAME,
                "description": "Gives the summary of the incident.",
                "parameters": answer_schema(),
                "strict": true,
            });
            put("tools", json!([{"type": "function", "function": function}]));
            put("tool_choice", json!({"type": "function", "function": {"name": ANSWER_NAME}}));
        }
        Mode::Plain => {}
    }
    Value::Object(body)
}
