//! The summary that needs no model: what the facts say by themselves, in sentences. Pure.
//!
//! It claims nothing that is not counted: a deploy just before is called the nearest change, not the cause.

mod words;

use super::facts::Facts;
use super::facts::document::{DeployFact, NearbyFact, PreviousFact, ReleaseFact, TemplateFact};
use schema::ai::Summary;
use words::{clock, excerpt, list, number, plural, span, when};

/// Which rules and wording: another one whenever they change.
pub const RULES_VERSION: &str = "deterministic.v1";

/// A deploy this long before the first event, in minutes, is told as the nearest change.
const DEPLOY_WINDOW: i64 = 30;
/// From this share of the kept events on, in percent, one kind stands for all.
const MOST: i64 = 80;

/// What the facts say.
pub fn summarize(facts: &Facts) -> Summary {
    let seen = Seen::of(facts);
    let cited_event_ids = seen.cited();
    Summary {
        title: seen.title(),
        impact: seen.impact(),
        likely_causes: seen.causes(),
        evidence: seen.evidence(),
        next_steps: seen.next_steps(),
        confidence: seen.confidence(),
        cited_event_ids,
    }
}

/// The facts, and what stands out of them.
struct Seen<'a> {
    facts: &'a Facts,
    /// The last deploy before the first event, if it was shortly before.
    deploy: Option<&'a DeployFact>,
    /// The kind of message that nearly all kept events have.
    template: Option<&'a TemplateFact>,
    /// The release that nearly all kept events name.
    release: Option<&'a ReleaseFact>,
    previous: Option<&'a PreviousFact>,
    /// The nearest incident that began in the same environment before this one, or in the same minute.
    earlier: Option<&'a NearbyFact>,
}

impl<'a> Seen<'a> {
    fn of(facts: &'a Facts) -> Self {
        let before =
            facts.deploys.iter().filter(|deploy| (0..=DEPLOY_WINDOW).contains(&deploy.minutes_before_first_event));
        let same_place = facts.nearby_incidents.iter().filter(|other| other.environment == facts.incident.environment);
        Self {
            facts,
            deploy: before.min_by_key(|deploy| deploy.minutes_before_first_event),
            template: facts.templates.first().filter(|template| template.share_percent >= MOST),
            release: facts.releases.first().filter(|release| release.share_percent >= MOST),
            previous: facts.previous_incident.as_ref(),
            earlier: same_place.clone().find(|other| other.minutes_after_this_began <= 0),
        }
    }

    /// What it is called in a sentence: its error code, else its first message.
    fn name(&self) -> String {
        let incident = &self.facts.incident;
        incident.error_code.clone().unwrap_or_else(|| excerpt(&incident.title, 80))
    }

    fn title(&self) -> String {
        let (incident, counts) = (&self.facts.incident, &self.facts.counts);
        let place = incident.route.as_ref().map(|route| format!(" on {route}")).unwrap_or_default();
        let returned = if incident.is_regression { ", back again" } else { "" };
        let (name, total) = (self.name(), plural(counts.total, "event"));
        let since = words::later(&incident.last_seen, &incident.first_seen);
        let at = if counts.total == 1 { "at" } else { "since" };
        format!("{name}{place} in {}{returned}: {total} {at} {since}", incident.environment)
    }

    fn impact(&self) -> String {
        let mut sentences = vec![self.how_many()];
        sentences.extend(self.how_fast());
        sentences.extend(self.where_it_is());
        sentences.extend(self.who_is_hit());
        sentences.extend(self.around_it());
        sentences.extend(self.state());
        sentences.join(" ")
    }

    fn how_many(&self) -> String {
        let (incident, counts) = (&self.facts.incident, &self.facts.counts);
        let (total, severity) = (plural(counts.total, "event"), &incident.severity);
        if counts.total == 1 {
            return format!(
                "One event of severity {severity} in {}, at {}.",
                incident.environment,
                when(&incident.first_seen)
            );
        }
        let over = if incident.duration_minutes == 0 {
            "within a minute".to_owned()
        } else {
            format!("over {}", span(incident.duration_minutes))
        };
        format!(
            "{total} in {} {over}, the first at {}, the latest at {}; the highest severity is {severity}.",
            incident.environment,
            when(&incident.first_seen),
            words::later(&incident.first_seen, &incident.last_seen)
        )
    }

