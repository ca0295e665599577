use super::*;
use proptest::prelude::*;
use serde_json::json;

fn facts() -> Value {
    serde_json::from_str(include_str!("../facts/example.json")).unwrap()
}

fn checked(answer: Value) -> Checked {
    check(answer.as_object().unwrap(), &facts())
}

/// An answer of which this is the evidence.
fn with_evidence(statement: &str, cites: &[&str]) -> Value {
    json!({
        "title": "Order pool exhausted", "impact": "Orders fail.", "likely_causes": ["The pool is too small."], "next_steps": ["Roll back."],
        "evidence": [{"statement": statement, "cites": cites}], "confidence": 0.8,
    })
}

/// A statement, what it cites, and whether it stands.
const STATEMENTS: &[(&str, &[&str], bool)] = &[
    // Plain numbers and their ways of being written.
    ("412 events were counted.", &["counts.total"], true),
    ("413 events were counted.", &["counts.total"], false),
    ("Four hundred twelve events.", &["counts.total"], true),
    ("About 400 events.", &["counts.total"], true),
    ("Over 400 events.", &["counts.total"], true),
    ("Nearly 400 events.", &["counts.total"], false),
    ("About 300 events.", &["counts.total"], false),
    ("400 events.", &["counts.total"], false),
    ("81,200 requests were served.", &["project.requests_last_hour"], true),
    ("81.2k requests were served.", &["project.requests_last_hour"], true),
    ("81 thousand requests were served.", &["project.requests_last_hour"], true),
    ("Eighty-one thousand requests were served.", &["project.requests_last_hour"], true),
    ("80k requests were served.", &["project.requests_last_hour"], false),
    ("81,200 requests in the last hour.", &["project.requests_last_hour"], true),
    ("395 events in the last 10 minutes.", &["counts.last_10_minutes"], true),
    // A number of another fact.
    ("61 events at the peak.", &["counts.total"], false),
    ("61 events at the peak.", &["counts.total", "counts.peak_per_minute"], true),
    // Units.
    ("90 % are timeouts.", &["templates.0.share_percent"], true),
    ("90 percent are timeouts.", &["/templates/0/share_percent"], true),
    ("412% are timeouts.", &["counts.total"], false),
    ("18 of 20 samples.", &["templates.0", "samples_kept"], true),
    ("23.2x as many as before.", &["counts.change_factor"], true),
    ("23 times as many as before.", &["counts.change_factor"], true),
    ("25x as many as before.", &["counts.change_factor"], false),
    ("412x as many as before.", &["counts.total"], false),
    ("It lasts 12 minutes.", &["incident.duration_minutes"], true),
    ("It lasts 720 seconds.", &["incident.duration_minutes"], true),
    ("It lasts 12 hours.", &["incident.duration_minutes"], false),
    ("It began 4 minutes after a deploy.", &["deploys.0.minutes_before_first_event"], true),
    ("It began 5 minutes after a deploy.", &["deploys.0.minutes_before_first_event"], false),
    ("It waited 3000 ms.", &["evt-412"], true),
    ("It waited 3 seconds.", &["evt-412"], true),
    ("It waited 3s.", &["evt-412"], true),
    ("It waited 4 s.", &["evt-412"], false),
    ("All are HTTP 500.", &["status_codes.0"], true),
    ("All are 500s.", &["status_codes.0"], true),
    ("All are 5xx.", &["status_codes.0"], true),
    ("All are 4xx.", &["status_codes.0"], false),
    ("All are HTTP-500.", &["status_codes.0"], true),
    ("All are HTTP-503.", &["status_codes.0"], false),
    // Times.
    ("The peak was at 03:05 UTC.", &["counts.peak_minute"], true),
    ("The peak was at 3:05 AM.", &["counts.peak_minute"], true),
    ("The peak was after 3 am.", &["counts.peak_minute"], true),
    ("The peak was at 15:05.", &["counts.peak_minute"], false),
    ("The peak was on 2026-11-24 at 03:05.", &["counts.peak_minute"], true),
    ("The peak was on Nov 24, 2026.", &["counts.peak_minute"], true),
    ("The peak was on 25 November.", &["counts.peak_minute"], false),
    ("First seen 2026-11-24T02:57:12Z.", &["incident.first_seen"], true),
    ("First seen 2026-11-24T02:57:13Z.", &["incident.first_seen"], false),
    // Names.
    ("All come from v2.4.1.", &["releases.0.release"], true),
    ("All come from release 2.4.1.", &["releases.0"], true),
    ("All come from v2.4.", &["releases.0"], false),
    ("All come from v2.5.0.", &["releases.0"], false),
    ("The last is evt-412.", &["evt-412"], true),
    ("The last is evt-999.", &["evt-412"], false),
    ("p99 and HTTP/2 are common names.", &["counts"], true),
    ("Users of /api/orders/977 wait.", &["samples.1"], true),
    ("Users of /api/v9/orders wait.", &["samples.1"], false),
    // Citations.
    ("No number at all.", &["evt-1"], true),
    ("No number at all.", &[], false),
    ("No number at all.", &["evt-77"], false),
    ("No number at all.", &["counts.invented", "/nowhere/0"], false),
    ("No number at all.", &["samples.9", ""], false),
    ("No number at all.", &["counts.invented", "`counts.total`"], true),
    ("No number at all.", &["facts.counts.total"], true),
    ("61 events at 03:05.", &["trend.1.events"], true),
    ("61 events at 03:05.", &["trend[1].events"], true),
    ("44 events at 03:05.", &["trend.1.events"], false),
    ("14 users.", &["users.distinct_in_samples"], true),
    ("Two routes are hit.", &["routes"], true),
    ("Three routes are hit.", &["routes"], false),
];

