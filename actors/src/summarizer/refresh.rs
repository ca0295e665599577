//! Which summaries are due to be written again: looked for now and then, never in a flush.

use super::facts::samples;
use super::work::Tools;
use schema::ai::{self, Cause, Changed};
use schema::status::IncidentStatus;
use std::collections::BTreeSet;

/// Summaries of one look.
const PAGE: i64 = 1_000;
/// Looks of one round; the next round goes on from there.
const PAGES: usize = 10;
/// An incident that has so many times the events is another one.
const GROWTH: i64 = 10;

/// What can be told without its events.
fn plain_cause(changed: &Changed) -> Option<Cause> {
    if changed.status == IncidentStatus::Open && changed.was_status != IncidentStatus::Open {
        return Some(Cause::Recurred);
    }
    if changed.severity > changed.was_severity {
        return Some(Cause::SeverityRaised);
    }
    let is_grown = changed.event_count >= changed.was_event_count.saturating_mul(GROWTH);
    (is_grown && changed.event_count > changed.was_event_count).then_some(Cause::CountGrew)
}

/// Goes through the summaries in rounds.
#[derive(Debug, Default)]
pub(super) struct Refresher {
    /// Where the last round ended.
    after: String,
}

impl Refresher {
    /// One round. Returns how many jobs it asked for.
    ///
    /// # Errors
    /// The database's, in words; the next round tries again.
    pub async fn round(&mut self, tools: &Tools) -> Result<u64, String> {
        let mut connection = tools.connection().await.map_err(|error| error.to_string())?;
        let mut asked = 0;
        for _ in 0..PAGES {
            let looked = ai::changed(&mut connection, &self.after, PAGE, tools.config.rest).await;
            let (changed, last) = looked.map_err(|error| error.to_string())?;
            let due = due(&mut connection, &changed).await.map_err(|error| error.to_string())?;
            for (incident, cause) in due {
                let asking = ai::request(&mut connection, &incident.project_id, &incident.incident_id, cause);
                asking.await.map_err(|error| error.to_string())?;
                tracing::debug!(incident = incident.incident_id, %cause, "a summary is to be written again");
                asked += 1;
            }
            match last {
                Some(last) => self.after = last,
                None => {
                    self.after.clear();
                    break;
                }
            }
        }
        Ok(asked)
    }
}

async fn due<'a>(
    connection: &mut diesel_async::AsyncPgConnection,
    changed: &'a [Changed],
) -> diesel::QueryResult<Vec<(&'a Changed, Cause)>> {
    let (mut due, mut open) = (Vec::new(), Vec::new());
    for incident in changed {
        match plain_cause(incident) {
            Some(cause) => due.push((incident, cause)),
            None => open.push(incident),
        }
    }
    let known: Vec<(&str, i64)> =
        open.iter().map(|incident| (incident.incident_id.as_str(), incident.was_event_count)).collect();
    if known.is_empty() {
        return Ok(due);
    }
    let rows = ai::attributes_since(connection, &known).await?;
    let seen: BTreeSet<(&str, String)> = rows
        .iter()
        .filter_map(|row| Some((row.incident_id.as_str(), samples::release(&samples::attributes(&row.attributes))?)))
        .collect();
    due.extend(open.into_iter().filter(|incident| is_in_new_release(incident, &seen)).map(|i| (i, Cause::NewRelease)));
    Ok(due)
}

fn is_in_new_release(incident: &Changed, seen: &BTreeSet<(&str, String)>) -> bool {
    seen.iter().any(|(id, release)| *id == incident.incident_id && !incident.releases.contains(release))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schema::event::Severity;

    fn changed() -> Changed {
        Changed {
            incident_id: "i".into(),
            project_id: "p".into(),
            event_count: 9,
            severity: Severity::Error,
            status: IncidentStatus::Open,
            was_event_count: 1,
            was_severity: Severity::Error,
            was_status: IncidentStatus::Open,
            releases: vec!["v1".into()],
        }
    }

    #[test]
    fn facts_that_changed_enough_are_a_cause() {
        assert_eq!(plain_cause(&changed()), None);
        assert_eq!(plain_cause(&Changed { event_count: 10, ..changed() }), Some(Cause::CountGrew));
        assert_eq!(plain_cause(&Changed { severity: Severity::Critical, ..changed() }), Some(Cause::SeverityRaised));
        assert_eq!(plain_cause(&Changed { severity: Severity::Warn, ..changed() }), None);
        let investigated = Changed { was_status: IncidentStatus::Investigating, ..changed() };
        assert_eq!(plain_cause(&investigated), Some(Cause::Recurred));
        assert_eq!(plain_cause(&Changed { status: IncidentStatus::Investigating, ..changed() }), None);
    }

    #[test]
    fn only_a_release_of_its_own_that_the_summary_does_not_know_is_new() {
        let seen = |id, release: &str| BTreeSet::from([(id, release.to_owned())]);
        assert!(is_in_new_release(&changed(), &seen("i", "v2")));
        assert!(!is_in_new_release(&changed(), &seen("i", "v1")));
        assert!(!is_in_new_release(&changed(), &seen("other", "v2")));
    }
}
