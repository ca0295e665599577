//! How a metric is declared: a name, a kind, its labels, and a comment that is documentation, HELP text and README in one.
//!
//! Each crate declares its own with [`crate::instruments!`] in one file. A declaration is a function of the labels that
//! returns a handle; whoever measures often keeps the handle. Handles made before a recorder is installed do nothing.

pub use metrics::{Counter, Gauge, Histogram};
use metrics::{Key, KeyName, Label, Level, Metadata, SharedString, with_recorder};
use std::fmt::Write;

const METADATA: Metadata<'static> = Metadata::new("signals", Level::INFO, None);

/// What kind a metric is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// How often which values were seen.
    Histogram,
}

impl Kind {
    /// As Prometheus has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A metric as it was declared.
#[derive(Clone, Copy, Debug)]
pub struct Instrument {
    /// Its name; the unit is its last word, before `_total`.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// The names of its labels; each has a small, bounded set of values.
    pub labels: &'static [&'static str],
    /// The lines of its comment, each with the blank that it began with.
    pub comment: &'static str,
}

impl Instrument {
    /// What it says, in words.
    pub fn help(&self) -> &'static str {
        self.comment.trim()
    }

    /// Tells the recorder what it says.
    pub fn describe(&self) {
        let (name, help) = (KeyName::from(self.name), SharedString::from(self.help()));
        with_recorder(|recorder| match self.kind {
            Kind::Counter => recorder.describe_counter(name, None, help),
            Kind::Gauge => recorder.describe_gauge(name, None, help),
            Kind::Histogram => recorder.describe_histogram(name, None, help),
        });
    }
}

/// A kind of handle.
pub trait Handle {
    /// The handle of the metric with these labels.
    fn of<const N: usize>(name: &'static str, labels: [(&'static str, String); N]) -> Self;
}

fn key<const N: usize>(name: &'static str, labels: [(&'static str, String); N]) -> Key {
    Key::from_parts(name, labels.map(|(label, value)| Label::new(label, value)).to_vec())
}

impl Handle for Counter {
    fn of<const N: usize>(name: &'static str, labels: [(&'static str, String); N]) -> Self {
        with_recorder(|recorder| recorder.register_counter(&key(name, labels), &METADATA))
    }
}

impl Handle for Gauge {
    fn of<const N: usize>(name: &'static str, labels: [(&'static str, String); N]) -> Self {
        with_recorder(|recorder| recorder.register_gauge(&key(name, labels), &METADATA))
    }
}

impl Handle for Histogram {
    fn of<const N: usize>(name: &'static str, labels: [(&'static str, String); N]) -> Self {
        with_recorder(|recorder| recorder.register_histogram(&key(name, labels), &METADATA))
    }
}

/// Declares the metrics of a crate: `/// what it says` `Counter records_read(partition) = "signals_records_read_total";` makes a
/// function `records_read(partition)` that returns the handle, and an entry of the constant `ALL`.
#[macro_export]
macro_rules! instruments {
    ($($(#[doc = $comment:literal])+ $kind:ident $name:ident($($label:ident),* $(,)?) = $metric:literal;)+) => {
        /// Every metric declared here, in order.
        pub const ALL: &[$crate::instrument::Instrument] = &[$($crate::instrument::Instrument {
            name: $metric,
            kind: $crate::instrument::Kind::$kind,
            labels: &[$(stringify!($label)),*],
            comment: concat!($($comment),+),
        }),+];
        $(
            $(#[doc = $comment])+
            pub fn $name($($label: impl ::std::string::ToString),*) -> $crate::instrument::$kind {
                let labels = [$((stringify!($label), $label.to_string())),*];
                <$crate::instrument::$kind as $crate::instrument::Handle>::of($metric, labels)
            }
        )+
    };
}

/// All of them as a table in Markdown.
pub fn table<'a>(instruments: impl IntoIterator<Item = &'a Instrument>) -> String {
    let mut table = String::from("| metric | kind | labels | says |\n|---|---|---|---|\n");
    for instrument in instruments {
        let labels: Vec<String> = instrument.labels.iter().map(|label| format!("`{label}`")).collect();
        let (name, kind, labels) = (instrument.name, instrument.kind.as_str(), labels.join(", "));
        // A String takes everything.
        let _ = writeln!(table, "| `{name}` | {kind} | {labels} | {} |", instrument.help());
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    mod declared {
        crate::instruments! {
            /// Things seen,
            /// all of them.
            Counter things(colour, size) = "signals_things_total";
            /// How warm it is.
            Gauge warmth() = "signals_warmth_degrees";
        }
    }

    #[test]
    fn a_declaration_is_an_entry_with_its_comment_and_a_function_of_its_labels() {
        let [things, warmth] = declared::ALL else { panic!() };
        assert_eq!(
            (things.kind, things.labels, things.help()),
            (Kind::Counter, &["colour", "size"][..], "Things seen, all of them.")
        );
        assert_eq!((warmth.name, warmth.kind), ("signals_warmth_degrees", Kind::Gauge));
        declared::things("red", 3).increment(1);
        declared::warmth().set(21.5);
        let row = "| `signals_things_total` | counter | `colour`, `size` | Things seen, all of them. |\n";
        assert!(table(declared::ALL).contains(row), "{}", table(declared::ALL));
    }
}