#[test]
fn a_statement_stands_if_what_it_cites_holds_its_numbers() {
    for (statement, cites, expected) in STATEMENTS {
        let result = checked(with_evidence(statement, cites));
        assert_eq!(result.summary.is_some(), *expected, "{statement} {cites:?}: {:?}", result.dropped);
        assert!(*expected || !result.dropped.is_empty(), "{statement}: what is dropped is recorded");
    }
}

#[test]
fn sentences_with_invented_numbers_go_and_the_rest_stays() {
    let mut answer = with_evidence("412 events.", &["counts.total", "evt-412"]);
    answer["title"] = json!("5000 orders lost");
    answer["impact"] = json!("412 errors were counted. About 9,000 customers are hit! It is critical.");
    answer["likely_causes"] =
        json!(["1. Release v2.4.1 holds connections.", "Release v9.9.9 is broken.", "A deploy 4 minutes earlier."]);
    answer["next_steps"] = json!([
        "Roll back v2.4.1.",
        "Roll back to v2.3.9.",
        "Wait 15 minutes, then raise the pool to 50.",
        "See PR #1234567."
    ]);
    let result = checked(answer);
    let summary = result.summary.unwrap();
    assert_eq!(
        summary.title, "timeout after 3000 ms waiting for a connection from pool \"orders\"",
        "the incident's own"
    );
    assert_eq!(summary.impact, "412 errors were counted. It is critical.");
    assert_eq!(summary.likely_causes, ["Release v2.4.1 holds connections.", "A deploy 4 minutes earlier."]);
    assert_eq!(summary.next_steps, ["Roll back v2.4.1.", "Wait 15 minutes, then raise the pool to 50."]);
    assert_eq!(summary.cited_event_ids, ["evt-412"]);
    let dropped: Vec<String> = result.dropped.iter().map(ToString::to_string).collect();
    assert_eq!(
        dropped,
        [
            "title \"5000 orders lost\" quotes 5000, which is in none of the facts",
            "impact \"About 9,000 customers are hit!\" quotes 9,000, which is in none of the facts",
            "likely_causes 2 \"Release v9.9.9 is broken.\" quotes v9.9.9, which is in none of the facts",
            "next_steps 2 \"Roll back to v2.3.9.\" names v2.3.9, which was not sent",
            "next_steps 4 \"See PR #1234567.\" names 1234567, which was not sent",
        ]
    );
}

#[test]
fn wrong_types_are_understood_or_dropped() {
    let result = checked(json!({
        "title": 42, "impact": null, "likely_causes": "One text for a list.", "next_steps": [{"step": "x"}, "- Look at the pool.", "Look at the pool."],
        "evidence": ["no citations", {"cites": ["evt-1"]}, 7, {"statement": "412 events.", "cites": "counts.total"}], "confidence": "80 %", "extra": 1,
    }));
    let summary = result.summary.unwrap();
    assert_eq!(
        (summary.likely_causes, summary.next_steps),
        (vec!["One text for a list.".to_owned()], vec!["Look at the pool.".to_owned()])
    );
    assert_eq!((summary.evidence, summary.impact), (vec!["412 events.".to_owned()], String::new()));
    assert_eq!(summary.confidence, 0.5, "half of the statements stand");
    let places: Vec<_> = result.dropped.iter().map(|dropped| dropped.place.as_str()).collect();
    assert_eq!(places, ["title", "impact", "evidence", "evidence", "next_steps", "evidence 1"]);
    for nonsense in [json!({}), json!({"title": [], "evidence": {}}), json!({"evidence": [[]], "confidence": {}})] {
        assert_eq!(checked(nonsense).summary, None);
    }
}

#[test]
fn confidence_is_clamped() {
    let mut answer = with_evidence("No number.", &["evt-1"]);
    for (said, expected) in [
        (json!(0.7), 0.7),
        (json!(-1), 0.0),
        (json!(1.0), 1.0),
        (json!(85), 0.85),
        (json!(1e9), 1.0),
        (json!("high"), 0.0),
        (json!(null), 0.0),
    ] {
        answer["confidence"] = said.clone();
        assert_eq!(checked(answer.clone()).summary.unwrap().confidence, expected, "{said}");
    }
}

