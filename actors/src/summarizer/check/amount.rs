//! Numbers with their units, and when a quoted one is a known one.
//!
//! A quoted number is a known one if the known one, rounded or cut to the digits that are quoted, gives it: 412 is only 412,
//! but `1.2k` is 1,234 and `12.6 minutes` are 756 seconds. With a word before it that says so (about, over, nearly ...) its closing zeros
//! are not exact, by at most a tenth (about) or a quarter (over, under). Signs are left to the words: "4 minutes before" is -4.
//! Units are compared where both sides have one: percent with percent and shares of 1, times with factors, durations with
//! durations, sizes with sizes. What is counted is no duration and no percentage. A known number without a unit may be any.

/// Slack for what binary fractions cannot hold.
const SLACK: f64 = 1e-9;

/// What a number is a number of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Unit {
    /// Not known.
    Plain,
    /// Things that were counted.
    Count,
    /// Of a hundred.
    Percent,
    /// Of one.
    Share,
    /// How many times as much.
    Factor,
    /// Seconds.
    Seconds,
    /// Bytes.
    Bytes,
}

/// A known number, in its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Amount {
    pub value: f64,
    pub unit: Unit,
}

/// A way to understand a quoted number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Reading {
    /// In its unit.
    pub value: f64,
    pub unit: Unit,
    /// What one of its last digit is worth.
    pub step: f64,
    /// What one of its last digit but closing zeros is worth.
    pub coarse: f64,
    /// What one of the unit that it was written in is worth: 60 of a number of minutes.
    pub worth: f64,
    /// It names a class, like 5xx: all from it on within a step.
    pub is_class: bool,
}

/// How exact the words before a number say that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hedge {
    Exact,
    About,
    Over,
    Under,
}

impl Reading {
    /// Whether this number may be meant.
    pub fn fits(&self, known: Amount, hedge: Hedge) -> bool {
        let known = match (self.unit, known.unit) {
            (Unit::Percent, Unit::Share) => known.value * 100.0,
            (Unit::Factor, Unit::Share) | (Unit::Plain | Unit::Count, _) => known.value,
            (_, Unit::Plain) => return self.fits_plain(known.value, hedge),
            (quoted, unit) if quoted == unit => known.value,
            _ => return false,
        };
        self.is_near(known.abs(), hedge)
    }

    /// A number whose unit is not known is compared as it was written.
    fn fits_plain(&self, known: f64, hedge: Hedge) -> bool {
        let worth = if self.unit == Unit::Plain { 1.0 } else { self.worth };
        let written = Self { value: self.value / worth, step: self.step / worth, coarse: self.coarse / worth, ..*self };
        written.is_near(known.abs(), hedge)
    }

    fn is_near(&self, known: f64, hedge: Hedge) -> bool {
        let (value, slack) = (self.value, SLACK * self.value.max(1.0));
        let within = |low: f64, high: f64| known >= low - slack && known <= high + slack;
        if self.is_class {
            return known >= value && known < value + self.step;
        }
        // Rounded, or cut.
        let is_exact = within(value - self.step / 2.0, value + self.step / 2.0)
            || (known >= value && known < value + self.step - slack);
        let room = |share: f64| self.coarse.min(value * share).max(self.step);
        is_exact
            || match hedge {
                Hedge::Exact => false,
                Hedge::About => {
                    within(value - (self.coarse / 2.0).min(value * 0.1), value + (self.coarse / 2.0).min(value * 0.1))
                }
                Hedge::Over => within(value, value + room(0.25)),
                Hedge::Under => within(value - room(0.25), value),
            }
    }
}

/// The unit that a member's name gives to its number, and what one of it is worth.
pub(super) fn of_name(name: &str) -> (Unit, f64) {
    let name = name.to_ascii_lowercase();
    let words: Vec<&str> = name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let has = |any: &[&str]| words.iter().any(|word| any.contains(word));
    let ends = |any: &[&str]| words.iter().take(1).chain(words.last()).any(|word| any.contains(word));
    // `last_10_minutes` counts something else.
    let is_window =
        words.iter().any(|word| word.bytes().all(|byte| byte.is_ascii_digit())) || has(&["per", "last", "previous"]);
    if has(&["percent", "pct", "percentage"]) {
        return (Unit::Percent, 1.0);
    }
    if ends(&["share", "ratio", "fraction"]) {
        return (Unit::Share, 1.0);
    }
    if ends(&["factor", "multiple"]) {
        return (Unit::Factor, 1.0);
    }
    if is_window
        || has(&[
            "count", "counts", "total", "events", "samples", "users", "errors", "requests", "deploys", "number",
            "distinct",
        ])
    {
        return (Unit::Count, 1.0);
    }
    let table: [(&[&str], Unit, f64); 8] = [
        (&["ms", "millis", "milliseconds"], Unit::Seconds, 1e-3),
        (&["seconds", "secs", "sec", "s"], Unit::Seconds, 1.0),
        (&["minutes", "mins"], Unit::Seconds, 60.0),
        (&["hours", "hrs"], Unit::Seconds, 3_600.0),
        (&["days"], Unit::Seconds, 86_400.0),
        (&["bytes"], Unit::Bytes, 1.0),
        (&["kb", "kib"], Unit::Bytes, 1_024.0),
        (&["mb", "mib"], Unit::Bytes, 1_048_576.0),
    ];
    table.into_iter().find(|(names, ..)| ends(names)).map_or((Unit::Plain, 1.0), |(_, unit, worth)| (unit, worth))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_unit() {
        let table = [
            ("share_percent", Unit::Percent, 1.0),
            ("change_factor", Unit::Factor, 1.0),
            ("error_ratio", Unit::Share, 1.0),
            ("duration_minutes", Unit::Seconds, 60.0),
            ("minutes_before_first_event", Unit::Seconds, 60.0),
            ("last_10_minutes", Unit::Count, 1.0),
            ("average_per_active_minute", Unit::Count, 1.0),
            ("total", Unit::Count, 1.0),
            ("latency_ms", Unit::Seconds, 1e-3),
            ("size_bytes", Unit::Bytes, 1.0),
            ("pool_size", Unit::Plain, 1.0),
        ];
        for (name, unit, worth) in table {
            assert_eq!(of_name(name), (unit, worth), "{name}");
        }
    }
}
