//! The numbers, times, versions and names with digits that a text quotes.
//!
//! Understood are: 1234, 1,234, 1 234 (thin blanks), 1.2k, 3M, 12 thousand, twenty-one, 45 %, 45 percent, 10x, 10 times, 3-fold, 120ms, 12
//! minutes, 5 GB, 3rd, 500s, 5xx, 14:03, 2:03 pm, 3 am, 2026-11-24T14:03:00Z, 2026-11-24, Nov 24. "One", "half", "twice", "dozens" and ordinals
//! in words are no numbers here. Digits that begin within a word belong to its name: `p99` and `http2` are common knowledge,
//! `evt-412` and `/api/v2` must have been sent.

use super::amount::{Hedge, Reading, Unit};
use crate::summarizer::pattern::pattern;
use chrono::{NaiveDate, NaiveDateTime, NaiveTime};
use regex::{Captures, Regex};
use std::sync::LazyLock;

/// Digits from which on a number in a next step is a reference and not a quantity.
const REFERENCE_DIGITS: usize = 6;

/// Something that a text quotes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quoted {
    /// As it is written.
    pub text: String,
    pub what: Quote,
}

/// What it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Quote {
    /// Any of the readings may be meant.
    Number(Vec<Reading>, Hedge),
    /// A time of a day, to the second if it has one.
    Clock(NaiveTime, bool),
    /// An hour of a day.
    Hour(u32),
    /// A day.
    Date(NaiveDate),
    /// A moment, to the second if it has one.
    Moment(NaiveDateTime, bool),
    /// A day of some year: month and day.
    Day(u32, u32),
    /// Something with digits in it that is a name: an id, a version, a path.
    Name,
}

impl Quoted {
    /// Whether it refers to one thing in the world rather than being an amount: a version, a long number, a day.
    pub fn is_reference(&self) -> bool {
        let digits = self.text.bytes().filter(u8::is_ascii_digit).count();
        let is_version = self.text.matches('.').count() >= 2 && digits >= 3;
        let is_hex = self.text.len() >= 8 && self.text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match &self.what {
            Quote::Name => is_version || is_hex || digits >= REFERENCE_DIGITS || is_short_version(&self.text),
            Quote::Number(readings, _) => {
                digits >= REFERENCE_DIGITS && readings.iter().any(|reading| reading.unit == Unit::Plain)
            }
            Quote::Date(_) | Quote::Moment(..) | Quote::Day(..) => true,
            Quote::Clock(..) | Quote::Hour(_) => false,
        }
    }
}

/// `v2`, `v2.4`.
fn is_short_version(text: &str) -> bool {
    text.strip_prefix(['v', 'V']).is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
}

static TOKEN: LazyLock<Regex> = LazyLock::new(|| {
    let months = "Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sep(?:t(?:ember)?)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?";
    let parts = [
        r"(?P<mark><[a-z][a-z-]*(?:-\d+)?>)".to_owned(),
        r"(?P<moment>\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(?::\d{2})?)(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?".to_owned(),
        r"(?P<date>\d{4}-\d{2}-\d{2})".to_owned(),
        r"(?P<clock>\d{1,2}:\d{2}(?::\d{2})?)(?:\.\d+)?(?:\s?(?P<half>[apAP])\.?[mM]\b\.?|Z\b)?".to_owned(),
        format!(r"\b(?P<month>{months})\.?\s(?P<dom>\d{{1,2}})(?:st|nd|rd|th)?\b"),
        format!(r"\b(?P<dom2>\d{{1,2}})(?:st|nd|rd|th)?\s(?P<month2>{months})\b"),
        r"(?P<path>/[^\s<>(),;]*)".to_owned(),
        r"(?P<version>\d+(?:\.\d+){2,}(?:[-+._][\p{L}\p{N}]+)*)".to_owned(),
        r"(?P<number>\d{1,3}(?:[,_'’\x{a0}\x{2009}\x{202f}]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?P<suffix>%|[\p{L}\p{N}_]*)".to_owned(),
        r"(?P<word>[\p{L}_][\p{L}\p{N}_]*(?:[-./:@#+]+[\p{L}\p{N}_]+)*)".to_owned(),
    ];
    pattern(&parts.join("|"))
});
/// A unit that follows a number in a word of its own.
static UNIT: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[ \x{a0}\x{202f}-](?P<unit>%|[\p{L}]+\.?(?:[mM]\.)?)"));

