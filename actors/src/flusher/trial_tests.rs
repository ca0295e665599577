use super::*;
use chrono::DateTime;
use schema::event::{EventType, Severity};
use schema::flush::{CheckpointAdvance, Guards};
use schema::snapshot::{BucketDelta, Cause, Transition, TrendDelta};
use schema::status::IncidentStatus;

fn incident(number: usize, title: &str) -> IncidentSnapshot {
    let identity = IncidentIdentity {
        id: format!("i{number}"),
        project_id: format!("p{}", number % 3),
        environment: "prod".to_owned(),
        fingerprint: format!("f{number}"),
        generation: 1,
        title: title.to_owned(),
        ..IncidentIdentity::default()
    };
    IncidentSnapshot {
        identity: Arc::new(identity),
        status: IncidentStatus::Open,
        severity: Severity::Error,
        event_count: 1,
        first_seen: DateTime::UNIX_EPOCH,
        last_seen: DateTime::UNIX_EPOCH,
        resolved_at: None,
        applied_through: 1,
    }
}

fn sample(number: usize, message: &str, attributes: &str) -> Sample {
    Sample {
        incident_id: format!("i{number}"),
        ordinal: 1,
        event_id: "e".to_owned(),
        occurred_at: DateTime::UNIX_EPOCH,
        received_at: DateTime::UNIX_EPOCH,
        event_type: EventType::Error,
        severity: Severity::Error,
        message: message.to_owned(),
        attributes: attributes.to_owned(),
        log_offset: 1,
    }
}

/// One incident for each title, each with a sample, a step and a minute.
fn batch(titles: &[&str]) -> FlushBatch {
    let all = || titles.iter().enumerate();
    let incidents: Vec<_> = all().map(|(number, title)| incident(number, title)).collect();
    FlushBatch {
        checkpoint: CheckpointAdvance {
            group: "g".to_owned(),
            topic: "t".to_owned(),
            partition: 0,
            epoch: 1,
            from_offset: 100,
            next_offset: 200,
            complete_until: None,
            high_watermark: 200,
        },
        changed: Vec::new(),
        trends: incidents.iter().map(hour).collect(),
        samples: all().map(|(number, _)| sample(number, "m", "{\"a\":1}")).collect(),
        transitions: incidents.iter().map(|incident| step(&incident.id)).collect(),
        outcomes: Vec::new(),
        buckets: incidents.iter().map(bucket).collect(),
        ledger: Vec::new(),
        gaps: Vec::new(),
        guards: Guards::default(),
        opened: incidents,
    }
}

fn step(incident_id: &str) -> Transition {
    Transition {
        incident_id: incident_id.to_owned(),
        log_offset: 1,
        from_status: None,
        to_status: IncidentStatus::Open,
        cause: Cause::Event { event_id: "e".to_owned() },
        occurred_at: DateTime::UNIX_EPOCH,
    }
}

fn bucket(incident: &IncidentSnapshot) -> BucketDelta {
    BucketDelta {
        bucket_time: DateTime::UNIX_EPOCH,
        metric_name: "events.error",
        project_id: incident.project_id.clone(),
        environment: "prod".to_owned(),
        value: 1,
    }
}

fn hour(incident: &IncidentSnapshot) -> TrendDelta {
    TrendDelta { identity: Arc::clone(&incident.identity), hour: 0, minutes: vec![(0, 1)] }
}

fn fails(is_constraint: bool) -> Rehearsal {
    Rehearsal::Fails(Refused { words: "no".to_owned(), is_constraint })
}

/// A database that refuses titles, messages and attributes with `evil` in them.
fn pious(part: &FlushBatch) -> Rehearsal {
    let is_evil = part.opened.iter().any(|incident| incident.title.contains("evil"))
        || part.samples.iter().any(|sample| sample.message.contains("evil") || sample.attributes.contains("evil"));
    if is_evil { fails(false) } else { Rehearsal::Passes }
}

