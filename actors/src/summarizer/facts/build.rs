//! From rows to the document. Pure.

use super::document::{
    Counts, DeployFact, Facts, IncidentFacts, MinuteFact, NearbyFact, PreviousFact, ProjectFacts, SampleFact,
    StateChange, VERSION,
};
use super::samples::{self, Attributes};
use super::words::{count, text, time};
use chrono::{DateTime, TimeDelta, Utc};
use schema::ai::{Gathered, Summary};
use schema::fingerprint::template_route;
use schema::incidents::{IncidentRow, Minute, SampleRow};

/// Minutes of the trend that are told.
const TREND: TimeDelta = TimeDelta::minutes(60);
/// State changes that are told; of more, the newest.
const STATE_CHANGES: usize = 5;
/// Kept events that are told from either end.
const SAMPLES_FROM_EACH_END: usize = 3;
/// Incidents nearby that are told.
const NEARBY: usize = 5;

/// The document of what was gathered.
pub fn build(gathered: &Gathered) -> Facts {
    let incident = &gathered.incident;
    let kept: Vec<(&SampleRow, Attributes)> =
        gathered.kept.samples.iter().map(|row| (row, samples::attributes(&row.attributes))).collect();
    Facts {
        facts: VERSION.to_owned(),
        incident: incident_facts(gathered),
        counts: counts(incident, &gathered.kept.trend),
        trend: trend(&gathered.kept.trend),
        templates: samples::templates(&kept),
        routes: samples::routes(&kept),
        releases: samples::releases(&kept),
        status_codes: samples::status_codes(&kept),
        users: samples::users(&kept),
        samples_kept: count(kept.len()),
        samples: both_ends(&kept),
        deploys: gathered.kept.deploys_nearby.iter().map(|deploys| deploy(incident, *deploys)).collect(),
        nearby_incidents: gathered.nearby.iter().take(NEARBY).map(|other| nearby(incident, other)).collect(),
        previous_incident: gathered.previous.as_ref().map(|(row, summary)| previous(incident, row, summary.as_ref())),
        project: ProjectFacts {
            errors_last_hour: gathered.errors_last_hour,
            requests_last_hour: gathered.requests_last_hour,
        },
        omitted: Vec::new(),
    }
}

/// The start of the minute that `at` is in.
fn minute(at: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(at.timestamp().div_euclid(60).saturating_mul(60), 0).unwrap_or(at)
}

fn minutes_between(from: DateTime<Utc>, to: DateTime<Utc>) -> i64 {
    to.signed_duration_since(from).num_minutes()
}

fn incident_facts(gathered: &Gathered) -> IncidentFacts {
    let row = &gathered.incident;
    let steps = gathered.kept.transitions.iter().filter(|step| step.from_status.is_some());
    let mut state_changes: Vec<StateChange> = steps
        .map(|step| StateChange {
            from: step.from_status.map(|status| status.as_str().to_owned()),
            to: step.to_status.as_str().to_owned(),
            at: time(step.occurred_at),
            by: step.cause.clone(),
        })
        .collect();
    state_changes.drain(..state_changes.len().saturating_sub(STATE_CHANGES));
    IncidentFacts {
        id: row.id.clone(),
        title: text(&row.title, 300),
        status: row.status.as_str().to_owned(),
        severity: row.severity.as_str().to_owned(),
        environment: text(&row.environment, 100),
        error_code: gathered.origin.error_code.as_deref().map(|code| text(code, 200)),
        route: gathered.origin.route.as_deref().filter(|route| !route.is_empty()).map(route),
        first_seen: time(row.first_seen),
        last_seen: time(row.last_seen),
        duration_minutes: minutes_between(row.first_seen, row.last_seen),
        first_event_id: gathered.origin.first_event_id.as_deref().map(|id| text(id, 200)),
        is_regression: row.previous_incident_id.is_some(),
        state_changes,
    }
}

fn route(sent: &str) -> String {
    text(&template_route(sent), 200)
}

