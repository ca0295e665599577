//! Old days go: by the server's own index management (ISM) where it is there and lets us, else by our own deletion.

use super::call::{Call, failure, misunderstood};
use super::layout::day_of;
use super::{OpenSearch, PATIENCE};
use chrono::NaiveDate;
use opensearch::http::{Method, StatusCode};
use schema::search::SearchError;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Index {
    index: String,
}

/// A policy as the server keeps it, and the place that an update must name.
#[derive(Deserialize)]
struct Found {
    _seq_no: i64,
    _primary_term: i64,
    policy: Value,
}

/// Deletes an index so many days after its day, and takes in every index of ours from then on.
fn policy(prefix: &str, days: u32) -> Value {
    // An index is made with its day's first event, and its last event comes up to a day later.
    let age = days.saturating_add(1);
    json!({"policy": {
        "description": format!("Deletes Signals' events after {days} days."),
        "default_state": "kept",
        "states": [
            {"name": "kept", "actions": [], "transitions": [
                {"state_name": "deleted", "conditions": {"min_index_age": format!("{age}d")}},
            ]},
            {"name": "deleted", "actions": [{"delete": {}}], "transitions": []},
        ],
        "ism_template": [{"index_patterns": [format!("{prefix}-*")], "priority": 100}],
    }})
}

fn age(policy: &Value) -> Option<&str> {
    policy.pointer("/states/0/transitions/0/conditions/min_index_age").and_then(Value::as_str)
}

impl OpenSearch {
    /// Gives retention to the server. False if it has no index management, or none that we may use.
    pub(super) async fn give_retention_to_server(&self) -> Result<bool, SearchError> {
        let name = format!("{}-retention", self.prefix);
        let path = format!("_plugins/_ism/policies/{name}");
        let (status, body) = Call::new(Method::Get, &path, PATIENCE).answer(&self.transport).await?;
        let wanted = policy(&self.prefix, self.retention_days);
        match status {
            StatusCode::OK => {
                let found: Found = serde_json::from_slice(&body).map_err(|error| misunderstood(&error))?;
                if age(&found.policy) != wanted.get("policy").and_then(age) {
                    let (seq_no, term) = (found._seq_no.to_string(), found._primary_term.to_string());
                    let place = [("if_seq_no", seq_no.as_str()), ("if_primary_term", term.as_str())];
                    Call::new(Method::Put, &path, PATIENCE).query(&place).json(&wanted).send(&self.transport).await?;
                    self.tell_indices("change_policy", &name).await?;
                }
            }
            StatusCode::NOT_FOUND => {
                Call::new(Method::Put, &path, PATIENCE).json(&wanted).send(&self.transport).await?;
            }
            // A server without the plugin has no handler for the path; one with it may not let this user.
            StatusCode::BAD_REQUEST
            | StatusCode::METHOD_NOT_ALLOWED
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN => {
                return Ok(false);
            }
            other => return Err(failure(other, &body)),
        }
        // Days that were there before the policy; those that have it already stay as they are.
        self.tell_indices("add", &name).await?;
        Ok(true)
    }

    /// No index is there yet at the first start: then there is nobody to tell.
    async fn tell_indices(&self, what: &str, policy: &str) -> Result<(), SearchError> {
        let path = format!("_plugins/_ism/{what}/{}-*", self.prefix);
        let told = Call::new(Method::Post, &path, PATIENCE).json(&json!({"policy_id": policy}));
        match told.answer(&self.transport).await? {
            (status, _) if status.is_success() || status == StatusCode::NOT_FOUND => Ok(()),
            (status, body) => Err(failure(status, &body)),
        }
    }

    /// Our own deletion.
    pub(super) async fn delete_days_before(&self, oldest: NaiveDate) -> Result<Vec<NaiveDate>, SearchError> {
        let path = format!("_cat/indices/{}-*", self.prefix);
        let listed = Call::new(Method::Get, &path, PATIENCE).query(&[("format", "json"), ("h", "index")]);
        let body = listed.send(&self.transport).await?;
        let indices: Vec<Index> = serde_json::from_slice(&body).map_err(|error| misunderstood(&error))?;
        let days = indices.iter().filter_map(|index| Some((day_of(&self.prefix, &index.index)?, index)));
        let mut old: Vec<(NaiveDate, &Index)> = days.filter(|(day, _)| *day < oldest).collect();
        old.sort_by_key(|(day, _)| *day);
        for (_, Index { index }) in &old {
            match Call::new(Method::Delete, index, PATIENCE).answer(&self.transport).await? {
                // Another process was faster.
                (status, _) if status.is_success() || status == StatusCode::NOT_FOUND => {}
                (status, body) => return Err(failure(status, &body)),
            }
        }
        Ok(old.into_iter().map(|(day, _)| day).collect())
    }
}
