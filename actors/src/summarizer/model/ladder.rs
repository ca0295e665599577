//! What a model can do, learned from what it refuses. Pure: time is handed in.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// After this long all is tried again: endpoints learn.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// After this long a model that was not there is asked for again.
const GONE: Duration = Duration::from_secs(600);

/// How the model is made to answer in the right shape, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// `response_format` with the schema: the endpoint sees to it.
    JsonSchema,
    /// `response_format` without one: some JSON object.
    JsonObject,
    /// A tool that it must call; the arguments are the answer.
    Tool,
    /// It is only asked for.
    Plain,
}

impl Mode {
    /// One word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::JsonSchema => "json_schema",
            Self::JsonObject => "json_object",
            Self::Tool => "tool",
            Self::Plain => "plain",
        }
    }

    /// The next lower rung.
    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::JsonSchema => Some(Self::JsonObject),
            Self::JsonObject => Some(Self::Tool),
            Self::Tool => Some(Self::Plain),
            Self::Plain => None,
        }
    }
}

/// Something in a request that the model does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsupported {
    /// The way in which its answer is shaped.
    Mode,
    /// `max_tokens`: it is called `max_completion_tokens` there.
    MaxTokens,
    /// `temperature` other than its own.
    Temperature,
}

/// How a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abilities {
    pub mode: Mode,
    /// `max_tokens`, else `max_completion_tokens`.
    pub max_tokens: bool,
    pub temperature: bool,
}

impl Default for Abilities {
    fn default() -> Self {
        Self { mode: Mode::JsonSchema, max_tokens: true, temperature: true }
    }
}

impl Abilities {
    /// The next thing to try after a refusal; none if nothing is left.
    pub fn without(self, refused: Unsupported) -> Option<Self> {
        match refused {
            Unsupported::Mode => self.mode.next().map(|mode| Self { mode, ..self }),
            Unsupported::MaxTokens => self.max_tokens.then_some(Self { max_tokens: false, ..self }),
            Unsupported::Temperature => self.temperature.then_some(Self { temperature: false, ..self }),
        }
    }
}

/// What is known of an endpoint's models.
#[derive(Debug, Default)]
pub(super) struct Memory(Mutex<HashMap<String, Known>>);

#[derive(Clone, Copy, Debug)]
struct Known {
    what: What,
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Can(Abilities),
    IsGone,
}

impl Memory {
    fn known(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn of(&self, model: &str, now: Instant) -> Option<What> {
        self.known().get(model).filter(|known| known.until > now).map(|known| known.what)
    }

    /// How to ask it.
    pub fn abilities(&self, model: &str, now: Instant) -> Abilities {
        match self.of(model, now) {
            Some(What::Can(abilities)) => abilities,
            _ => Abilities::default(),
        }
    }

    /// Whether it was not there lately.
    pub fn is_gone(&self, model: &str, now: Instant) -> bool {
        matches!(self.of(model, now), Some(What::IsGone))
    }

    /// It has answered when asked so, after it had refused something better.
    pub fn learn(&self, model: &str, abilities: Abilities, now: Instant) {
        self.known().insert(model.to_owned(), Known { what: What::Can(abilities), until: now + REMEMBERED });
    }

    /// It is not there.
    pub fn miss(&self, model: &str, now: Instant) {
        self.known().insert(model.to_owned(), Known { what: What::IsGone, until: now + GONE });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_lead_down_the_ladder_to_its_end() {
        let mut abilities = Abilities::default();
        let mut modes = vec![abilities.mode];
        while let Some(next) = abilities.without(Unsupported::Mode) {
            abilities = next;
            modes.push(abilities.mode);
        }
        assert_eq!(modes, [Mode::JsonSchema, Mode::JsonObject, Mode::Tool, Mode::Plain]);
        let quirky = abilities.without(Unsupported::MaxTokens).unwrap().without(Unsupported::Temperature).unwrap();
        assert_eq!(quirky, Abilities { mode: Mode::Plain, max_tokens: false, temperature: false });
        assert_eq!(quirky.without(Unsupported::MaxTokens), None);
        assert_eq!(quirky.without(Unsupported::Temperature), None);
    }

    #[test]
    fn what_was_learned_is_of_one_model_and_expires() {
        let (memory, now) = (Memory::default(), Instant::now());
        let plain = Abilities { mode: Mode::Plain, ..Abilities::default() };
        memory.learn("a", plain, now);
        memory.miss("b", now);
        assert_eq!((memory.abilities("a", now), memory.abilities("b", now)), (plain, Abilities::default()));
        assert!(memory.is_gone("b", now) && !memory.is_gone("a", now));
        assert_eq!(memory.abilities("a", now + REMEMBERED), Abilities::default());
        assert!(!memory.is_gone("b", now + GONE));
    }
}