    fn how_fast(&self) -> Option<String> {
        let (incident, counts) = (&self.facts.incident, &self.facts.counts);
        if counts.total < 3 {
            return None;
        }
        let peak = counts.peak_minute.as_ref().filter(|_| counts.minutes_with_events > 1);
        let peak =
            peak.map(|minute| format!("the peak was {} a minute at {}", number(counts.peak_per_minute), clock(minute)));
        // Before it is twenty minutes old, there is nothing to compare with.
        let change = counts.change_factor.filter(|_| incident.duration_minutes >= 20).map(|factor| match factor {
            factor if factor >= 1.5 => {
                format!("{factor} times as many in its last 10 minutes as in the 10 before: it is growing")
            }
            factor if factor <= 0.5 => format!(
                "{} in its last 10 minutes after {} in the 10 before: it is ebbing",
                number(counts.last_10_minutes),
                number(counts.previous_10_minutes)
            ),
            _ => format!("{} in its last 10 minutes, as many as before: it is steady", number(counts.last_10_minutes)),
        });
        let parts: Vec<String> = peak.into_iter().chain(change).collect();
        (!parts.is_empty()).then(|| words::sentence(&parts.join("; ")))
    }

    fn where_it_is(&self) -> Option<String> {
        let routes = &self.facts.routes;
        let shown: Vec<String> =
            routes.iter().take(3).map(|route| format!("{} ({} %)", route.route, route.share_percent)).collect();
        let more = match routes.len().saturating_sub(shown.len()) {
            0 => String::new(),
            others => format!(" and {} more", plural(super::facts::count(others), "route")),
        };
        match (routes.first(), routes.len()) {
            (None, _) => None,
            (Some(only), 1) if self.facts.samples_kept == 1 => Some(format!("It came from {}.", only.route)),
            (Some(only), 1) if only.share_percent == 100 => {
                Some(format!("All {} come from {}.", self.kept(), only.route))
            }
            _ => Some(format!("Of the {}, by route: {}{more}.", self.kept(), shown.join(", "))),
        }
    }

    /// `20 newest events`, `3 events` or `only event`, as part of a sentence.
    fn kept(&self) -> String {
        let (kept, total) = (self.facts.samples_kept, self.facts.counts.total);
        match kept {
            1 => "only event".to_owned(),
            _ if kept >= total => plural(kept, "event"),
            _ => format!("{} newest events", number(kept)),
        }
    }

    /// `All of the 20 newest events name release v2`, the beginning of a sentence.
    fn released(&self, release: &ReleaseFact) -> String {
        if self.facts.samples_kept == 1 {
            return format!("The event names release {}", release.release);
        }
        let share = words::capital(&words::share(release.share_percent));
        format!("{share} of the {} name release {}", self.kept(), release.release)
    }

    fn who_is_hit(&self) -> Option<String> {
        let users = self.facts.users.as_ref()?;
        let are = if users.distinct_in_samples == 1 { "is" } else { "are" };
        let who = plural(users.distinct_in_samples, "user");
        Some(format!("At least {who} {are} hit, going by the {}.", self.kept()))
    }

    fn around_it(&self) -> Option<String> {
        let (incident, project) = (&self.facts.incident, &self.facts.project);
        if project.requests_last_hour == 0 || self.facts.counts.total < 3 {
            return None;
        }
        let (errors, requests) =
            (plural(project.errors_last_hour, "error"), plural(project.requests_last_hour, "request"));
        let place = &incident.environment;
        Some(format!("In the hour up to its latest event, {place} reported {errors} of all kinds beside {requests}."))
    }

    fn state(&self) -> Option<String> {
        let incident = &self.facts.incident;
        let since =
            incident.state_changes.last().map(|change| format!(" since {}", when(&change.at))).unwrap_or_default();
        match incident.status.as_str() {
            "investigating" => Some(format!("It is being investigated{since}.")),
            "resolved" => Some(format!("It is resolved{since}.")),
            _ => None,
        }
    }

    fn causes(&self) -> Vec<String> {
        let mut causes: Vec<String> = self.deploy.map(|deploy| self.deploy_before(deploy)).into_iter().collect();
        causes.extend(self.previous.map(|previous| self.regression(previous)));
        if self.deploy.is_none() {
            causes.extend(self.release.map(|release| self.release_alone(release)));
        }
        causes.extend(self.earlier.map(|other| {
            format!(
                "“{}” ({}) began {} and may share its cause.",
                excerpt(&other.title, 120),
                plural(other.events, "event"),
                words::earlier(other.minutes_after_this_began)
            )
        }));
        if causes.is_empty() {
            causes.push(format!(
                "Signals saw no change just before: no deploy to {} in the {DEPLOY_WINDOW} minutes before the first event, \
                 no incident that began earlier. Look at what Signals is not told of: configuration, infrastructure, \
                 dependencies, data.",
                self.facts.incident.environment
            ));
        }
        causes
    }

