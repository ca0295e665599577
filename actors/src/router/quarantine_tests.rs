use super::*;
use chrono::TimeZone;
use proptest::prelude::*;

const POLICY: QuarantinePolicy =
    QuarantinePolicy { records: 3, period: TimeDelta::seconds(100), lasts: TimeDelta::seconds(50) };

fn at(second: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_790_000_000 + second, 0).unwrap()
}

fn kill(fingerprint: &str, offset: i64, second: i64) -> Kill<'_> {
    Kill { offset, project: "p", fingerprint, received_at: at(second), message: "boom" }
}

fn lift(second: i64) -> QuarantineLift {
    QuarantineLift {
        schema_version: "1.0".into(),
        command_id: "c".into(),
        kind: "lift_quarantine".into(),
        project_id: "p".into(),
        fingerprint: "f".into(),
        principal: "me".into(),
        received_at: at(second),
    }
}

fn quarantined() -> Quarantine {
    let mut quarantine = Quarantine::new(POLICY);
    assert_eq!([0, 1, 2].map(|n| quarantine.note(kill("f", n, n))), [false, false, true]);
    quarantine
}

#[test]
fn the_third_kill_within_the_period_begins_it_for_this_fingerprint_only() {
    let mut quarantine = quarantined();
    assert!(quarantine.holds("p", "f", at(3)).unwrap().contains("boom"));
    assert_eq!(quarantine.holds("p", "g", at(3)), None);
    assert_eq!(quarantine.holds("q", "f", at(3)), None);
    let (images, evidence) = quarantine.take_changes();
    assert_eq!((images.len(), images[0].records, images[0].since_at), (1, 1, at(2)));
    assert!(evidence.is_empty(), "the quarantine consumed it: {evidence:?}");
}

#[test]
fn kills_far_apart_are_no_pattern() {
    let mut quarantine = Quarantine::new(POLICY);
    assert!((0..20).all(|n| !quarantine.note(kill("f", n, n * 51))));
}

#[test]
fn it_ends_by_time_with_the_first_record_that_is_late_enough() {
    let mut quarantine = quarantined();
    assert!(quarantine.holds("p", "f", at(52)).is_some());
    assert_eq!(quarantine.holds("p", "f", at(53)), None);
    let (images, _) = quarantine.take_changes();
    assert_eq!((images[0].lifted_at, images[0].lifted_by.as_deref(), images[0].records), (Some(at(53)), None, 1));
    assert!(!quarantine.note(kill("f", 9, 54)), "it starts with a clean record");
}

#[test]
fn a_person_ends_it_once() {
    let mut quarantine = quarantined();
    assert!(quarantine.lift(&lift(5)).applied);
    assert!(!quarantine.lift(&lift(6)).applied);
    assert_eq!(quarantine.holds("p", "f", at(7)), None);
    let (images, _) = quarantine.take_changes();
    assert_eq!((images.len(), images[0].lifted_by.as_deref()), (1, Some("me")));
    assert_eq!(quarantine.take_changes(), (vec![], vec![]));
}

#[test]
fn what_begins_again_before_the_next_cut_is_written_as_active() {
    let mut quarantine = quarantined();
    assert!(quarantine.lift(&lift(5)).applied);
    assert_eq!([6, 7, 8].map(|n| quarantine.note(kill("f", n, n))), [false, false, true]);
    let (images, _) = quarantine.take_changes();
    assert_eq!((images.len(), images[0].lifted_at, images[0].since_at), (1, None, at(8)));
}

#[derive(Clone, Debug)]
enum Step {
    Kill(u8),
    Record(u8),
    Lift,
}

proptest! {
    /// Steps at rising offsets and received times; the owner may change after any of them.
    #[test]
    fn g9_a_new_owner_decides_like_one_that_never_died(
        steps in proptest::collection::vec(
            prop_oneof![(0..3u8).prop_map(Step::Kill), (0..3u8).prop_map(Step::Record), Just(Step::Lift)], 1..60),
        gaps in proptest::collection::vec(0i64..40, 60),
        cut in 0usize..60,
    ) {
        const NAMES: [&str; 3] = ["f", "g", "h"];
        let run = |owner: &mut Quarantine, from: usize, to: usize| -> Vec<bool> {
            let mut second: i64 = gaps[..from].iter().sum();
            let mut said = Vec::new();
            for at_step in from..to {
                second += gaps[at_step];
                said.push(match &steps[at_step] {
                    Step::Kill(who) => owner.note(kill(NAMES[usize::from(*who)], at_step as i64, second)),
                    Step::Record(who) => owner.holds("p", NAMES[usize::from(*who)], at(second)).is_some(),
                    Step::Lift => owner.lift(&lift(second)).applied,
                });
            }
            said
        };
        let cut = cut.min(steps.len());
        let whole = run(&mut Quarantine::new(POLICY), 0, steps.len());
        let mut first = Quarantine::new(POLICY);
        let mut halves = run(&mut first, 0, cut);
        let (images, poison) = first.take_changes();
        let mut second = Quarantine::new(POLICY);
        let active = images.into_iter().filter(|image| image.lifted_at.is_none()).collect();
        second.recall(Recalled { active, poison });
        halves.extend(run(&mut second, cut, steps.len()));
        prop_assert_eq!(whole, halves);
    }
}