fn counts(incident: &IncidentRow, trend: &[Minute]) -> Counts {
    // Oldest first; every minute up to the last event's is there once.
    let sum = |minutes: &mut dyn Iterator<Item = &Minute>| minutes.map(|minute| minute.value).sum::<i64>();
    let last = sum(&mut trend.iter().rev().take(10));
    let before = sum(&mut trend.iter().rev().skip(10).take(10));
    let active: Vec<&Minute> = trend.iter().filter(|minute| minute.value > 0).collect();
    let peak = active.iter().rev().max_by_key(|minute| minute.value);
    let in_active = sum(&mut active.iter().copied());
    let minutes = count(active.len());
    Counts {
        total: incident.event_count,
        last_10_minutes: last,
        previous_10_minutes: before,
        change_factor: factor(last, before),
        peak_per_minute: peak.map_or(0, |minute| minute.value),
        peak_minute: peak.map(|minute| time(minute.bucket_time)),
        minutes_with_events: minutes,
        average_per_active_minute: (in_active + minutes / 2).checked_div(minutes).unwrap_or(0),
    }
}

/// To one decimal.
#[expect(clippy::as_conversions, reason = "a count beyond 2^53 loses its last digits in a ratio, which is no harm")]
fn factor(now: i64, before: i64) -> Option<f64> {
    (before > 0).then(|| (now as f64 / before as f64 * 10.0).round() / 10.0)
}

fn trend(minutes: &[Minute]) -> Vec<MinuteFact> {
    let Some(last) = minutes.last() else { return Vec::new() };
    let told = minutes.iter().filter(|minute| minute.value > 0 && last.bucket_time - minute.bucket_time < TREND);
    told.map(|minute| MinuteFact { minute: time(minute.bucket_time), events: minute.value }).collect()
}

/// The samples come newest first and are told oldest first.
fn both_ends(kept: &[(&SampleRow, Attributes)]) -> Vec<SampleFact> {
    let inner = SAMPLES_FROM_EACH_END..kept.len().saturating_sub(SAMPLES_FROM_EACH_END);
    let told = kept.iter().enumerate().rev().filter(|(place, _)| !inner.contains(place));
    told.map(|(_, (row, attributes))| SampleFact {
        event_id: text(&row.event_id, 200),
        number: row.ordinal,
        occurred_at: time(row.occurred_at),
        severity: row.severity.as_str().to_owned(),
        message: text(&row.message, 500),
        attributes: samples::shown(attributes),
    })
    .collect()
}

fn deploy(incident: &IncidentRow, deploys: Minute) -> DeployFact {
    DeployFact {
        minute: time(deploys.bucket_time),
        deploys: deploys.value,
        minutes_before_first_event: minutes_between(deploys.bucket_time, minute(incident.first_seen)),
    }
}

fn nearby(incident: &IncidentRow, other: &IncidentRow) -> NearbyFact {
    NearbyFact {
        id: other.id.clone(),
        title: text(&other.title, 200),
        severity: other.severity.as_str().to_owned(),
        status: other.status.as_str().to_owned(),
        environment: text(&other.environment, 100),
        first_seen: time(other.first_seen),
        events: other.event_count,
        minutes_after_this_began: minutes_between(incident.first_seen, other.first_seen),
    }
}

fn previous(incident: &IncidentRow, before: &IncidentRow, summary: Option<&serde_json::Value>) -> PreviousFact {
    let summary: Option<Summary> = summary.and_then(|content| serde_json::from_value(content.clone()).ok());
    let title = summary.as_ref().map(|summary| text(&summary.title, 200)).filter(|title| !title.is_empty());
    let cause = summary.as_ref().and_then(|summary| summary.likely_causes.first()).map(|cause| text(cause, 400));
    PreviousFact {
        id: before.id.clone(),
        title: text(&before.title, 200),
        events: before.event_count,
        first_seen: time(before.first_seen),
        last_seen: time(before.last_seen),
        resolved_at: before.resolved_at.map(time),
        minutes_until_return: before.resolved_at.map(|at| minutes_between(at, incident.first_seen)),
        summary_title: title,
        summary_cause: cause,
    }
}
