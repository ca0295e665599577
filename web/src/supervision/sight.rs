//! Whose part of the engine a key shows: that of all projects to whoever runs Signals, else that of the key's own.
//!
//! The engine itself (its threads, partitions, offsets, holes in the log) belongs to nobody and is shown to every admin.

use crate::auth::Principal;
use actors::supervision::kind::Kind;
use actors::supervision::observer::Observer;
use actors::supervision::view::{ActorView, DeathView, Observed, State};
use schema::keys::Scope;

/// What stands for words that may quote another project's event.
const HIDDEN: &str = "shown to a key with the scope operator";

/// What a principal may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// All projects.
    All,
    /// One project.
    Project(String),
}

impl Sight {
    pub(super) fn of(principal: &Principal) -> Self {
        if principal.scopes.contains(&Scope::Operator) {
            Self::All
        } else {
            Self::Project(principal.project_id.clone())
        }
    }

    /// The one project, unless it is all.
    pub(super) fn only(&self) -> Option<&str> {
        match self {
            Self::All => None,
            Self::Project(project) => Some(project),
        }
    }

    /// The engine as it may be seen.
    pub(super) fn through(&self, observer: &Observer) -> Observer {
        self.only().map_or_else(|| observer.clone(), |project| observer.only(project))
    }

    /// Takes out what may quote an event of any project: the words of those who work for all of them (a child's panic is
    /// among a router's when that is what ended it), and which incident a summarizer is at.
    pub(super) fn hide(&self, view: &mut ActorView) {
        if *self == Self::All {
            return;
        }
        let quotes = [Kind::PartitionRouter, Kind::AiSummarizer, Kind::Indexer];
        let is_quoting = |death: &&mut DeathView| quotes.iter().any(|kind| death.actor.starts_with(kind.as_str()));
        for death in view.restarts.deaths.iter_mut().filter(is_quoting) {
            HIDDEN.clone_into(&mut death.message);
        }
        let is_telling = view.kind == Kind::Indexer || matches!(view.state, State::Restarting | State::Ended);
        if quotes.contains(&view.kind) && is_telling {
            hide_words(&mut view.why);
        }
        match &mut view.observed {
            Observed::Summarizer(seen) => {
                hide_words(&mut seen.incident_id);
                hide_words(&mut seen.last_error);
            }
            Observed::Indexer(seen) => hide_words(&mut seen.last_error),
            _ => {}
        }
        for child in &mut view.children {
            self.hide(child);
        }
    }
}

fn hide_words(words: &mut Option<String>) {
    if let Some(words) = words {
        HIDDEN.clone_into(words);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    fn principal(scopes: &[Scope]) -> Principal {
        Principal { key_id: "k".into(), org_id: "o".into(), project_id: "mine".into(), scopes: scopes.to_vec() }
    }

    #[test]
    fn only_an_operator_sees_all_projects_and_what_ended_a_router() {
        assert_eq!(Sight::of(&principal(Scope::ALL)).only(), None);
        let mine = Sight::of(&principal(&[Scope::Read, Scope::Admin]));
        assert_eq!(mine.only(), Some("mine"));
        let death = |actor: &str| json!({"actor": actor, "partition": 1, "reason": "panicked", "message": "secret of a@b.c", "ms_ago": 1});
        let deaths = json!([death("PartitionRouter 1"), death("IncidentActor mine/f")]);
        let view = json!({
            "kind": "PartitionRouter", "id": "PartitionRouter 1", "state": "restarting", "why": "secret of a@b.c",
            "restarts": {"count": 2, "deaths": deaths}, "observed": {"type": "consumer", "rounds": 1, "last_round_ms": 1,
            "work": "", "work_ms": 1, "tenures": 1}
        });
        let view: ActorView = serde_json::from_value(view).unwrap();
        let mut root = ActorView { kind: Kind::RootSupervisor, children: vec![view.clone()], ..view };
        let whole = root.clone();
        Sight::All.hide(&mut root);
        assert_eq!(root, whole);
        mine.hide(&mut root);
        let text = serde_json::to_string(&root).unwrap();
        assert_eq!(text.matches("secret").count(), 3, "its own two deaths, and the root's words: {text}");
    }

    #[test]
    fn nobody_else_sees_at_whose_incident_a_summarizer_is_or_what_an_indexer_was_refused() {
        let mine = Sight::of(&principal(&[Scope::Admin]));
        let view = |kind: &str, observed: serde_json::Value| -> ActorView {
            let death = json!({"actor": format!("{kind} 1"), "reason": "panicked", "message": "secret", "ms_ago": 1});
            let view = json!({"kind": kind, "id": format!("{kind} 1"), "state": "waiting", "why": "tried twice: secret",
                "restarts": {"count": 1, "deaths": [death]}, "observed": observed});
            serde_json::from_value(view).unwrap()
        };
        let summarizer = json!({"type": "summarizer", "incident_id": "secret", "attempt": 1, "since_ms": 1, "jobs": 1, "succeeded": 0,
            "failed": 1, "calls": 1, "last_error": "secret"});
        let indexer = json!({"type": "indexer", "topic": "t", "partition": 1, "index": "opensearch", "age_ms": 1, "next_offset": 1,
            "events": 1, "failures": 2, "last_error": "secret", "step": "waiting", "step_ms": 1});
        for mut view in [view("AiSummarizer", summarizer), view("Indexer", indexer)] {
            view.why = view.why.filter(|_| view.kind == Kind::Indexer);
            let whole = view.clone();
            Sight::All.hide(&mut view);
            assert_eq!(view, whole);
            mine.hide(&mut view);
            let text = serde_json::to_string(&view).unwrap();
            assert!(!text.contains("secret") && text.contains(HIDDEN), "{text}");
        }
    }
}
