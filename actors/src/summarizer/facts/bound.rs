//! The size bound: the least important facts go first, and the document says what went. Pure.

use super::document::Facts;
use super::words::text;

/// Bytes that a document may have when nothing else is said: about 3,000 tokens.
pub const USUAL_BYTES: usize = 12_000;
/// No bound is smaller: the incident, its counts and an event must have room.
pub const LEAST_BYTES: usize = 4_000;

/// Takes a little away. False if there is nothing left to take.
type Step = fn(&mut Facts) -> bool;

/// What can be left out, the least important first; each is repeated until the document is small enough or it has nothing
/// left. The incident, its counts and its latest event stay to the end.
const STEPS: [Step; 14] = [
    |facts| cut_last(&mut facts.nearby_incidents, 2),
    |facts| cut_last(&mut facts.status_codes, 3),
    |facts| cut_first(&mut facts.trend, 15),
    without_attributes,
    |facts| cut_inner(facts, 2),
    |facts| cut_last(&mut facts.routes, 3),
    |facts| cut_last(&mut facts.templates, 3),
    |facts| cut_last(&mut facts.releases, 3),
    |facts| cut_first(&mut facts.incident.state_changes, 1),
    |facts| cut_last(&mut facts.nearby_incidents, 0),
    |facts| cut_first(&mut facts.trend, 0),
    |facts| cut_first(&mut facts.deploys, 1),
    |facts| cut_inner(facts, 1),
    shorter_texts,
];

/// The document cut down to at most `bytes` of JSON (not below [`LEAST_BYTES`]); `omitted` says what is missing.
///
/// # Errors
/// None that its types allow: the document always has a JSON form.
pub fn bounded(mut facts: Facts, bytes: usize) -> serde_json::Result<Facts> {
    let bytes = bytes.max(LEAST_BYTES);
    let whole = lengths(&facts);
    for step in STEPS {
        loop {
            facts.omitted = omitted(&whole, &facts);
            if serde_json::to_vec(&facts)?.len() <= bytes {
                return Ok(facts);
            }
            if !step(&mut facts) {
                break;
            }
        }
    }
    facts.omitted = omitted(&whole, &facts);
    Ok(facts)
}

fn cut_last<T>(list: &mut Vec<T>, least: usize) -> bool {
    list.len() > least && list.pop().is_some()
}

fn cut_first<T>(list: &mut Vec<T>, least: usize) -> bool {
    if list.len() <= least {
        return false;
    }
    list.drain(..1);
    true
}

/// The earliest and the latest event say most.
fn cut_inner(facts: &mut Facts, least: usize) -> bool {
    let samples = &mut facts.samples;
    if samples.len() <= least {
        return false;
    }
    // Of two, the latest stays.
    let place = if samples.len() == 2 { 0 } else { samples.len() / 2 };
    samples.remove(place);
    true
}

fn without_attributes(facts: &mut Facts) -> bool {
    let fullest = facts.samples.iter_mut().max_by_key(|sample| sample.attributes.len());
    fullest.is_some_and(|sample| sample.attributes.pop_last().is_some())
}

/// The last resort.
fn shorter_texts(facts: &mut Facts) -> bool {
    let mut is_shorter = false;
    let mut shorten = |long: &mut String, longest: usize| {
        if long.chars().count() > longest {
            *long = text(long, longest);
            is_shorter = true;
        }
    };
    shorten(&mut facts.incident.title, 120);
    facts.samples.iter_mut().for_each(|sample| shorten(&mut sample.message, 160));
    facts.templates.iter_mut().for_each(|template| shorten(&mut template.template, 160));
    for texts in facts.previous_incident.iter_mut() {
        shorten(&mut texts.title, 100);
        texts.summary_title.iter_mut().chain(&mut texts.summary_cause).for_each(|text| shorten(text, 100));
    }
    is_shorter
}

/// Every list that can lose something, by its fact's name.
fn lengths(facts: &Facts) -> [(&'static str, usize); 9] {
    [
        ("trend", facts.trend.len()),
        ("templates", facts.templates.len()),
        ("routes", facts.routes.len()),
        ("releases", facts.releases.len()),
        ("status_codes", facts.status_codes.len()),
        ("samples", facts.samples.len()),
        ("attributes of samples", facts.samples.iter().map(|sample| sample.attributes.len()).sum()),
        ("nearby_incidents", facts.nearby_incidents.len()),
        ("deploys", facts.deploys.len()),
    ]
}

fn omitted(whole: &[(&'static str, usize)], facts: &Facts) -> Vec<String> {
    let pairs = whole.iter().zip(lengths(facts));
    let missing = pairs.filter(|((_, was), (_, is))| is < was);
    missing.map(|((name, was), (_, is))| format!("{name}: {} of {was} left out", was - is)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summarizer::facts::document::{MinuteFact, NearbyFact, SampleFact, TemplateFact};

    /// A document with as much of everything as gathering can give.
    fn large() -> Facts {
        let sample = |number| SampleFact {
            event_id: format!("e{number}"),
            number,
            message: "m".repeat(500),
            attributes: (0..12).map(|key| (format!("key{key}"), "v".repeat(120))).collect(),
            ..SampleFact::default()
        };
        let mut facts = Facts { samples: (1..=6).map(sample).collect(), ..Facts::default() };
        facts.incident.title = "ü".repeat(300);
        facts.trend = (0..60).map(|minute| MinuteFact { minute: format!("minute {minute}"), events: 1 }).collect();
        let template = |_| TemplateFact { template: "t".repeat(500), ..TemplateFact::default() };
        facts.templates = (0..10).map(template).collect();
        let nearby = |_| NearbyFact { title: "n".repeat(200), ..NearbyFact::default() };
        facts.nearby_incidents = (0..5).map(nearby).collect();
        facts
    }

    #[test]
    fn what_fits_stays_whole() {
        let facts = Facts::default();
        assert_eq!(bounded(facts.clone(), USUAL_BYTES).unwrap(), facts);
    }

    #[test]
    fn the_bound_holds_and_the_least_important_goes_first() {
        for bytes in [LEAST_BYTES, 6_000, USUAL_BYTES, 16_000] {
            let facts = bounded(large(), bytes).unwrap();
            let size = serde_json::to_vec(&facts).unwrap().len();
            assert!(size <= bytes, "{size} of {bytes}");
            assert_eq!(facts.samples.last().unwrap().event_id, "e6", "the latest event stays");
            assert!(facts.omitted.iter().any(|line| line.starts_with("nearby_incidents: ")), "{:?}", facts.omitted);
        }
        let usual = bounded(large(), USUAL_BYTES).unwrap();
        assert_eq!(usual.templates.len(), 10, "messages matter more than attributes: {:?}", usual.omitted);
        assert_eq!(usual.trend.len(), 15);
        assert!(usual.omitted.contains(&"trend: 45 of 60 left out".to_owned()), "{:?}", usual.omitted);
    }
}
