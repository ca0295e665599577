//! An event as a client sends it, and the incident that it will be counted in.

use chrono::{DateTime, Utc};
use schema::event::{EventType, Severity};
use schema::fingerprint::{Grouping, fingerprint, template_message, template_route};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::time::Duration;

/// The body of `POST /v1/events`. Every member is given, so that nothing is left to the server's defaults.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientEvent {
    /// Counts once per project, however often it is sent.
    pub event_id: String,
    /// What kind.
    pub event_type: EventType,
    /// How bad.
    pub severity: Severity,
    /// `prod`, `staging`, ...
    pub environment: String,
    /// For people.
    pub message: String,
    /// Event time.
    pub occurred_at: DateTime<Utc>,
    /// `route`, `error_code`, `release`, ...
    pub attributes: Map<String, Value>,
    /// Free data.
    pub payload: Map<String, Value>,
}

/// The incident that an error event is counted in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// 64 lower-case hex digits; see [`schema::fingerprint`].
    pub fingerprint: String,
    /// A name for people: the code or the message's template, then the route's template.
    pub title: String,
    /// The environment, which is part of the fingerprint.
    pub environment: String,
}

impl ClientEvent {
    /// Where ingest will group this event; `None` for every kind that opens no incident.
    pub fn group(&self) -> Option<Group> {
        if self.event_type != EventType::Error {
            return None;
        }
        let text = |name: &str| self.attributes.get(name).and_then(Value::as_str);
        let (error_code, route, custom) = (self.error_code(), text("route"), self.custom_fingerprint());
        let error_code = error_code.as_deref();
        let kind = match (&custom, error_code) {
            (Some(parts), _) => parts.join(" / "),
            (None, Some(code)) => code.to_owned(),
            (None, None) => template_message(&self.message),
        };
        let title = match route {
            Some(route) => format!("{kind} {}", template_route(route)),
            None => kind,
        };
        let grouping = Grouping { error_code, route, environment: &self.environment, message: &self.message, custom };
        Some(Group { fingerprint: fingerprint(&grouping), title, environment: self.environment.clone() })
    }

    /// Ingest takes a number for a code, too.
    fn error_code(&self) -> Option<Cow<'_, str>> {
        match self.attributes.get("error_code")? {
            Value::String(code) => Some(code.into()),
            Value::Number(code) => Some(code.to_string().into()),
            _ => None,
        }
    }

    fn custom_fingerprint(&self) -> Option<Vec<&str>> {
        match self.attributes.get("fingerprint")? {
            Value::String(text) => Some(vec![text]),
            Value::Array(parts) => parts.iter().map(Value::as_str).collect(),
            _ => None,
        }
    }
}

/// An event ready to be sent: its bytes are made once and are the same in every attempt.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// When to send it, from the start of the run.
    pub at: Duration,
    /// Its id, as it stands in `json`.
    pub event_id: String,
    /// The event as a JSON object.
    pub json: String,
    /// Where it will be counted, if that is to be tallied.
    pub group: Option<Group>,
}

impl Outgoing {
    /// Encodes the event.
    pub fn encode(at: Duration, event: ClientEvent) -> Self {
        // This shape always has a JSON form. If it had none, ingest would refuse the empty text and the report show it.
        let json = serde_json::to_string(&event).unwrap_or_default();
        let group = event.group();
        Self { at, event_id: event.event_id, json, group }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn event(event_type: EventType, message: &str, attributes: Value) -> ClientEvent {
        let Value::Object(attributes) = attributes else { panic!("attributes are an object") };
        ClientEvent {
            event_id: "e1".into(),
            event_type,
            severity: Severity::Error,
            environment: "prod".into(),
            message: message.into(),
            occurred_at: DateTime::UNIX_EPOCH,
            attributes,
            payload: Map::new(),
        }
    }

    #[test]
    fn only_errors_have_a_group() {
        for kind in EventType::ALL {
            let group = event(*kind, "m", json!({"error_code": "X"})).group();
            assert_eq!(group.is_some(), *kind == EventType::Error, "{kind}");
        }
    }

    #[test]
    fn ids_in_routes_and_messages_do_not_part_events_of_a_kind() {
        let group = |message: &str, attributes| event(EventType::Error, message, attributes).group().unwrap();
        let coded = group("a", json!({"error_code": "X", "route": "/users/1"}));
        assert_eq!(coded, group("b", json!({"error_code": "X", "route": "/users/2?q=1"})));
        assert_eq!(coded.title, "X /users/:id");
        assert_eq!(group("a", json!({"error_code": 7})), group("b", json!({"error_code": "7"})));
        let uncoded = group("user 17 is gone", json!({}));
        assert_eq!(uncoded, group("user 4 is gone", json!({})));
        assert_ne!(uncoded.fingerprint, coded.fingerprint);
    }

    #[test]
    fn the_clients_own_fingerprint_wins_as_text_and_as_list() {
        let group = |attributes| event(EventType::Error, "m", attributes).group().unwrap();
        let list = group(json!({"error_code": "X", "route": "/a", "fingerprint": ["pay", "gateway"]}));
        assert_eq!(list.fingerprint, group(json!({"fingerprint": ["pay", "gateway"]})).fingerprint);
        assert_ne!(list.fingerprint, group(json!({"fingerprint": "pay"})).fingerprint);
    }
}
