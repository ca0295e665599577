//! What the actors of a tree are called.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// A kind of actor. A router is a task, the consumer a thread and the root whoever started the engine; to an operator
/// they are all parts of one tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
pub enum Kind {
    /// The engine as a whole.
    RootSupervisor,
    /// Makes cuts durable.
    Flusher,
    /// Brings dead letters to their topic; a part of the Flusher.
    DeadLetterWriter,
    /// The thread that polls the log.
    KafkaConsumer,
    /// One tenure of one partition.
    PartitionRouter,
    /// One project.
    ProjectActor,
    /// One fingerprint.
    IncidentActor,
    /// Keeps the summarizers of a process; it is no part of the engine and may run without one.
    SummarizerPool,
    /// Explains one incident after the other.
    AiSummarizer,
    /// The thread that polls the log for the indexers; it is no part of the engine and may run without one.
    IndexConsumer,
    /// One partition's way into the search index.
    Indexer,
}

impl Kind {
    /// All kinds, parents before children.
    pub const ALL: [Self; 11] = [
        Self::RootSupervisor,
        Self::Flusher,
        Self::DeadLetterWriter,
        Self::KafkaConsumer,
        Self::PartitionRouter,
        Self::ProjectActor,
        Self::IncidentActor,
        Self::SummarizerPool,
        Self::AiSummarizer,
        Self::IndexConsumer,
        Self::Indexer,
    ];

    /// Whether there are so many of them that their deaths are kept together.
    pub fn is_numerous(self) -> bool {
        matches!(self, Self::ProjectActor | Self::IncidentActor)
    }

    /// As it is shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RootSupervisor => "RootSupervisor",
            Self::Flusher => "Flusher",
            Self::DeadLetterWriter => "DeadLetterWriter",
            Self::KafkaConsumer => "KafkaConsumer",
            Self::PartitionRouter => "PartitionRouter",
            Self::ProjectActor => "ProjectActor",
            Self::IncidentActor => "IncidentActor",
            Self::SummarizerPool => "SummarizerPool",
            Self::AiSummarizer => "AiSummarizer",
            Self::IndexConsumer => "IndexConsumer",
            Self::Indexer => "Indexer",
        }
    }
}

/// The name of one actor: `Flusher`, `PartitionRouter 3`, `ProjectActor <project>`, `IncidentActor <project>/<fingerprint>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActorId {
    /// The engine.
    Root,
    /// The flusher.
    Flusher,
    /// The way to the dead letters.
    DeadLetters,
    /// The poll thread.
    Consumer,
    /// The router of a partition.
    Router(i32),
    /// A project, by its id.
    Project(String),
    /// A fingerprint of a project.
    Incident {
        /// Project.
        project: String,
        /// Fingerprint.
        fingerprint: String,
    },
    /// The pool of summarizers.
    Summarizers,
    /// A summarizer, by its number from 1.
    Summarizer(u16),
    /// The poll thread of the indexers.
    IndexConsumer,
    /// The indexer of a partition.
    Indexer(i32),
}

impl ActorId {
    /// Which kind it names.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Root => Kind::RootSupervisor,
            Self::Flusher => Kind::Flusher,
            Self::DeadLetters => Kind::DeadLetterWriter,
            Self::Consumer => Kind::KafkaConsumer,
            Self::Router(_) => Kind::PartitionRouter,
            Self::Project(_) => Kind::ProjectActor,
            Self::Incident { .. } => Kind::IncidentActor,
            Self::Summarizers => Kind::SummarizerPool,
            Self::Summarizer(_) => Kind::AiSummarizer,
            Self::IndexConsumer => Kind::IndexConsumer,
            Self::Indexer(_) => Kind::Indexer,
        }
    }

    /// The child of this kind with these keys; a project has no fingerprint.
    pub fn child(kind: Kind, project: &str, fingerprint: &str) -> Self {
        match kind {
            Kind::ProjectActor => Self::Project(project.to_owned()),
            _ => Self::Incident { project: project.to_owned(), fingerprint: fingerprint.to_owned() },
        }
    }
}