#[tokio::test]
async fn the_guilty_are_found_among_many_and_nobody_else() {
    let mut titles = vec!["fine"; 1_000];
    for guilty in [0, 17, 500, 999] {
        titles[guilty] = "evil";
    }
    let mut asked = 0;
    let verdict = hold(&batch(&titles), async |part| {
        asked += 1;
        pious(part)
    })
    .await;
    let Verdict::Guilty(convictions) = verdict else { panic!("{verdict:?}") };
    let mut found: Vec<&str> = convictions.iter().map(|conviction| conviction.fingerprint.as_str()).collect();
    found.sort_unstable();
    assert_eq!(found, ["f0", "f17", "f500", "f999"]);
    assert!(convictions.iter().all(|conviction| (conviction.from_offset, conviction.to_offset) == (100, 200)));
    assert!(convictions[0].reason.contains("no"), "{convictions:?}");
    assert!(asked < 120, "four of a thousand are found by {asked} questions");
}

#[tokio::test]
async fn a_refused_sample_loses_its_attributes_or_all_its_words_and_no_event() {
    let mut flush = batch(&["fine"; 50]);
    flush.samples[7] = sample(7, "m", "evil");
    flush.samples[30] = sample(30, "evil", "evil");
    let verdict = hold(&flush, async |part| pious(part)).await;
    let Verdict::Cleaned(cleaned, convictions) = verdict else { panic!("{verdict:?}") };
    assert_eq!((cleaned.samples[7].message.as_str(), cleaned.samples[7].attributes.as_str()), ("m", "{}"));
    assert_eq!(cleaned.samples[30].attributes, "{}");
    assert!(cleaned.samples[30].message.contains("refuses"), "{:?}", cleaned.samples[30]);
    assert_eq!((&cleaned.samples[8], &cleaned.opened), (&flush.samples[8], &flush.opened));
    assert_eq!(convictions.len(), 2);
}

#[tokio::test]
async fn an_outage_convicts_nobody() {
    let flush = batch(&["fine"; 20]);
    let mut titles = ["fine"; 20];
    titles[3] = "evil";
    let evil = batch(&titles);
    // The database is away; a column is missing, so that any incident is refused; so is any row at all; big ones are.
    let away = hold(&evil, async |_| Rehearsal::Away).await;
    let column = hold(&evil, async |part| if part.opened.is_empty() { Rehearsal::Passes } else { fails(false) }).await;
    let nothing = hold(&evil, async |_| fails(false)).await;
    let big = hold(&flush, async |part| if part.rows() > 40 { fails(false) } else { Rehearsal::Passes }).await;
    // It goes away in the midst of the trial; and a lock that is gone the second time.
    let mut left = 4;
    let midst = hold(&evil, async |part| {
        left -= 1;
        if left < 0 { Rehearsal::Away } else { pious(part) }
    })
    .await;
    let mut seen = BTreeSet::new();
    let lock = hold(&evil, async |part| {
        let is_new = seen.insert(format!("{:?}", part.opened));
        if is_new { pious(part) } else { Rehearsal::Passes }
    })
    .await;
    for verdict in [away, column, nothing, big, midst, lock] {
        assert!(matches!(verdict, Verdict::NobodyIsGuilty), "{verdict:?}");
    }
}

#[tokio::test]
async fn a_broken_constraint_needs_no_harmless_twin() {
    // Whatever this row says, the constraint refuses it: that it exists, say.
    let refuses_third = async |part: &FlushBatch| {
        if part.opened.iter().any(|incident| incident.id == "i3") { fails(true) } else { Rehearsal::Passes }
    };
    let verdict = hold(&batch(&["fine"; 20]), refuses_third).await;
    assert!(
        matches!(&verdict, Verdict::Guilty(convicts) if convicts.len() == 1 && convicts[0].fingerprint == "f3"),
        "{verdict:?}"
    );
}