/// All that a text quotes, in its order.
pub(super) fn quotes(text: &str) -> Vec<Quoted> {
    let mut quotes = Vec::new();
    let mut before: [String; 2] = Default::default();
    let mut spelled: Vec<String> = Vec::new();
    for found in TOKEN.captures_iter(text) {
        let Some(whole) = found.get(0) else { continue };
        let is_cardinal = found.name("word").is_some_and(|word| cardinal(word.as_str()).is_some());
        // "12 thousand" was read with its number.
        let [_, last] = &before;
        if is_cardinal && spelled.is_empty() && has_digit(last) && small_cardinal(whole.as_str()) >= Some(100.0) {
            continue;
        }
        if is_cardinal {
            spelled.push(whole.as_str().to_owned());
            let rest = text.get(whole.end()..).unwrap_or_default();
            if next_is_cardinal(rest) {
                continue;
            }
            quotes.extend(spelled_number(&spelled.join(" "), rest, hedge(&before, text.get(..whole.start()))));
            spelled.clear();
        } else {
            let around = (text.get(..whole.start()), text.get(whole.end()..).unwrap_or_default());
            quotes.extend(quote(&found, whole.as_str(), around, &before));
        }
        let [_, last] = before;
        before = [last, whole.as_str().to_lowercase()];
    }
    quotes
}

fn quote(found: &Captures<'_>, whole: &str, around: (Option<&str>, &str), before: &[String; 2]) -> Option<Quoted> {
    let part = |name: &str| found.name(name).map(|part| part.as_str());
    let quoted = |what: Quote| Some(Quoted { text: whole.trim_end_matches(['.', '/', ':']).to_owned(), what });
    let name = || quoted(Quote::Name).filter(|quoted| has_digit(&quoted.text) && !is_common(&quoted.text));
    if let Some(moment) = part("moment") {
        return moment_of(moment).and_then(|(moment, exact)| quoted(Quote::Moment(moment, exact))).or_else(name);
    }
    if let Some(date) = part("date") {
        return date.parse().ok().map(Quote::Date).and_then(quoted).or_else(name);
    }
    if let Some(clock) = part("clock") {
        return clock_of(clock, part("half")).and_then(|(time, exact)| quoted(Quote::Clock(time, exact))).or_else(name);
    }
    if let (Some(month), Some(day)) = (part("month").or(part("month2")), part("dom").or(part("dom2"))) {
        return quoted(Quote::Day(month_of(month)?, day.parse().ok()?));
    }
    let Some(number) = part("number") else { return name() };
    let suffix = part("suffix").unwrap_or_default();
    let unit = UNIT.captures(around.1).and_then(|unit| unit.name("unit")).map_or("", |unit| unit.as_str());
    if let Some(hour) = hour_of(number, if suffix.is_empty() { unit } else { suffix }) {
        return quoted(Quote::Hour(hour));
    }
    let digits: String = number.chars().filter(|c| c.is_ascii_digit() || *c == '.').collect();
    match readings(&digits, suffix, unit) {
        Some(readings) => quoted(Quote::Number(readings, hedge(before, around.0))),
        None => name(),
    }
}

fn has_digit(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_digit())
}