    fn deploy_before(&self, deploy: &DeployFact) -> String {
        let deploys = if deploy.deploys == 1 { "A deploy".to_owned() } else { plural(deploy.deploys, "deploy") };
        let before = match deploy.minutes_before_first_event {
            0 => "in the same minute as the first event".to_owned(),
            minutes => format!("{} before the first event", span(minutes)),
        };
        let be = if deploy.deploys == 1 { "is" } else { "are" };
        let release = self.release.map(|release| format!(" {}.", self.released(release))).unwrap_or_default();
        format!(
            "{deploys} to {} at {}, {before}, {be} the nearest change.{release}",
            self.facts.incident.environment,
            when(&deploy.minute)
        )
    }

    fn regression(&self, previous: &PreviousFact) -> String {
        let back = previous.minutes_until_return.map(|minutes| format!(" and came back after {}", span(minutes)));
        let resolved = match &previous.resolved_at {
            Some(at) => format!(" was resolved at {}", when(at)),
            None => " was resolved".to_owned(),
        };
        let then =
            previous.summary_cause.as_ref().map(|cause| format!(" Then it was put down to: {}", excerpt(cause, 300)));
        format!(
            "A regression: the same failure ({}){resolved}{}. What resolved it may be undone or not be enough.{}",
            plural(previous.events, "event"),
            back.unwrap_or_default(),
            then.unwrap_or_default()
        )
    }

    fn release_alone(&self, release: &ReleaseFact) -> String {
        let released = self.released(release);
        format!("{released}; no deploy is known in the {DEPLOY_WINDOW} minutes before the first event.")
    }

    fn evidence(&self) -> Vec<String> {
        let facts = self.facts;
        let mut evidence = Vec::new();
        if let Some(first) = &facts.incident.first_event_id {
            evidence.push(format!("Event {first} opened it: “{}”.", excerpt(&facts.incident.title, 200)));
        }
        // Of a single event, its opening has said it.
        for template in facts.templates.iter().take(3).filter(|_| facts.samples_kept > 1) {
            evidence.push(format!(
                "{} of the {} say “{}” ({}).",
                words::capital(&words::share(template.share_percent)),
                self.kept(),
                excerpt(&template.template, 200),
                list("event", &template.event_ids)
            ));
        }
        if !facts.status_codes.is_empty() {
            let codes: Vec<String> = facts
                .status_codes
                .iter()
                .take(4)
                .map(|code| format!("{} ({})", code.status_code, code.samples))
                .collect();
            evidence.push(format!("Status codes in the {}: {}.", self.kept(), codes.join(", ")));
        }
        let after = facts.deploys.iter().filter(|deploy| deploy.minutes_before_first_event < 0);
        let after: i64 = after.map(|deploy| deploy.deploys).sum();
        if after > 0 {
            let deploys = plural(after, "deploy");
            evidence
                .push(format!("{deploys} followed within half an hour after the first event and did not begin it."));
        }
        evidence
    }

    fn next_steps(&self) -> Vec<String> {
        let incident = &self.facts.incident;
        let mut steps = Vec::new();
        if let Some(deploy) = self.deploy {
            steps.push(format!(
                "Look at what the deploy of {} changed; roll it back if the errors go on.",
                when(&deploy.minute)
            ));
        }
        if let Some(previous) = self.previous {
            steps.push(format!(
                "Read incident {} and what resolved it; check that this is still in place.",
                previous.id
            ));
        }
        if let Some(other) = self.earlier {
            steps.push(format!(
                "Look at incident {} first: it began {}.",
                other.id,
                words::earlier(other.minutes_after_this_began)
            ));
        }
        let place = incident.route.as_ref().map(|route| format!(" of {route}")).unwrap_or_default();
        steps.push(format!(
            "Read the logs and traces{place} in {} from {} on.",
            incident.environment,
            when(&incident.first_seen)
        ));
        if let Some(latest) = self.facts.samples.last() {
            steps.push(format!("Look at the latest event, {}: “{}”.", latest.event_id, excerpt(&latest.message, 200)));
        }
        steps
    }

    /// How much of what an explanation needs is there, by a fixed rule: it is no probability.
    fn confidence(&self) -> f64 {
        let signs = [
            (self.deploy.is_some(), 20),
            (self.template.is_some() && self.facts.samples_kept >= 3, 15),
            (self.previous.is_some(), 10),
            (self.release.is_some(), 5),
        ];
        let percent: u32 = signs.iter().filter(|(is_there, _)| *is_there).map(|(_, weight)| weight).sum();
        f64::from(25 + percent) / 100.0
    }

    fn cited(&self) -> Vec<String> {
        let named = self.facts.templates.iter().take(3).flat_map(|template| &template.event_ids);
        let latest = self.facts.samples.last().map(|sample| &sample.event_id);
        let mut cited: Vec<String> = Vec::new();
        for id in self.facts.incident.first_event_id.iter().chain(named).chain(latest) {
            if !cited.contains(id) {
                cited.push(id.clone());
            }
        }
        cited
    }
}

#[cfg(test)]
mod tests;
