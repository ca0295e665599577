//! What of a model's answer can be believed. Pure.
//!
//! * **Shape**: members of wrong types, empty and surplus items and what is too long are dropped.
//! * **Evidence** must cite: an event id, a fact's dotted name (`counts.total`) or its JSON pointer (`/counts/total`). Unknown
//!   citations are dropped, and the item with its last one. Every number, time and version in it must be among the facts that it
//!   cites; a citation of a list item's member stands for the whole item.
//! * **Title, impact and causes** are checked by the sentence, against all facts.
//! * **Next steps** may say how long to wait or how much to add, but no version and no long number that was not sent.
//! * **Addresses** (URLs) that were not sent are taken out. Of the title and the next steps all are: no stranger's event is to
//!   tell the reader where to go.
//! * **Confidence** lies in 0..1 and is no higher than the share of the evidence that was kept.
//!
//! What a number must be like is said in [`quote`] and [`amount`]. Numbers are the only claims that are checked: whether a sentence
//! says something true about them is beyond this. Without any evidence left there is no summary.

mod amount;
mod draft;
mod facts;
mod quote;
#[cfg(test)]
mod tests;
mod words;

use draft::Draft;
use facts::{FactBook, Known};
use schema::ai::Summary;
use serde_json::{Map, Value};
use std::fmt;

/// Most that is kept of each list.
const MOST_CAUSES: usize = 5;
const MOST_EVIDENCE: usize = 10;
const MOST_STEPS: usize = 7;
/// Longest texts, in characters.
const LONGEST_TITLE: usize = 160;
const LONGEST_IMPACT: usize = 800;
const LONGEST_ITEM: usize = 400;
/// Characters of a dropped text that are shown.
const SHOWN: usize = 160;

/// What can be believed, and what not.
#[derive(Clone, Debug, PartialEq)]
pub struct Checked {
    /// None if no evidence is left.
    pub summary: Option<Summary>,
    /// What is not in it, in the order of the answer.
    pub dropped: Vec<Dropped>,
}

/// Something that was taken out of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dropped {
    /// Where it stood: `title`, `evidence 2`.
    pub place: String,
    /// What it was, shortened.
    pub item: String,
    /// Why, the rest of a sentence that begins with it.
    pub reason: String,
}

impl fmt::Display for Dropped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.item.as_str() {
            "" => write!(f, "{} {}", self.place, self.reason),
            item => write!(f, "{} \"{item}\" {}", self.place, self.reason),
        }
    }
}

/// Compares an answer with the facts that it is about.
pub fn check(answer: &Map<String, Value>, facts: &Value) -> Checked {
    let mut notes = Notes::default();
    let draft = Draft::read(answer, &mut notes);
    let book = FactBook::new(facts);
    let all = book.everything();
    let title = sentences(&draft.title, "title", LONGEST_TITLE, (&book, &all), &mut notes);
    let impact = sentences(&draft.impact, "impact", LONGEST_IMPACT, (&book, &all), &mut notes);
    let causes = list(&draft.likely_causes, "likely_causes", MOST_CAUSES, &mut notes, |cause, place, notes| {
        Some(sentences(cause, place, LONGEST_ITEM, (&book, &all), notes)).filter(|cause| !cause.is_empty())
    });
    let sent = draft.evidence.len();
    let mut cited_event_ids = Vec::new();
    let evidence = list(&draft.evidence, "evidence", MOST_EVIDENCE, &mut notes, |item, place, notes| {
        proven(item, place, &book, &mut cited_event_ids, notes)
    });
    let next_steps = list(&draft.next_steps, "next_steps", MOST_STEPS, &mut notes, |step, place, notes| {
        let step = fitting(step, place, LONGEST_ITEM, &book, notes);
        let invented =
            quote::quotes(&step).into_iter().find(|quoted| quoted.is_reference() && !book.holds(quoted, &all));
        if let Some(quoted) = invented {
            notes.drop(place, &step, format!("names {}, which was not sent", quoted.text));
            return None;
        }
        Some(step).filter(|step| !step.is_empty())
    });
    if evidence.is_empty() {
        return Checked { summary: None, dropped: notes.0 };
    }
    let confidence = draft.confidence.min(share(evidence.len(), sent));
    let title = if title.is_empty() { book.title().to_owned() } else { title };
    let summary = Summary { title, impact, likely_causes: causes, evidence, next_steps, confidence, cited_event_ids };
    Checked { summary: Some(summary), dropped: notes.0 }
}