fn moment_of(text: &str) -> Option<(NaiveDateTime, bool)> {
    let text = text.replace('T', " ");
    let exact = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S").map(|moment| (moment, true));
    exact.or_else(|_| NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M").map(|moment| (moment, false))).ok()
}

fn clock_of(text: &str, half: Option<&str>) -> Option<(NaiveTime, bool)> {
    let mut parts = text.split(':').map(str::parse::<u32>);
    let (hour, minute, second) = (parts.next()?.ok()?, parts.next()?.ok()?, parts.next());
    let hour = match half.map(str::to_ascii_lowercase).as_deref() {
        Some("p") => hour % 12 + 12,
        Some(_) => hour % 12,
        None => hour,
    };
    let seconds = second.clone().and_then(Result::ok).unwrap_or(0);
    Some((NaiveTime::from_hms_opt(hour, minute, seconds)?, second.is_some()))
}

fn hour_of(number: &str, suffix: &str) -> Option<u32> {
    let hour: u32 = number.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    match suffix.to_ascii_lowercase().trim_end_matches('.') {
        "am" | "a.m" => Some(hour % 12),
        "pm" | "p.m" => Some(hour % 12 + 12),
        _ => None,
    }
}

fn month_of(name: &str) -> Option<u32> {
    let months = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let name = name.to_ascii_lowercase();
    let place = months.iter().position(|month| name.starts_with(month))?;
    u32::try_from(place + 1).ok()
}

/// The ways to understand digits with this behind them; none if it is a name.
fn readings(digits: &str, suffix: &str, word: &str) -> Option<Vec<Reading>> {
    let value: f64 = digits.parse().ok()?;
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let step = 10_f64.powi(-i32::try_from(decimals).ok()?);
    let zeros = if decimals > 0 { 0 } else { digits.len() - digits.trim_end_matches('0').len() };
    let coarse = step * 10_f64.powi(i32::try_from(zeros.min(digits.len().saturating_sub(1))).ok()?);
    let one = |(unit, worth): (Unit, f64)| Reading {
        value: value * worth,
        unit,
        step: step * worth,
        coarse: coarse * worth,
        worth,
        is_class: false,
    };
    if suffix == "xx" && digits.len() == 1 {
        return Some(vec![Reading {
            value: value * 100.0,
            unit: Unit::Plain,
            step: 100.0,
            coarse: 100.0,
            worth: 1.0,
            is_class: true,
        }]);
    }
    if !suffix.is_empty() {
        return suffix_units(suffix).map(|units| units.iter().copied().map(one).collect());
    }
    let units = word_units(&word.to_lowercase());
    Some(units.unwrap_or(&[(Unit::Plain, 1.0)]).iter().copied().map(one).collect())
}

/// Units that are written without a blank, each with what one is worth.
fn suffix_units(suffix: &str) -> Option<&'static [(Unit, f64)]> {
    Some(match suffix {
        "%" => &[(Unit::Percent, 1.0)],
        "k" | "K" => &[(Unit::Plain, 1e3)],
        "M" | "mn" => &[(Unit::Plain, 1e6)],
        "bn" => &[(Unit::Plain, 1e9)],
        "x" | "X" | "fold" => &[(Unit::Factor, 1.0)],
        "st" | "nd" | "rd" | "th" => &[(Unit::Plain, 1.0)],
        "m" => &[(Unit::Seconds, 60.0), (Unit::Plain, 1e6)],
        // Seconds, or several of a kind: "500s".
        "s" => &[(Unit::Seconds, 1.0), (Unit::Plain, 1.0)],
        "B" => &[(Unit::Bytes, 1.0), (Unit::Plain, 1e9)],
        other => return word_units(&other.to_lowercase()),
    })
}

fn word_units(word: &str) -> Option<&'static [(Unit, f64)]> {
    Some(match word.trim_end_matches('.') {
        "%" | "percent" | "pct" => &[(Unit::Percent, 1.0)],
        "hundred" => &[(Unit::Plain, 1e2)],
        "thousand" => &[(Unit::Plain, 1e3)],
        "million" => &[(Unit::Plain, 1e6)],
        "billion" => &[(Unit::Plain, 1e9)],
        // "Failed 3 times" counts.
        "times" => &[(Unit::Factor, 1.0), (Unit::Count, 1.0)],
        "fold" | "x" => &[(Unit::Factor, 1.0)],
        "µs" | "us" | "microseconds" => &[(Unit::Seconds, 1e-6)],
        "ms" | "msec" | "millis" | "millisecond" | "milliseconds" => &[(Unit::Seconds, 1e-3)],
        "s" | "sec" | "secs" | "second" | "seconds" => &[(Unit::Seconds, 1.0)],
        "min" | "mins" | "minute" | "minutes" => &[(Unit::Seconds, 60.0)],
        "h" | "hr" | "hrs" | "hour" | "hours" => &[(Unit::Seconds, 3_600.0)],
        "d" | "day" | "days" => &[(Unit::Seconds, 86_400.0)],
        "week" | "weeks" => &[(Unit::Seconds, 604_800.0)],
        "byte" | "bytes" => &[(Unit::Bytes, 1.0)],
        "kb" => &[(Unit::Bytes, 1e3), (Unit::Bytes, 1_024.0)],
        "kib" => &[(Unit::Bytes, 1_024.0)],
        "mb" => &[(Unit::Bytes, 1e6), (Unit::Bytes, 1_048_576.0)],
        "mib" => &[(Unit::Bytes, 1_048_576.0)],
        "gb" => &[(Unit::Bytes, 1e9), (Unit::Bytes, 1_073_741_824.0)],
        "gib" => &[(Unit::Bytes, 1_073_741_824.0)],
        _ => return None,
    })
}

