//! The heart: what one record does to one fingerprint. Pure and deterministic (G9): no clock, no I/O; event time
//! and log order decide.

use chrono::{DateTime, TimeDelta, Utc};
use schema::command::{CommandKind, IncidentCommand};
use schema::event::Severity;
use schema::snapshot::{Cause, CommandOutcome, IncidentIdentity, IncidentSnapshot, Transition};
use schema::status::IncidentStatus;
use std::sync::Arc;

/// An incident under investigation that was quiet for longer than this is open again when it recurs.
const QUIET: TimeDelta = TimeDelta::minutes(30);

/// One error event, reduced to what is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    /// Place in the log.
    pub offset: i64,
    /// Event time.
    pub occurred_at: DateTime<Utc>,
    /// How bad.
    pub severity: Severity,
}

/// What only the record that opens an incident is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Opening {
    /// Deterministic id; see [`super::identity`].
    pub id: String,
    /// Owner of the project.
    pub org_id: String,
    /// Project.
    pub project_id: String,
    /// Environment.
    pub environment: String,
    /// Fingerprint.
    pub fingerprint: String,
    /// First line of the message.
    pub title: String,
    /// Error code.
    pub error_code: Option<String>,
    /// Route.
    pub route: Option<String>,
    /// The event's id.
    pub event_id: String,
    /// Partition of the log.
    pub partition: i32,
}

/// What has changed since the last cut.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Images to write: incidents that a newer generation superseded, then the newest.
    pub incidents: Vec<IncidentSnapshot>,
    /// How many of them, from the end, were opened since the last cut.
    pub opened: usize,
    /// Steps.
    pub transitions: Vec<Transition>,
    /// Answers to commands.
    pub outcomes: Vec<CommandOutcome>,
    /// Events to add per minute (unix minutes).
    pub minutes: Vec<(i64, i64)>,
}

/// All that is known of one fingerprint: its newest incident and what is not durable yet.
#[derive(Clone, Debug, Default)]
pub struct IncidentState {
    newest: Option<IncidentSnapshot>,
    is_dirty: bool,
    pending: Changes,
}

impl IncidentState {
    /// From the durable row, if there is one.
    pub fn new(newest: Option<IncidentSnapshot>) -> Self {
        Self { newest, is_dirty: false, pending: Changes::default() }
    }

    /// The newest incident.
    pub fn newest(&self) -> Option<&IncidentSnapshot> {
        self.newest.as_ref()
    }

    /// Whether something has changed since the last cut.
    pub fn is_dirty(&self) -> bool {
        self.is_dirty
    }

    /// Counts one event. `opening` is asked only if a new incident opens. Returns (incident id's ordinal of
    /// the event): the event is its incident's n-th.
    pub fn apply(&mut self, event: Occurrence, opening: impl FnOnce() -> Opening) -> i64 {
        self.is_dirty = true;
        self.add_minute(event.occurred_at);
        match self.newest.as_mut() {
            Some(incident) if !opens_anew(incident, event) => {
                if let Some(step) = recurs(incident, event) {
                    let event_id = opening().event_id;
                    self.pending.transitions.push(step.caused_by(Cause::Event { event_id }));
                }
                count(incident, event)
            }
            _ => self.open(event, opening()),
        }
    }

    fn open(&mut self, event: Occurrence, opening: Opening) -> i64 {
        let previous = self.newest.take();
        let identity = IncidentIdentity {
            id: opening.id,
            org_id: opening.org_id,
            project_id: opening.project_id,
            environment: opening.environment,
            fingerprint: opening.fingerprint,
            generation: previous.as_ref().map_or(1, |before| before.generation.saturating_add(1)),
            title: opening.title,
            error_code: opening.error_code,
            route: opening.route,
            previous_incident_id: previous.as_ref().map(|before| before.id.clone()),
            partition: opening.partition,
        };
        let incident = IncidentSnapshot {
            identity: Arc::new(identity),
            status: IncidentStatus::Open,
            severity: event.severity,
            event_count: 1,
            first_seen: event.occurred_at,
            last_seen: event.occurred_at,
            resolved_at: None,
            applied_through: event.offset,
        };
        let step = Step { incident: &incident, offset: event.offset, from: None, at: event.occurred_at };
        self.pending
            .transitions
            .push(step.to(IncidentStatus::Open).caused_by(Cause::Event { event_id: opening.event_id }));
        self.pending.opened += 1;
        self.pending.incidents.extend(previous);
        self.newest = Some(incident);
        1
    }

