//! From what was gathered to what is shown. Pure.

use super::chronicle::{Death, Deaths};
use super::kind::{ActorId, Kind};
use super::plan::{ChildSpec, Plan};
use super::restart::RestartPolicy;
use super::view::{
    ActorView, Budget, ConsumerView, DeadLettersView, DeathView, FlusherView, Mailbox, Observed, Page, ResidentView,
    Restarts, RouterView, Selection, State,
};
use crate::consumer::controls::Work;
use crate::consumer::progress::Step;
use crate::consumer::tenures::TenureView;
use crate::flusher::desk::{Glance, Letters};
use crate::router::report::{Report, Residents, Row};
use std::time::Duration;

/// Deaths shown with one actor.
const SHOWN: usize = 8;
/// A flush takes milliseconds; a database that has not answered one for so long is slow.
const SLOW: Duration = Duration::from_secs(2);
/// A round takes a tenth of a second; a poll thread whose last one is older than this stands still.
const STILL: Duration = Duration::from_secs(5);
/// One that stands still for so long will not move again.
const STALLED: Duration = Duration::from_secs(30);
/// One that waits for the database in a rebalance counts as alive for so long; then the group has given its partitions to
/// others (librdkafka's `max.poll.interval.ms`), and a new process is as good.
const REBALANCING: Duration = Duration::from_secs(300);

pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

pub(super) fn death(death: &Death) -> DeathView {
    DeathView {
        actor: death.actor.clone(),
        partition: death.partition,
        reason: death.reason,
        message: death.words.clone(),
        offset: death.offset,
        ms_ago: millis(death.at.elapsed()),
        restarted_after_ms: death.restarts_after.map(millis),
    }
}

pub(crate) fn blank(id: &ActorId, state: State, observed: Observed) -> ActorView {
    ActorView {
        kind: id.kind(),
        id: id.to_string(),
        state,
        why: None,
        mailbox: None,
        restarts: Restarts::default(),
        last_progress_ms: None,
        observed,
        children: Vec::new(),
        residents: Vec::new(),
    }
}

pub(super) fn flusher(glance: Glance, mailbox: Mailbox, is_there: bool) -> ActorView {
    let failing = glance.failing.as_ref().map(|(failures, error)| format!("tried {failures} times: {error}"));
    let why = failing.or_else(|| {
        let slow = glance.oldest.filter(|oldest| *oldest >= SLOW)?;
        Some(format!("the database has not answered a flush for {} ms", millis(slow)))
    });
    let state = match (is_there, &why) {
        (false, _) => State::Ended,
        (true, Some(_)) => State::Waiting,
        (true, None) => State::Running,
    };
    let (failures, last_error) = glance.failing.map_or((0, None), |(failures, error)| (failures, Some(error)));
    let observed = Observed::Flusher(FlusherView {
        under_way: glance.under_way,
        oldest_ms: glance.oldest.map(millis),
        durable: glance.durable,
        refused: glance.refused,
        failures,
        last_error,
    });
    let last_progress_ms = glance.since_durable.map(millis);
    ActorView { why, mailbox: Some(mailbox), last_progress_ms, ..blank(&ActorId::Flusher, state, observed) }
}

pub(super) fn dead_letters(letters: Letters, is_there: bool) -> ActorView {
    let state = match (is_there, &letters.failing) {
        (false, _) => State::Ended,
        (true, Some(_)) => State::Waiting,
        (true, None) => State::Running,
    };
    let Letters { waiting, sent, failing } = letters;
    let observed = Observed::DeadLetters(DeadLettersView { waiting, sent, last_error: failing.clone() });
    ActorView { why: failing, ..blank(&ActorId::DeadLetters, state, observed) }
}

/// With its deaths and its budget. One that is not there lives again soon, unless its budget is spent or it was told to end.
pub(crate) fn mortal(view: ActorView, deaths: &Deaths, policy: RestartPolicy) -> ActorView {
    let (state, why) = match deaths.last.back() {
        Some(last) if view.state == State::Ended && view.why.is_none() => after(last),
        _ => (view.state, view.why),
    };
    ActorView { state, why, restarts: restarts(deaths, policy), ..view }
}