impl fmt::Display for ActorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind().as_str())?;
        match self {
            Self::Root
            | Self::Flusher
            | Self::DeadLetters
            | Self::Consumer
            | Self::Summarizers
            | Self::IndexConsumer => Ok(()),
            Self::Router(partition) | Self::Indexer(partition) => write!(f, " {partition}"),
            Self::Summarizer(number) => write!(f, " {number}"),
            Self::Project(project) => write!(f, " {project}"),
            Self::Incident { project, fingerprint } => write!(f, " {project}/{fingerprint}"),
        }
    }
}

/// A text that names no actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an actor is named as `Flusher`, `PartitionRouter 3`, `ProjectActor <project>`, `IncidentActor <project>/<fingerprint>`, \
     `AiSummarizer 1` or `Indexer 3`"
)]
pub struct NoSuchName;

impl FromStr for ActorId {
    type Err = NoSuchName;

    /// Between kind and key may stand a space, or a slash, which is easier in an address.
    fn from_str(text: &str) -> Result<Self, NoSuchName> {
        let (kind, key) = text.split_once([' ', '/']).unwrap_or((text, ""));
        let kind = Kind::ALL.into_iter().find(|known| known.as_str() == kind).ok_or(NoSuchName)?;
        let named = match kind {
            Kind::RootSupervisor => Self::Root,
            Kind::Flusher => Self::Flusher,
            Kind::DeadLetterWriter => Self::DeadLetters,
            Kind::KafkaConsumer => Self::Consumer,
            Kind::SummarizerPool => Self::Summarizers,
            Kind::AiSummarizer => {
                return key.parse().ok().filter(|number| *number > 0).map(Self::Summarizer).ok_or(NoSuchName);
            }
            Kind::IndexConsumer => Self::IndexConsumer,
            Kind::PartitionRouter | Kind::Indexer => {
                let named = if kind == Kind::Indexer { Self::Indexer } else { Self::Router };
                return key.parse().ok().filter(|number| *number >= 0).map(named).ok_or(NoSuchName);
            }
            Kind::ProjectActor if key.is_empty() => return Err(NoSuchName),
            Kind::ProjectActor => return Ok(Self::Project(key.to_owned())),
            Kind::IncidentActor => {
                // A project's name may hold a slash, a fingerprint does not.
                let (project, fingerprint) = key.rsplit_once('/').ok_or(NoSuchName)?;
                if project.is_empty() || fingerprint.is_empty() {
                    return Err(NoSuchName);
                }
                return Ok(Self::child(kind, project, fingerprint));
            }
        };
        if text == kind.as_str() { Ok(named) } else { Err(NoSuchName) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_back_and_a_slash_stands_for_the_space() {
        for name in [
            "RootSupervisor",
            "Flusher",
            "DeadLetterWriter",
            "KafkaConsumer",
            "PartitionRouter 3",
            "IndexConsumer",
            "Indexer 0",
            "ProjectActor a b",
            "IncidentActor a/b/c",
            "SummarizerPool",
            "AiSummarizer 2",
        ] {
            let id: ActorId = name.parse().unwrap();
            assert_eq!(id.to_string(), name);
            assert_eq!(name.replacen(' ', "/", 1).parse(), Ok(id));
        }
        let incident = ActorId::Incident { project: "a/b".into(), fingerprint: "c".into() };
        assert_eq!("IncidentActor a/b/c".parse(), Ok(incident));
    }

    #[test]
    fn what_names_no_actor_is_refused() {
        for name in [
            "",
            "flusher",
            "Flusher 1",
            "Flusher/",
            "RootSupervisor ",
            "PartitionRouter",
            "Indexer",
            "Indexer -1",
            "IndexConsumer 1",
            "PartitionRouter x",
            "PartitionRouter -1",
            "PartitionRouter 99999999999",
            "ProjectActor",
            "ProjectActor ",
            "IncidentActor a",
            "IncidentActor a/",
            "IncidentActor /a",
            "SummarizerPool 1",
            "AiSummarizer 0",
        ] {
            assert_eq!(name.parse::<ActorId>(), Err(NoSuchName), "{name}");
        }
    }
}