    fn add_minute(&mut self, at: DateTime<Utc>) {
        let minute = at.timestamp().div_euclid(60);
        match self.pending.minutes.iter_mut().find(|(known, _)| *known == minute) {
            Some((_, events)) => *events += 1,
            None => self.pending.minutes.push((minute, 1)),
        }
    }

    /// Obeys a person, or says why not. Either way the outcome is recorded.
    pub fn command(&mut self, offset: i64, command: &IncidentCommand) {
        self.is_dirty = true;
        let verdict = self.decide(command).map(|to| {
            if let Some(incident) = self.newest.as_mut() {
                let cause =
                    Cause::Command { command_id: command.command_id.clone(), principal: command.principal.clone() };
                let step = Step { incident, offset, from: Some(incident.status), at: command.received_at };
                let step = step.to(to).caused_by(cause);
                self.pending.transitions.push(step);
                incident.status = to;
                incident.resolved_at = (to == IncidentStatus::Resolved).then_some(command.received_at);
                incident.applied_through = offset;
            }
            to.to_string()
        });
        self.pending.outcomes.push(CommandOutcome {
            command_id: command.command_id.clone(),
            incident_id: command.incident_id.clone(),
            applied: verdict.is_ok(),
            detail: verdict.unwrap_or_else(|reason| reason),
            occurred_at: command.received_at,
        });
    }

    fn decide(&self, command: &IncidentCommand) -> Result<IncidentStatus, String> {
        let Some(incident) = self.newest.as_ref() else {
            return Err("there is no such incident".to_owned());
        };
        if incident.id != command.incident_id {
            return Err(format!("a newer incident of the same fingerprint exists: {}", incident.id));
        }
        match (incident.status, command.kind) {
            (IncidentStatus::Open, CommandKind::Investigate) => Ok(IncidentStatus::Investigating),
            (IncidentStatus::Open | IncidentStatus::Investigating, CommandKind::Resolve) => {
                Ok(IncidentStatus::Resolved)
            }
            (IncidentStatus::Resolved, CommandKind::Reopen) => Ok(IncidentStatus::Open),
            (status, kind) => Err(format!("cannot {kind} an incident that is {status}")),
        }
    }

    /// Takes what has changed; afterwards the state is clean. The caller must make it durable or end the tenure.
    #[must_use]
    pub fn take_changes(&mut self) -> Changes {
        self.is_dirty = false;
        let mut changes = std::mem::take(&mut self.pending);
        changes.incidents.extend(self.newest.clone());
        changes
    }
}

struct Step<'a> {
    incident: &'a IncidentSnapshot,
    offset: i64,
    from: Option<IncidentStatus>,
    at: DateTime<Utc>,
}

struct Uncaused(Transition);

impl Step<'_> {
    fn to(&self, to_status: IncidentStatus) -> Uncaused {
        Uncaused(Transition {
            incident_id: self.incident.id.clone(),
            log_offset: self.offset,
            from_status: self.from,
            to_status,
            cause: Cause::Event { event_id: String::new() },
            occurred_at: self.at,
        })
    }
}

impl Uncaused {
    fn caused_by(self, cause: Cause) -> Transition {
        Transition { cause, ..self.0 }
    }
}

/// After a resolution only an event from after it opens a new incident; an older one, however late it
/// arrives, is counted where it belongs (G4).
fn opens_anew(incident: &IncidentSnapshot, event: Occurrence) -> bool {
    incident.resolved_at.is_some_and(|resolved| event.occurred_at > resolved)
}

fn recurs(incident: &mut IncidentSnapshot, event: Occurrence) -> Option<Uncaused> {
    let quiet = event.occurred_at.signed_duration_since(incident.last_seen);
    if incident.status != IncidentStatus::Investigating || quiet <= QUIET {
        return None;
    }
    let from = Some(incident.status);
    incident.status = IncidentStatus::Open;
    Some(Step { incident, offset: event.offset, from, at: event.occurred_at }.to(IncidentStatus::Open))
}

fn count(incident: &mut IncidentSnapshot, event: Occurrence) -> i64 {
    incident.event_count = incident.event_count.saturating_add(1);
    incident.first_seen = incident.first_seen.min(event.occurred_at);
    incident.last_seen = incident.last_seen.max(event.occurred_at);
    incident.severity = incident.severity.max(event.severity);
    incident.applied_through = event.offset;
    incident.event_count
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;
