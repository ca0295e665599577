//! Takes secrets and personal data out of what leaves the house. Pure.
//!
//! Every secret becomes a mark like `<email-1>`; within one document equal values get equal marks, so that "the same user
//! each time" stays visible. Found are: private keys, passwords in URLs and connection strings, `Authorization` and cookie
//! headers, values under names like password, token or secret (in JSON and in text), keys with a known provider's prefix,
//! JSON web tokens, e-mail addresses, card numbers (Luhn and issuer) and IP addresses. What was found once is taken
//! out wherever else it stands. Control and invisible characters go too: they could hide a secret from the rules.
//!
//! Own rules on the `regex` crate (linear time): the crates that do this know neither JSON nor stable marks, and are young.
//! Not found: secrets in words, names of people, phone numbers, and random strings under names that say nothing.

mod checks;
mod names;
mod patterns;
#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use std::collections::HashMap;

/// A secret shorter than this is not looked for elsewhere: it would be found in every other word.
const DISTINCT: usize = 6;
/// Nor is one of letters only that is shorter than this: it may be a word.
const DISTINCT_LETTERS: usize = 12;

/// What was taken out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Passwords, tokens, API keys, cookies.
    Secret,
    /// Private keys.
    PrivateKey,
    /// E-mail addresses.
    Email,
    /// Card numbers.
    Card,
    /// IP addresses.
    Ip,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Secret => "secret",
            Self::PrivateKey => "private-key",
            Self::Email => "email",
            Self::Card => "card",
            Self::Ip => "ip",
        }
    }
}

/// How many different values of which kind were taken out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redacted(HashMap<Kind, usize>);

impl Redacted {
    /// Of one kind.
    pub fn of(&self, kind: Kind) -> usize {
        self.0.get(&kind).copied().unwrap_or(0)
    }

    /// Of all kinds.
    pub fn total(&self) -> usize {
        self.0.values().sum()
    }
}

/// Takes everything secret out of a document, out of its values and its members' names. Strings stay strings; a number
/// becomes a string if it is a secret. Our own ids, fingerprints and times stay as they are.
pub fn redact(document: &mut Value) -> Redacted {
    let mut marks = Marks::default();
    walk(document, "", &mut marks);
    let mut secrets: Vec<(String, String)> = marks.distinct();
    // The longest first, or a part of it would be replaced before.
    secrets.sort_by_key(|(value, _)| std::cmp::Reverse(value.len()));
    if !secrets.is_empty() {
        repeat(document, "", &secrets);
    }
    Redacted(marks.counts)
}

/// The text without its secrets.
pub fn text(text: &str) -> String {
    patterns::apply(text, &mut Marks::default())
}

/// Values and the marks that stand in their place.
#[derive(Debug, Default)]
struct Marks {
    known: HashMap<String, (Kind, String)>,
    counts: HashMap<Kind, usize>,
}

impl Marks {
    /// The mark of a value.
    fn mark(&mut self, kind: Kind, value: &str) -> String {
        if let Some((_, mark)) = self.known.get(value) {
            return mark.clone();
        }
        let number = self.counts.entry(kind).or_default();
        *number += 1;
        let mark = format!("<{}-{number}>", kind.as_str());
        self.known.insert(value.to_owned(), (kind, mark.clone()));
        mark
    }

    /// Secrets that can be told from ordinary words.
    fn distinct(&self) -> Vec<(String, String)> {
        let is_distinct = |value: &str| {
            let is_word = value.chars().all(char::is_alphabetic);
            value.len() >= if is_word { DISTINCT_LETTERS } else { DISTINCT }
        };
        let secrets = self.known.iter().filter(|(value, (kind, _))| *kind == Kind::Secret && is_distinct(value));
        secrets.map(|(value, (_, mark))| (value.clone(), mark.clone())).collect()
    }
}

/// Whether the text is a mark.
fn is_mark(text: &str) -> bool {
    text.strip_prefix('<').and_then(|rest| rest.strip_suffix('>')).and_then(|mark| mark.rsplit_once('-')).is_some_and(
        |(kind, number)| {
            !number.is_empty()
                && number.bytes().all(|byte| byte.is_ascii_digit())
                && !kind.is_empty()
                && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        },
    )
}

fn walk(value: &mut Value, name: &str, marks: &mut Marks) {
    match value {
        Value::String(text) if names::is_own(name, text) => {}
        Value::String(text) if names::is_secret(name) => hide(text, marks),
        Value::String(text) => *text = patterns::apply(text, marks),
        Value::Number(number) => {
            let text = number.to_string();
            if names::is_secret_number(name) {
                *value = marks.mark(Kind::Secret, &text).into();
            } else if checks::is_card(&text) {
                *value = marks.mark(Kind::Card, &text).into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| walk(item, name, marks)),
        Value::Object(members) => *members = members_of(members, name, marks),
        Value::Null | Value::Bool(_) => {}
    }
}

fn members_of(members: &mut Map<String, Value>, name: &str, marks: &mut Marks) -> Map<String, Value> {
    let inherits = names::is_secret(name);
    std::mem::take(members)
        .into_iter()
        .map(|(member, mut value)| {
            walk(&mut value, if inherits { name } else { &member }, marks);
            (patterns::apply(&member, marks), value)
        })
        .collect()
}

/// The whole value of a member whose name says that it is secret.
fn hide(text: &mut String, marks: &mut Marks) {
    let value = text.trim();
    if !value.is_empty() && !is_mark(value) && !names::is_harmless(value) {
        *text = marks.mark(Kind::Secret, value);
    }
}

/// Takes known secrets out wherever else they stand.
fn repeat(value: &mut Value, name: &str, secrets: &[(String, String)]) {
    match value {
        Value::String(text) if !names::is_own(name, text) => {
            for (secret, mark) in secrets {
                if text.contains(secret.as_str()) {
                    *text = text.replace(secret.as_str(), mark);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| repeat(item, name, secrets)),
        Value::Object(members) => members.iter_mut().for_each(|(name, value)| repeat(value, name, secrets)),
        _ => {}
    }
}
