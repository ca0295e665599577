use super::*;
use chrono::TimeZone;
use proptest::prelude::*;

fn at(second: i64) -> DateTime<Utc> {
    Utc.timestamp_opt(1_790_000_000 + second, 0).unwrap()
}

fn opening(offset: i64) -> Opening {
    Opening {
        id: format!("incident-{offset}"),
        org_id: "org".into(),
        project_id: "proj".into(),
        environment: "prod".into(),
        fingerprint: "f".into(),
        title: "it broke".into(),
        error_code: None,
        route: None,
        event_id: format!("event-{offset}"),
        partition: 0,
    }
}

fn event(state: &mut IncidentState, offset: i64, second: i64) -> i64 {
    let occurrence = Occurrence { offset, occurred_at: at(second), severity: Severity::Error };
    state.apply(occurrence, || opening(offset))
}

fn command(state: &mut IncidentState, offset: i64, second: i64, incident: &str, kind: CommandKind) -> CommandOutcome {
    state.command(
        offset,
        &IncidentCommand {
            schema_version: "1.0".into(),
            command_id: format!("command-{offset}"),
            kind,
            project_id: "proj".into(),
            incident_id: incident.into(),
            fingerprint: "f".into(),
            principal: "key".into(),
            received_at: at(second),
        },
    );
    state.pending.outcomes.last().unwrap().clone()
}

#[test]
fn the_first_event_opens_and_the_next_ones_count() {
    let mut state = IncidentState::default();
    assert_eq!([event(&mut state, 0, 10), event(&mut state, 1, 5), event(&mut state, 2, 70)], [1, 2, 3]);
    let changes = state.take_changes();
    let incident = &changes.incidents[0];
    assert_eq!((incident.event_count, incident.first_seen, incident.last_seen), (3, at(5), at(70)));
    assert_eq!((changes.opened, incident.id.as_str()), (1, "incident-0"));
    assert_eq!(changes.minutes.iter().map(|(_, events)| events).sum::<i64>(), 3);
    assert!(!state.is_dirty());
}

#[test]
fn g4_an_event_from_before_a_resolution_never_reopens() {
    let mut state = IncidentState::default();
    event(&mut state, 0, 0);
    assert!(command(&mut state, 1, 100, "incident-0", CommandKind::Resolve).applied);
    event(&mut state, 2, 100);
    let late = state.newest().unwrap();
    assert_eq!((late.id.as_str(), late.event_count, late.status), ("incident-0", 2, IncidentStatus::Resolved));
    event(&mut state, 3, 101);
    let anew = state.newest().unwrap();
    assert_eq!((anew.generation, anew.event_count, anew.status), (2, 1, IncidentStatus::Open));
    assert_eq!(anew.previous_incident_id.as_deref(), Some("incident-0"));
    let changes = state.take_changes();
    assert_eq!(changes.incidents.len(), 2, "the superseded incident is written too");
}

#[test]
fn a_step_that_the_state_forbids_is_refused_with_its_reason() {
    let mut state = IncidentState::default();
    assert!(!command(&mut state, 0, 0, "incident-0", CommandKind::Resolve).applied);
    event(&mut state, 1, 0);
    assert!(!command(&mut state, 2, 1, "incident-1", CommandKind::Reopen).applied);
    assert!(command(&mut state, 3, 1, "incident-1", CommandKind::Investigate).applied);
    assert!(!command(&mut state, 4, 1, "incident-1", CommandKind::Investigate).applied);
    assert!(command(&mut state, 5, 1, "incident-1", CommandKind::Resolve).applied);
    assert!(command(&mut state, 6, 1, "incident-1", CommandKind::Reopen).applied);
    let refused = command(&mut state, 7, 1, "incident-0", CommandKind::Resolve);
    assert!(refused.detail.contains("newer incident"), "{}", refused.detail);
}

#[test]
fn an_investigated_incident_opens_again_after_quiet() {
    let mut state = IncidentState::default();
    event(&mut state, 0, 0);
    command(&mut state, 1, 1, "incident-0", CommandKind::Investigate);
    event(&mut state, 2, 1_800);
    assert_eq!(state.newest().unwrap().status, IncidentStatus::Investigating);
    event(&mut state, 3, 3_601);
    assert_eq!(state.newest().unwrap().status, IncidentStatus::Open);
}

#[derive(Clone, Debug)]
enum Input {
    Event(i64),
    Command(CommandKind),
}

fn feed(state: &mut IncidentState, offset: i64, input: &Input) {
    match input {
        Input::Event(second) => drop(event(state, offset, *second)),
        Input::Command(kind) => {
            let newest = state.newest().map_or_else(String::new, |incident| incident.id.clone());
            command(state, offset, offset * 10, &newest, *kind);
        }
    }
}

proptest! {
    /// Cuts and crashes anywhere: a state that is rebuilt from its last durable image and the records after it
    /// ends like one that never died, and every event is counted in exactly one incident.
    #[test]
    fn g9_crashes_and_replays_give_the_state_of_the_uninterrupted_run(
        inputs in proptest::collection::vec(
            prop_oneof![
                4 => (0i64..2_000).prop_map(Input::Event),
                1 => prop_oneof![Just(CommandKind::Resolve), Just(CommandKind::Investigate), Just(CommandKind::Reopen)]
                    .prop_map(Input::Command),
            ], 1..80),
        faults in proptest::collection::vec((0usize..80, any::<bool>()), 0..12),
    ) {
        let mut whole = IncidentState::default();
        for (offset, input) in inputs.iter().enumerate() {
            feed(&mut whole, offset as i64, input);
        }

        let mut durable: std::collections::BTreeMap<String, IncidentSnapshot> = Default::default();
        let mut checkpoint = 0;
        let mut state = IncidentState::default();
        let mut faults: Vec<_> = faults.into_iter().collect();
        let mut at = 0;
        while at < inputs.len() {
            feed(&mut state, at as i64, &inputs[at]);
            at += 1;
            let Some(hit) = faults.iter().position(|(place, _)| *place == at) else { continue };
            let (_, is_crash) = faults.swap_remove(hit);
            if is_crash {
                let newest = durable.values().max_by_key(|incident| incident.generation).cloned();
                state = IncidentState::new(newest);
                at = checkpoint;
            } else {
                durable.extend(state.take_changes().incidents.into_iter().map(|incident| (incident.id.clone(), incident)));
                checkpoint = at;
            }
        }
        prop_assert_eq!(state.newest(), whole.newest());
        durable.extend(state.take_changes().incidents.into_iter().map(|incident| (incident.id.clone(), incident)));
        let events = inputs.iter().filter(|input| matches!(input, Input::Event(_))).count() as i64;
        prop_assert_eq!(durable.values().map(|incident| incident.event_count).sum::<i64>(), events);
    }
}
