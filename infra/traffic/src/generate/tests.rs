use super::*;
use proptest::prelude::*;
use schema::event::EventType;
use std::collections::BTreeSet;

fn plan(scenario: Scenario, seed: u64, rate: f64, seconds: u64) -> Plan {
    let started_at = DateTime::from_timestamp(1_800_000_000, 0).expect("a valid time");
    Plan { scenario, seed, rate, duration: Duration::from_secs(seconds), started_at, run: Run::new(7) }
}

/// Events of a kind between two moments of the run, per second.
fn rate_of(plan: Plan, from: f64, to: f64, kind: impl Fn(&ClientEvent) -> bool) -> f64 {
    let seconds = plan.duration.as_secs_f64();
    let within = |at: Duration| (from..to).contains(&(at.as_secs_f64() / seconds));
    let events = plan.events().filter(|(at, event)| within(*at) && kind(event)).count();
    f64::from(u32::try_from(events).expect("few events")) / ((to - from) * seconds)
}

fn is(event_type: EventType) -> impl Fn(&ClientEvent) -> bool {
    move |event| event.event_type == event_type
}

fn code(event: &ClientEvent) -> &str {
    event.attributes.get("error_code").and_then(|code| code.as_str()).unwrap_or_default()
}

#[test]
fn the_normal_mix_keeps_its_rate_and_has_every_kind() {
    let plan = plan(Scenario::Normal, 1, 200.0, 100);
    let rate = rate_of(plan, 0.0, 1.0, |_| true);
    assert!((190.0..210.0).contains(&rate), "{rate}");
    let kinds: BTreeSet<_> = plan.events().map(|(_, event)| event.event_type).collect();
    assert_eq!(kinds.len(), EventType::ALL.len());
    let groups: BTreeSet<_> = plan.events().filter_map(|(_, e)| e.group()).map(|g| g.fingerprint).collect();
    assert!(groups.len() > 30, "many incidents: {}", groups.len());
    let uncoded = rate_of(plan, 0.0, 1.0, |e| e.event_type == EventType::Error && code(e).is_empty());
    assert!(uncoded > 1.0, "errors without a code are among them: {uncoded}");
}

#[test]
fn spike_errors_spikes_in_between_and_only_there() {
    let plan = plan(Scenario::SpikeErrors, 2, 100.0, 100);
    let errors = |from, to| rate_of(plan, from, to, is(EventType::Error));
    let (before, during, after) = (errors(0.0, 0.4), errors(0.4, 0.7), errors(0.7, 1.0));
    assert!(during > 8.0 * before && during > 8.0 * after, "{before} {during} {after}");
    let spike = |from, to| rate_of(plan, from, to, |e| code(e) == "PAYMENT_TIMEOUT");
    assert!(spike(0.0, 0.39) + spike(0.71, 1.0) == 0.0 && spike(0.4, 0.7) > 100.0);
    let requests = |from, to| rate_of(plan, from, to, is(EventType::HttpRequest));
    assert!(requests(0.4, 0.7) > 0.8 * requests(0.0, 0.4), "the spike takes nothing away");
}

#[test]
fn drop_signups_drops_them_and_nothing_else() {
    let plan = plan(Scenario::DropSignups, 3, 500.0, 100);
    let (before, after) =
        (rate_of(plan, 0.0, 0.5, is(EventType::Signup)), rate_of(plan, 0.5, 1.0, is(EventType::Signup)));
    assert!(before > 30.0 && after < before / 10.0, "{before} {after}");
    let others = |from, to| rate_of(plan, from, to, |e| e.event_type != EventType::Signup);
    assert!((others(0.0, 0.5) / others(0.5, 1.0) - 1.0).abs() < 0.1);
}

#[test]
fn deploy_then_spike_fails_after_the_deploy_in_its_release() {
    let events: Vec<_> = plan(Scenario::DeployThenSpike, 4, 100.0, 100).events().collect();
    let deploys: Vec<_> = events.iter().filter(|(_, e)| e.event_type == EventType::Deploy).collect();
    assert_eq!(deploys.len(), 2);
    let (deployed, deploy) = deploys[1];
    let surge: Vec<_> = events.iter().filter(|(_, e)| code(e) == "NULL_REFERENCE").collect();
    assert!(surge.len() > 4_000, "{}", surge.len());
    for (at, event) in surge {
        assert!(at > deployed);
        assert_eq!(event.attributes["release"], deploy.attributes["release"]);
    }
    let before = events.iter().filter(|(at, _)| at < deployed);
    assert!(before.clone().count() > 3_000);
    before.for_each(|(_, event)| assert_ne!(event.attributes["release"], deploy.attributes["release"]));
}

#[test]
fn a_sample_has_exactly_as_many_events_as_asked_for() {
    for count in [0u32, 1, 17, 5_000] {
        let started_at = DateTime::UNIX_EPOCH;
        let events: Vec<_> = sample(count, 5, Run::new(1), started_at).collect();
        assert_eq!(events.len(), usize::try_from(count).expect("a small number"));
        let latest = events.iter().map(|event| event.occurred_at).max();
        assert!(latest.is_none_or(|latest| latest - started_at < TimeDelta::minutes(1)));
    }
}

#[test]
fn another_run_of_the_same_seed_differs_in_its_ids_only() {
    let first = plan(Scenario::Normal, 6, 50.0, 10);
    let second = Plan { run: Run::new(8), ..first };
    for ((at, event), (other_at, other)) in first.events().zip(second.events()) {
        assert_ne!(event.event_id, other.event_id);
        assert_eq!(
            (at, ClientEvent { event_id: String::new(), ..event }),
            (other_at, ClientEvent { event_id: String::new(), ..other })
        );
    }
}

fn scenarios() -> impl Strategy<Value = Scenario> {
    use clap::ValueEnum;
    proptest::sample::select(Scenario::value_variants())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_same_plan_gives_the_same_events(scenario in scenarios(), seed: u64, rate in 1.0f64..400.0) {
        let plan = plan(scenario, seed, rate, 5);
        prop_assert!(plan.events().eq(plan.events()));
    }

    #[test]
    fn events_come_in_order_within_the_duration_under_ids_of_their_own(
        scenario in scenarios(),
        seed: u64,
        rate in 1.0f64..400.0,
    ) {
        let plan = plan(scenario, seed, rate, 5);
        let mut ids = BTreeSet::new();
        let mut before = Duration::ZERO;
        for (at, event) in plan.events() {
            prop_assert!(before <= at && at < plan.duration);
            prop_assert!(event.occurred_at >= plan.started_at);
            prop_assert!(Ulid::from_string(&event.event_id).is_ok());
            prop_assert!(ids.insert(event.event_id), "an id came twice");
            before = at;
        }
    }

    #[test]
    fn another_seed_gives_other_events(seed: u64) {
        let one = plan(Scenario::Normal, seed, 100.0, 5);
        let other = Plan { seed: seed.wrapping_add(1), ..one };
        prop_assert!(!one.events().eq(other.events()));
    }
}