/// What was dropped so far.
#[derive(Debug, Default)]
struct Notes(Vec<Dropped>);

impl Notes {
    fn drop(&mut self, place: &str, item: &str, reason: impl Into<String>) {
        let mut shown: String = words::cleaned(item).chars().take(SHOWN).collect();
        if shown.len() < words::cleaned(item).len() {
            shown.push('…');
        }
        self.0.push(Dropped { place: place.to_owned(), item: shown, reason: reason.into() });
    }
}

/// Of so many, so many were kept.
fn share(kept: usize, of: usize) -> f64 {
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    number(kept) / number(of.max(1))
}

/// The items that `keep` keeps, at most `most`, each with its place.
fn list<T>(
    items: &[T],
    name: &str,
    most: usize,
    notes: &mut Notes,
    mut keep: impl FnMut(&T, &str, &mut Notes) -> Option<String>,
) -> Vec<String> {
    let mut kept: Vec<String> = Vec::new();
    for (number, item) in items.iter().enumerate() {
        let place = format!("{name} {}", number + 1);
        if kept.len() == most {
            notes.drop(
                &format!("{name} from {} on", number + 1),
                "",
                format!("are more than the {most} that are kept"),
            );
            break;
        }
        if let Some(text) = keep(item, &place, notes).filter(|text| !kept.contains(text)) {
            kept.push(text);
        }
    }
    kept
}

/// The text without foreign addresses and without the sentences that do not fit.
fn fitting(text: &str, place: &str, longest: usize, book: &FactBook<'_>, notes: &mut Notes) -> String {
    let takes_none = place.starts_with("title") || place.starts_with("next_steps");
    let (text, foreign) = words::without_addresses(&words::cleaned(text), |address| !takes_none && book.says(address));
    for address in foreign {
        let reason =
            if takes_none { "is an address, which has no place there" } else { "is an address that was not sent" };
        notes.drop(place, &address, reason);
    }
    let (fits, rest) = words::split_at_sentence(&text, longest);
    if !rest.is_empty() {
        notes.drop(place, rest, format!("is beyond the {longest} characters that are kept"));
    }
    fits.to_owned()
}

/// The sentences whose numbers are all among the known ones.
fn sentences(text: &str, place: &str, longest: usize, facts: (&FactBook<'_>, &Known), notes: &mut Notes) -> String {
    let (book, known) = facts;
    let text = fitting(text, place, longest, book, notes);
    let mut kept = Vec::new();
    for sentence in words::sentences(&text) {
        match quote::quotes(sentence).into_iter().find(|quoted| !book.holds(quoted, known)) {
            Some(quoted) => {
                notes.drop(place, sentence, format!("quotes {}, which is in none of the facts", quoted.text))
            }
            None => kept.push(sentence),
        }
    }
    kept.join(" ")
}

/// An item of evidence, if it cites what was sent and quotes what is there.
fn proven(
    item: &draft::Evidence,
    place: &str,
    book: &FactBook<'_>,
    events: &mut Vec<String>,
    notes: &mut Notes,
) -> Option<String> {
    let statement = fitting(&item.statement, place, LONGEST_ITEM, book, notes);
    if statement.is_empty() {
        return None;
    }
    let mut facts = Vec::new();
    for cite in &item.cites {
        match book.resolve(cite) {
            Some(fact) => facts.push(fact),
            None => notes.drop(place, cite, "is cited, but was not sent"),
        }
    }
    if facts.is_empty() {
        notes.drop(place, &statement, "cites nothing that was sent");
        return None;
    }
    let known = book.known(&facts);
    if let Some(quoted) = quote::quotes(&statement).into_iter().find(|quoted| !book.holds(quoted, &known)) {
        notes.drop(place, &statement, format!("quotes {}, which is in none of the facts that it cites", quoted.text));
        return None;
    }
    for id in facts.iter().filter_map(|fact| fact.event_id) {
        if !events.iter().any(|known| known == id) {
            events.push(id.to_owned());
        }
    }
    Some(statement)
}