/// How one is that has died.
fn after(last: &Death) -> (State, Option<String>) {
    match last.restarts_after {
        Some(_) => (State::Restarting, Some(last.words.clone())),
        None => (State::Ended, Some(format!("its budget is spent: {}", last.words))),
    }
}

/// What the poll thread last wrote down.
pub(super) struct PollGlance {
    pub rounds: u64,
    pub since_round: Duration,
    pub work: (Work, Duration),
    pub is_there: bool,
    pub is_stopping: bool,
    pub tenures: usize,
}

impl PollGlance {
    /// What it is at, as part of a sentence.
    pub fn work(&self) -> String {
        match self.work.0 {
            Work::Polling => "polling".to_owned(),
            Work::Claiming(partition) => format!("claiming partition {partition}, for which it waits for the database"),
            Work::EndingTenures => "waiting for the last flushes of tenures that end".to_owned(),
        }
    }

    /// How long it has not moved; a rebalance that is just over is a move.
    fn still(&self) -> Duration {
        self.since_round.min(self.work.1)
    }

    /// Whether the thread is alive, in words.
    pub fn vital(&self) -> Result<String, String> {
        let seconds = self.work.1.as_secs();
        match self.work.0 {
            _ if self.is_stopping => Ok("ending".to_owned()),
            _ if !self.is_there => Err("its thread has ended".to_owned()),
            Work::Polling if self.still() < STALLED => Ok(format!("round {}", self.rounds)),
            Work::Polling => Err(format!("no round for {} s", self.still().as_secs())),
            _ if self.work.1 < REBALANCING => Ok(format!("{}, for {seconds} s", self.work())),
            _ => Err(format!("{}, for {seconds} s", self.work())),
        }
    }

    fn state(&self) -> (State, Option<String>) {
        if !self.is_there {
            return (State::Ended, Some("its thread has ended".to_owned()));
        }
        if self.is_stopping {
            return (State::Ended, Some("the engine ends".to_owned()));
        }
        match self.work.0 {
            Work::Polling if self.still() >= STILL => {
                (State::Stuck, Some(format!("no round for {} s", self.still().as_secs())))
            }
            Work::Polling => (State::Running, None),
            Work::Claiming(_) | Work::EndingTenures => (State::Waiting, Some(self.work())),
        }
    }
}

pub(super) fn consumer(glance: &PollGlance) -> ActorView {
    let (state, why) = glance.state();
    let last_round_ms = millis(glance.since_round);
    let observed = Observed::Consumer(ConsumerView {
        rounds: glance.rounds,
        last_round_ms,
        work: glance.work(),
        work_ms: millis(glance.work.1),
        tenures: glance.tenures,
    });
    ActorView { why, last_progress_ms: Some(last_round_ms), ..blank(&ActorId::Consumer, state, observed) }
}

/// One tenure: what is known of it from outside, and its router's answer if it came in time.
pub(super) struct Tenure<'a> {
    pub topic: &'a str,
    pub view: TenureView,
    pub report: Option<Report>,
    pub deaths: Deaths,
    pub plan: &'a Plan,
}