#[test]
fn text_stays_text_of_a_bounded_length_and_without_foreign_addresses() {
    let mut answer = with_evidence("Look at https://evil.example/x\u{202e} <b>now</b>.", &["evt-1"]);
    answer["title"] = json!("<script>alert('x')</script>\u{0}\n[click](javascript:alert)");
    answer["impact"] = json!("A sentence of several letters.. ".repeat(100));
    answer["likely_causes"] = json!(vec!["Same."; 9]);
    answer["next_steps"] = json!((0..9).map(|n| format!("Step {}.", "x".repeat(n))).collect::<Vec<_>>());
    let result = checked(answer);
    let summary = result.summary.unwrap();
    assert_eq!(summary.title, "<script>alert('x')</script> [click]((address removed))");
    assert_eq!(summary.evidence, ["Look at (address removed) <b>now</b>."]);
    assert!(summary.impact.chars().count() <= LONGEST_IMPACT && summary.impact.ends_with('.'));
    assert_eq!((summary.likely_causes.len(), summary.next_steps.len()), (1, MOST_STEPS));
    let reasons: Vec<_> =
        result.dropped.iter().map(|dropped| (dropped.place.as_str(), dropped.item.as_str())).collect();
    assert!(reasons.contains(&("title", "javascript:alert")), "{reasons:?}");
    assert!(reasons.contains(&("evidence 1", "https://evil.example/x")), "{reasons:?}");
    assert!(reasons.iter().any(|(place, _)| *place == "next_steps from 8 on"), "{reasons:?}");
}

#[test]
fn a_client_cannot_make_ids_up_and_its_addresses_may_be_repeated() {
    let mut facts = facts();
    facts["samples"][0]["attributes"] = json!({"event_id": "forged-1", "docs": "https://wiki.example/runbook"});
    let answer = |statement: &str, cite: &str| with_evidence(statement, &[cite]);
    assert_eq!(check(answer("It was so.", "forged-1").as_object().unwrap(), &facts).summary, None);
    let kept =
        check(answer("See https://wiki.example/runbook.", "samples.0").as_object().unwrap(), &facts).summary.unwrap();
    assert_eq!(kept.evidence, ["See https://wiki.example/runbook."]);
    assert_eq!(kept.cited_event_ids, ["evt-393"], "a cited sample is a cited event");
}

proptest! {
    /// Whatever is answered: nothing panics, limits hold, and every number in the evidence was sent.
    #[test]
    fn no_answer_breaks_the_bounds(
        texts in prop::collection::vec("\\PC{0,60}|[0-9a-z:.,% -]{0,40}|(about |over )?[0-9]{1,5}(k|%|x| minutes| ms)?", 6),
        cite in prop::sample::select(vec!["counts.total", "counts", "evt-412", "trend", "x", "/samples/0"]),
        confidence in any::<f64>(),
    ) {
        let answer = json!({
            "title": texts[0], "impact": texts[1], "likely_causes": [texts[2], texts[3]], "next_steps": [texts[4]],
            "evidence": [{"statement": texts[5], "cites": [cite]}, {"statement": texts[3], "cites": [cite, "evt-1"]}], "confidence": confidence,
        });
        if let Some(summary) = checked(answer).summary {
            prop_assert!((0.0..=1.0).contains(&summary.confidence));
            prop_assert!(!summary.evidence.is_empty() && !summary.title.is_empty());
            prop_assert!(summary.title.chars().count() <= LONGEST_TITLE);
        }
    }

    /// A number that stands in no fact never gets through, however it is written.
    #[test]
    fn numbers_that_were_not_sent_never_pass(number in 100_000_u32..9_999_999, style in 0..4_usize) {
        prop_assume!(number != 720_000 && number % 1_000 != 0);
        let grouped = format!("{},{:03}", number / 1_000, number % 1_000);
        let written = [number.to_string(), if number < 1_000_000 { grouped } else { number.to_string() }, format!("about {number}"), format!("{number} events")];
        let statement = format!("There were {} of them.", written[style]);
        prop_assert_eq!(checked(with_evidence(&statement, &["counts", "trend", "samples", "project", "incident"])).summary, None);
    }

    /// A number that stands in the cited fact passes, in every style of writing it.
    #[test]
    fn numbers_that_were_sent_pass(number in 1_000_u32..999_999) {
        let mut facts = facts();
        facts["counts"]["total"] = number.into();
        let grouped = format!("{},{:03}", number / 1_000, number % 1_000);
        let thousands = format!("{:.1}k", f64::from(number) / 1_000.0);
        for written in [number.to_string(), grouped, thousands] {
            let answer = with_evidence(&format!("There were {written} of them."), &["counts.total"]);
            let result = check(answer.as_object().unwrap(), &facts);
            prop_assert!(result.summary.is_some(), "{:?}", result.dropped);
        }
    }
}
