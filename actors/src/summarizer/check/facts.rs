//! The facts that were sent: what a citation means, and which numbers stand where.

use super::amount::{Amount, Unit, of_name};
use super::quote::{Quote, Quoted, quotes};
use chrono::{DateTime, Datelike, NaiveDateTime, NaiveTime, Timelike};
use serde_json::Value;
use std::collections::HashMap;

/// A document as it was sent.
#[derive(Debug)]
pub(super) struct FactBook<'a> {
    document: &'a Value,
    /// The smallest object that names each event.
    events: HashMap<&'a str, &'a Value>,
    /// Every name and text in it, lower case, one a line.
    words: String,
}

/// What a citation stands for.
#[derive(Clone, Debug)]
pub(super) struct Fact<'a> {
    value: &'a Value,
    /// Names on the way to it.
    path: Vec<&'a str>,
    /// The event that it is, if it is one.
    pub event_id: Option<&'a str>,
}

/// Numbers and times of some facts.
#[derive(Debug, Default)]
pub(super) struct Known {
    amounts: Vec<Amount>,
    moments: Vec<NaiveDateTime>,
    clocks: Vec<(NaiveTime, bool)>,
}

impl<'a> FactBook<'a> {
    pub fn new(document: &'a Value) -> Self {
        let mut book = Self { document, events: HashMap::new(), words: String::new() };
        book.read(document, true);
        book
    }

    /// What a client writes into its attributes is no event of ours.
    fn read(&mut self, value: &'a Value, is_ours: bool) {
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    self.add_words(name);
                    if is_ours {
                        self.note_events(name, member, value);
                    }
                    self.read(member, is_ours && name != "attributes");
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.read(item, is_ours)),
            Value::String(text) => self.add_words(text),
            Value::Number(number) => self.add_words(&number.to_string()),
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn note_events(&mut self, name: &str, member: &'a Value, holder: &'a Value) {
        let ids: Vec<&'a str> = match member {
            Value::String(id) if name == "event_id" || name.ends_with("_event_id") => vec![id.as_str()],
            Value::Array(ids) if name.ends_with("event_ids") => ids.iter().filter_map(Value::as_str).collect(),
            _ => return,
        };
        for id in ids {
            // The event itself tells more than a list that it stands in.
            if name == "event_id" || !self.events.contains_key(id) {
                self.events.insert(id, holder);
            }
        }
    }

    fn add_words(&mut self, text: &str) {
        self.words.push_str(&text.to_lowercase());
        self.words.push('\n');
    }

    /// The incident's own title.
    pub fn title(&self) -> &'a str {
        self.document.pointer("/incident/title").and_then(Value::as_str).unwrap_or_default()
    }

    /// What a citation stands for: an event's id, a dotted name or a pointer.
    pub fn resolve(&self, cite: &str) -> Option<Fact<'a>> {
        let cite = cite.trim().trim_matches(['`', '"', '\'', '[', ']', '(', ')', '.', ',']).trim();
        if let Some((id, holder)) = self.events.get_key_value(cite) {
            return Some(Fact { value: holder, path: Vec::new(), event_id: Some(id) });
        }
        let names = cite.replace(['[', '/'], ".").replace(']', "");
        let names: Vec<&str> = names.split('.').filter(|name| !name.is_empty()).collect();
        self.walk(&names).or_else(|| {
            names.split_first().filter(|(first, _)| **first == "facts").and_then(|(_, rest)| self.walk(rest))
        })
    }

    fn walk(&self, names: &[&str]) -> Option<Fact<'a>> {
        let (mut value, mut path) = (self.document, Vec::new());
        // The innermost item of a list on the way: its members belong together.
        let mut item = None;
        for name in names {
            value = match value {
                Value::Object(members) => {
                    let (name, member) = members.get_key_value(*name)?;
                    path.push(name.as_str());
                    member
                }
                Value::Array(items) => {
                    let inner = items.get(name.parse::<usize>().ok()?)?;
                    item = inner.is_object().then_some(inner).or(item);
                    inner
                }
                _ => return None,
            };
        }
        let value = item.unwrap_or(value);
        let event_id = value.get("event_id").and_then(Value::as_str).filter(|id| self.events.contains_key(id));
        (!names.is_empty()).then_some(Fact { value, path, event_id })
    }

    /// The numbers of these facts.
    pub fn known(&self, facts: &[Fact<'_>]) -> Known {
        let mut known = Known::default();
        for fact in facts {
            fact.path.iter().for_each(|name| known.add_name(name));
            known.add(fact.path.last().copied().unwrap_or_default(), fact.value);
        }
        known
    }

    /// The numbers of all facts.
    pub fn everything(&self) -> Known {
        let mut known = Known::default();
        known.add("", self.document);
        known
    }

    /// Whether this is said somewhere, by itself and not within a longer word or version.
    pub fn says(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let is_alone = |(at, found): (usize, &str)| {
            let before = self.words.get(..at).unwrap_or_default().chars().rev();
            let after = self.words.get(at + found.len()..).unwrap_or_default().chars();
            !goes_on(before) && !goes_on(after)
        };
        !text.is_empty() && self.words.match_indices(&text).any(is_alone)
    }

    /// Whether what is quoted is there: a name anywhere, anything else among the `known`.
    pub fn holds(&self, quoted: &Quoted, known: &Known) -> bool {
        match &quoted.what {
            Quote::Name => self.knows_name(&quoted.text, known),
            Quote::Number(readings, hedge) => {
                let fits = |amount: &Amount| readings.iter().any(|reading| reading.fits(*amount, *hedge));
                let is_year = |moment: &NaiveDateTime| {
                    readings
                        .iter()
                        .any(|reading| reading.unit == Unit::Plain && reading.value == f64::from(moment.year()))
                };
                known.amounts.iter().any(fits) || known.moments.iter().any(is_year)
            }
            Quote::Clock(time, is_exact) => {
                let equals = |other: NaiveTime, other_is_exact: bool| {
                    let is_minute = (other.hour(), other.minute()) == (time.hour(), time.minute());
                    is_minute && (!is_exact || !other_is_exact || other.second() == time.second())
                };
                known.moments.iter().any(|moment| equals(moment.time(), true))
                    || known.clocks.iter().any(|(clock, exact)| equals(*clock, *exact))
            }
            Quote::Hour(hour) => known.moments.iter().any(|moment| moment.hour() == *hour),
            Quote::Date(date) => known.moments.iter().any(|moment| moment.date() == *date),
            Quote::Day(month, day) => {
                known.moments.iter().any(|moment| (moment.month(), moment.day()) == (*month, *day))
            }
            Quote::Moment(moment, is_exact) => known.moments.iter().any(|other| {
                let is_minute =
                    other.date() == moment.date() && (other.hour(), other.minute()) == (moment.hour(), moment.minute());
                is_minute && (!is_exact || other.second() == moment.second())
            }),
        }
    }

    /// A name that was sent, with or without its `v`; or one that is put together of words and known numbers, like `HTTP-500`.
    fn knows_name(&self, name: &str, known: &Known) -> bool {
        let bare = name.strip_prefix(['v', 'V']).unwrap_or(name);
        if self.says(name) || self.says(bare) || self.says(&format!("v{name}")) {
            return true;
        }
        let parts: Vec<&str> = name.split(|c: char| !c.is_alphanumeric()).filter(|part| !part.is_empty()).collect();
        let is_known = |part: &&str| {
            let has_digit = part.bytes().any(|byte| byte.is_ascii_digit());
            !has_digit
                || quotes(part).iter().all(|quoted| !matches!(quoted.what, Quote::Name) && self.holds(quoted, known))
        };
        // A path or a version is known as a whole or not at all.
        let is_whole = name.starts_with('/') || name.split('.').filter(|part| part.parse::<u64>().is_ok()).count() > 1;
        !is_whole && parts.len() > 1 && parts.iter().all(is_known)
    }
}