impl Tenure<'_> {
    fn state(&self) -> (State, Option<String>) {
        let last = self.deaths.last.back();
        if !self.view.is_alive {
            return last.map_or((State::Restarting, None), after);
        }
        let (step, since) = self.view.progress.step();
        let at = format!("{} for {} ms", step.as_str(), millis(since));
        if self.report.is_none() {
            // In these two steps it is a server that does not answer.
            let state = if matches!(step, Step::Waking | Step::Settling) { State::Waiting } else { State::Stuck };
            let paused =
                if self.view.progress.is_paused() { "; its inbox is full and its partition paused" } else { "" };
            return (state, Some(format!("it does not answer: {at}{paused}")));
        }
        if self.view.progress.is_paused() {
            let busy = if self.view.progress.is_flushing() { "behind its flush" } else { "behind" };
            return (State::Paused, Some(format!("its inbox is full and it is {busy}: {at}")));
        }
        (State::Running, None)
    }

    fn observed(&self) -> RouterView {
        let (progress, report) = (&self.view.progress, self.report.as_ref());
        let (step, since) = progress.step();
        let high_watermark = Some(progress.high_watermark()).filter(|end| *end > 0);
        RouterView {
            topic: self.topic.to_owned(),
            partition: self.view.partition,
            epoch: self.view.epoch,
            tenure_ms: millis(self.view.began.elapsed()),
            next_offset: progress.durable(),
            position: progress.position(),
            high_watermark,
            lag: high_watermark.map(|_| progress.lag()),
            undurable: progress.undurable(),
            is_caught_up: high_watermark.map(|end| progress.position() >= end),
            flush_ms: report.and_then(|report| report.flush).map(millis),
            last_flush_ms: report.map(|report| report.last_cost).filter(|cost| !cost.is_zero()).map(millis),
            step: step.as_str().to_owned(),
            step_ms: millis(since),
            incidents: Some(report.map_or_else(|| progress.residents(), |report| report.incidents.total)),
            projects: report.map(|report| report.projects.total),
        }
    }

    /// The whole of it.
    pub fn show(self, incidents: Selection, projects: Selection) -> ActorView {
        let (state, why) = self.state();
        let observed = Observed::Router(self.observed());
        let last_progress_ms = Some(millis(self.view.progress.since_moved()));
        let plan = self.plan;
        let restarts = restarts(&self.deaths, plan.of(Kind::PartitionRouter).policy);
        let residents = self.report.map_or_else(Vec::new, |report| {
            [(Kind::IncidentActor, report.incidents, incidents), (Kind::ProjectActor, report.projects, projects)]
                .into_iter()
                .filter(|(_, _, asked)| asked.limit > 0)
                .map(|(kind, residents, asked)| page(plan.of(kind), residents, asked))
                .collect()
        });
        let id = ActorId::Router(self.view.partition);
        let mailbox = Some(self.view.inbox);
        ActorView { why, mailbox, restarts, last_progress_ms, residents, ..blank(&id, state, observed) }
    }
}

pub(super) fn restarts(deaths: &Deaths, policy: RestartPolicy) -> Restarts {
    Restarts {
        count: deaths.total,
        budget: Some(budget(deaths.within(policy.period), policy)),
        deaths: deaths.last.iter().rev().take(SHOWN).map(death).collect(),
    }
}

fn budget(used: usize, policy: RestartPolicy) -> Budget {
    Budget { used, most: policy.restarts, period_seconds: policy.period.as_secs() }
}

fn page(spec: ChildSpec, residents: Residents, asked: Selection) -> Page {
    let (kind, used) = (spec.kind, residents.used);
    let items = residents.rows.iter().map(|row| {
        let mut view = resident(kind, row);
        view.restarts.budget = Some(budget(used, spec.policy));
        view
    });
    let next_cursor = residents.next.map(|cursor| cursor.to_string());
    Page { kind, total: residents.total, sort: asked.order, items: items.collect(), next_cursor }
}