/// What the two words before a number, or the mark right before it, say of its exactness.
fn hedge(before: &[String; 2], text: Option<&str>) -> Hedge {
    match text.and_then(|text| text.chars().next_back()) {
        Some('~' | '≈') => return Hedge::About,
        Some('>' | '≥') => return Hedge::Over,
        Some('<' | '≤') => return Hedge::Under,
        _ => {}
    }
    let [first, second] = before;
    match (first.as_str(), second.as_str()) {
        ("more" | "greater" | "larger" | "higher", "than") | ("at", "least") => Hedge::Over,
        ("less" | "fewer" | "lower" | "smaller", "than") | ("at", "most") | ("up", "to") => Hedge::Under,
        (_, "about" | "around" | "roughly" | "approximately" | "approx" | "circa" | "some" | "~") => Hedge::About,
        (_, "over" | "above" | "exceeding" | "exceeds" | "exceeded") => Hedge::Over,
        (_, "under" | "below" | "nearly" | "almost") => Hedge::Under,
        _ => Hedge::Exact,
    }
}

fn next_is_cardinal(rest: &str) -> bool {
    let rest = rest.strip_prefix(' ').unwrap_or_default();
    let word = rest.split(|c: char| !(c.is_alphabetic() || c == '-')).next().unwrap_or_default();
    cardinal(word).is_some()
}

fn spelled_number(words: &str, rest: &str, hedge: Hedge) -> Option<Quoted> {
    let unit = UNIT.captures(rest).and_then(|unit| unit.name("unit")).map_or("", |unit| unit.as_str());
    let (mut total, mut current) = (0.0, 0.0_f64);
    for value in words.split([' ', '-']).filter_map(small_cardinal) {
        if value >= 1_000.0 {
            total += current.max(1.0) * value;
            current = 0.0;
        } else if value >= 100.0 {
            current = current.max(1.0) * value;
        } else {
            current += value;
        }
    }
    // "Eighty-one thousand" is as exact as "81 thousand".
    let last = words.rsplit([' ', '-']).next().and_then(small_cardinal).filter(|last| *last >= 1_000.0);
    let scale = last.unwrap_or(1.0);
    let mut readings = readings(&((total + current) / scale).to_string(), "", unit)?;
    for reading in &mut readings {
        (reading.value, reading.step, reading.coarse) =
            (reading.value * scale, reading.step * scale, reading.coarse * scale);
    }
    Some(Quoted { text: words.to_owned(), what: Quote::Number(readings, hedge) })
}

/// A number in one word, with hyphens. "One" is more often no number.
fn cardinal(word: &str) -> Option<f64> {
    let parts: Vec<f64> = word.split('-').map(small_cardinal).collect::<Option<_>>()?;
    let value: f64 = parts.iter().sum();
    (value > 1.0).then_some(value)
}

fn small_cardinal(word: &str) -> Option<f64> {
    let small = [
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ];
    let tens = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];
    let word = word.to_lowercase();
    let place =
        |list: &[&str]| list.iter().position(|known| *known == word).and_then(|place| u32::try_from(place).ok());
    if let Some(place) = place(&small) {
        return Some(f64::from(place + 1));
    }
    if let Some(place) = place(&tens) {
        return Some(f64::from((place + 2) * 10));
    }
    match word.as_str() {
        "hundred" => Some(100.0),
        "thousand" => Some(1e3),
        "million" => Some(1e6),
        "billion" => Some(1e9),
        _ => None,
    }
}

/// Names with digits that everybody knows and that claim nothing.
fn is_common(name: &str) -> bool {
    let common = [
        "p50", "p75", "p90", "p95", "p99", "p999", "p99.9", "s3", "ec2", "k8s", "k3s", "http1", "http2", "http3",
        "http/1", "http/1.0", "http/1.1", "http/2", "http/3", "h2", "h2c", "utf8", "utf-8", "utf-16", "sha1", "sha256",
        "sha-256", "md5", "ipv4", "ipv6", "oauth2", "base64", "x86", "x86_64", "x64", "arm64", "amd64", "int32",
        "int64", "uint32", "uint64", "float32", "float64", "i18n", "l4", "l7", "log4j", "tls1.2", "tls1.3", "web3",
        "r2", "v8", "es6", "win32", "bm25", "crc32", "iso-8601", "rfc3339", "24/7",
    ];
    common.contains(&name.to_lowercase().as_str())
}