/// Whether a word goes on here: with a letter or digit, or with a dot and one.
fn goes_on(mut characters: impl Iterator<Item = char>) -> bool {
    match characters.next() {
        Some('.') => characters.next().is_some_and(char::is_alphanumeric),
        next => next.is_some_and(char::is_alphanumeric),
    }
}

impl Known {
    fn add(&mut self, name: &str, value: &Value) {
        match value {
            Value::Number(number) => self.add_number(name, number.as_f64()),
            Value::String(text) => self.add_text(name, text),
            Value::Array(items) => {
                self.add_count(items.len());
                items.iter().for_each(|item| self.add(name, item));
            }
            Value::Object(members) => {
                for (name, member) in members {
                    self.add_name(name);
                    self.add(name, member);
                }
            }
            Value::Null | Value::Bool(_) => {}
        }
    }

    fn add_number(&mut self, name: &str, number: Option<f64>) {
        let (unit, worth) = of_name(name);
        if let Some(number) = number {
            self.amounts.push(Amount { value: number * worth, unit });
        }
    }

    /// How many items a list has can be counted by everyone.
    fn add_count(&mut self, items: usize) {
        if let Ok(items) = u32::try_from(items) {
            self.amounts.push(Amount { value: f64::from(items), unit: Unit::Count });
        }
    }

    /// `last_10_minutes` lets one say 10.
    fn add_name(&mut self, name: &str) {
        // The 4 of v2.4.1 is no number.
        let is_version = name.split('.').filter(|part| part.ends_with(|c: char| c.is_ascii_digit())).count() > 1;
        let parts = name.split(|c: char| !c.is_alphanumeric()).filter(|_| !is_version);
        let numbers = parts
            .filter(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
            .filter_map(|digits| digits.parse().ok());
        self.amounts.extend(numbers.map(|value| Amount { value, unit: Unit::Plain }));
        if name.contains("last_hour") {
            self.amounts.push(Amount { value: 3_600.0, unit: Unit::Seconds });
        }
    }

    fn add_text(&mut self, name: &str, text: &str) {
        if let Ok(moment) = DateTime::parse_from_rfc3339(text) {
            self.moments.push(moment.naive_utc());
            return;
        }
        if let Ok(number) = text.trim().parse::<f64>() {
            return self.add_number(name, Some(number));
        }
        for quoted in quotes(text) {
            match quoted.what {
                Quote::Number(readings, _) => {
                    self.amounts
                        .extend(readings.iter().map(|reading| Amount { value: reading.value, unit: reading.unit }));
                }
                Quote::Moment(moment, _) => self.moments.push(moment),
                Quote::Date(date) => self.moments.extend(date.and_hms_opt(0, 0, 0)),
                Quote::Clock(clock, exact) => self.clocks.push((clock, exact)),
                Quote::Name => self.add_name(&quoted.text),
                Quote::Hour(_) | Quote::Day(..) => {}
            }
        }
    }
}