/// A child as its router knows it.
pub(super) fn resident(kind: Kind, row: &Row) -> ActorView {
    let id = ActorId::child(kind, &row.key.0, &row.key.1);
    let view = ResidentView { generation: row.generation, letters: row.letters, last_used_ms: millis(row.idle) };
    let capacity = match kind {
        Kind::ProjectActor => crate::project::actor::MAILBOX,
        _ => crate::incident::actor::MAILBOX,
    };
    ActorView {
        mailbox: Some(Mailbox { waiting: row.waiting, capacity }),
        restarts: Restarts { count: u64::from(row.generation.saturating_sub(1)), ..Restarts::default() },
        last_progress_ms: Some(view.last_used_ms),
        ..blank(&id, State::Running, Observed::Resident(view))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn glance(since_round: u64, work: Work, since_work: u64) -> PollGlance {
        PollGlance {
            rounds: 7,
            since_round: Duration::from_secs(since_round),
            work: (work, Duration::from_secs(since_work)),
            is_there: true,
            is_stopping: false,
            tenures: 1,
        }
    }

    #[test]
    fn a_poll_thread_that_stands_still_is_dead_but_one_that_waits_for_the_database_is_not() {
        for (since_round, work, since_work, is_alive, state) in [
            (0, Work::Polling, 500, true, State::Running),
            (29, Work::Polling, 500, true, State::Stuck),
            (31, Work::Polling, 500, false, State::Stuck),
            (31, Work::Polling, 0, true, State::Running),
            (200, Work::Claiming(3), 200, true, State::Waiting),
            (301, Work::Claiming(3), 301, false, State::Waiting),
            (9, Work::EndingTenures, 8, true, State::Waiting),
        ] {
            let glance = glance(since_round, work, since_work);
            let said = format!("{work:?} {since_round} s: {:?}", glance.vital());
            assert_eq!(glance.vital().is_ok(), is_alive, "{said}");
            assert_eq!(consumer(&glance).state, state, "{said}");
        }
        let claiming = glance(200, Work::Claiming(3), 200);
        assert_eq!(claiming.vital().unwrap(), "claiming partition 3, for which it waits for the database, for 200 s");
        let ended = PollGlance { is_there: false, ..glance(0, Work::Polling, 0) };
        assert!(ended.vital().is_err());
        assert!(PollGlance { is_stopping: true, ..ended }.vital().is_ok(), "it was asked to end");
    }

    #[test]
    fn a_flush_that_the_database_does_not_take_shows_as_waiting_with_its_error() {
        let glance = Glance { under_way: 1, failing: Some((3, "away".to_owned())), ..Glance::default() };
        let view = flusher(glance, Mailbox { waiting: 1, capacity: 1_024 }, true);
        assert_eq!((view.state, view.why.as_deref()), (State::Waiting, Some("tried 3 times: away")));
        assert_eq!(flusher(Glance::default(), Mailbox::default(), true).state, State::Running);
    }

    #[test]
    fn a_database_that_is_slow_shows_before_it_fails() {
        for (seconds, state) in [(1, State::Running), (3, State::Waiting)] {
            let glance = Glance { under_way: 1, oldest: Some(Duration::from_secs(seconds)), ..Glance::default() };
            let view = flusher(glance, Mailbox::default(), true);
            assert_eq!(view.state, state);
            assert_eq!(view.why.is_some_and(|why| why.contains("for 3000 ms")), seconds == 3);
        }
    }

    #[test]
    fn one_that_is_not_there_is_about_to_live_again_or_has_spent_its_budget() {
        let dead = |restarts_after| Death {
            actor: "Flusher".to_owned(),
            partition: None,
            reason: crate::supervision::child::ExitReason::Panicked,
            words: "boom".to_owned(),
            offset: None,
            restarts_after,
            is_charged: true,
            at: std::time::Instant::now(),
        };
        let policy = RestartPolicy::default();
        let view = |deaths: &Deaths| mortal(flusher(Glance::default(), Mailbox::default(), false), deaths, policy);
        let mut deaths = Deaths::default();
        assert_eq!((view(&deaths).state, view(&deaths).why), (State::Ended, None));
        deaths.last.push_back(dead(Some(Duration::ZERO)));
        assert_eq!((view(&deaths).state, view(&deaths).why.as_deref()), (State::Restarting, Some("boom")));
        deaths.last.push_back(dead(None));
        let spent = view(&deaths);
        assert_eq!((spent.state, spent.why.as_deref()), (State::Ended, Some("its budget is spent: boom")));
        assert_eq!(spent.restarts.budget.map(|budget| (budget.used, budget.most)), Some((2, 10)));
    }
}
