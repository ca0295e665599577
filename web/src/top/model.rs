//! What `signals top` knows and what its keys do. Pure: no terminal, no network.

use super::client::{Ask, Look};
use super::words::{count, number, or_dash, span};
use crate::supervision::{ActorView, IndexerView, Observed, Order, Partition, RouterView, State};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::cmp::Reverse;
use std::time::Instant;

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Command {
    Quit,
    /// The partition above, or below.
    Up,
    Down,
    /// The partitions in this order.
    Sort(By),
    /// The children in the next order.
    NextOrder,
    /// Projects instead of incidents, and back.
    OtherKind,
    NextPage,
    LastPage,
    /// Stop looking, and begin again.
    Hold,
}

/// The order of the partitions; the greatest first, but for their numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum By {
    #[default]
    Partition,
    Lag,
    Undurable,
    Restarts,
}

/// What follows from a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    Quit,
    /// Draw again, and look at once.
    Look,
    /// Draw again.
    Draw,
}

/// One line of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Of a router, its partition.
    pub partition: Option<i32>,
    pub state: State,
    /// As the columns have it: actor, state, lag, restarts, actors, box, durable, undurable, flush, last, position, note.
    pub cells: [String; 12],
}

/// Everything that is shown.
#[derive(Debug)]
pub(super) struct Model {
    pub url: String,
    pub look: Option<(Look, Instant)>,
    /// Why the last look failed.
    pub trouble: Option<String>,
    pub by: By,
    pub order: Order,
    pub of_projects: bool,
    pub is_held: bool,
    selected: Option<i32>,
    /// Cursors of the pages up to the one that is shown.
    cursors: Vec<String>,
}

impl Command {
    /// What this key asks for, if anything.
    pub fn of(key: KeyEvent) -> Option<Self> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        Some(match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Self::Quit,
            KeyCode::Char('q') | KeyCode::Esc => Self::Quit,
            KeyCode::Up | KeyCode::Char('k') => Self::Up,
            KeyCode::Down | KeyCode::Char('j') => Self::Down,
            KeyCode::Char('p') => Self::Sort(By::Partition),
            KeyCode::Char('l') => Self::Sort(By::Lag),
            KeyCode::Char('u') => Self::Sort(By::Undurable),
            KeyCode::Char('r') => Self::Sort(By::Restarts),
            KeyCode::Char('o') => Self::NextOrder,
            KeyCode::Tab => Self::OtherKind,
            KeyCode::PageDown | KeyCode::Char('n') => Self::NextPage,
            KeyCode::PageUp | KeyCode::Char('b') => Self::LastPage,
            KeyCode::Char(' ') => Self::Hold,
            _ => return None,
        })
    }
}

impl Model {
    /// Nothing seen yet.
    pub fn new(url: String) -> Self {
        Self {
            url,
            look: None,
            trouble: None,
            by: By::default(),
            order: Order::default(),
            of_projects: false,
            is_held: false,
            selected: None,
            cursors: Vec::new(),
        }
    }

    /// What to look at next.
    pub fn ask(&self) -> Ask {
        Ask {
            partition: self.selected,
            of_projects: self.of_projects,
            order: self.order,
            cursor: self.cursors.last().cloned(),
        }
    }

    /// Takes what came of a look. What is known stays on the screen when one fails.
    pub fn take(&mut self, ask: &Ask, look: Result<Look, String>) {
        match look {
            Err(trouble) => self.trouble = Some(trouble),
            Ok(mut look) => {
                self.trouble = None;
                if *ask != self.ask() {
                    // The children are those of something that is no longer asked for.
                    look.children = self.look.take().and_then(|(last, _)| last.children);
                }
                let first = look.tree.known.partitions.first().map(|first| first.partition);
                self.selected = self.selected.or(first);
                self.look = Some((look, Instant::now()));
            }
        }
    }

    /// Does what a key asks for.
    pub fn apply(&mut self, command: Command) -> Effect {
        match command {
            Command::Quit => return Effect::Quit,
            Command::Hold => self.is_held = !self.is_held,
            Command::Sort(by) => {
                self.by = by;
                return Effect::Draw;
            }
            Command::Up => self.select(|place| place.checked_sub(1)),
            Command::Down => self.select(|place| place.checked_add(1)),
            Command::OtherKind => {
                self.of_projects = !self.of_projects;
                self.cursors.clear();
            }
            Command::NextOrder => {
                let place = Order::ALL.iter().position(|order| *order == self.order).unwrap_or(0);
                self.order = Order::ALL.into_iter().cycle().nth(place + 1).unwrap_or_default();
                self.cursors.clear();
            }
            Command::NextPage => {
                let children = self.look.as_ref().and_then(|(look, _)| look.children.as_ref());
                let Some(next) = children.and_then(|page| page.next_cursor.clone()) else { return Effect::Draw };
                if self.cursors.last() != Some(&next) {
                    self.cursors.push(next);
                }
            }
            Command::LastPage => {
                self.cursors.pop();
            }
        }
        Effect::Look
    }

    fn select(&mut self, step: impl FnOnce(usize) -> Option<usize>) {
        let partitions: Vec<i32> = self.lines().iter().filter_map(|line| line.partition).collect();
        let place = partitions.iter().position(|partition| Some(*partition) == self.selected);
        let next = step(place.unwrap_or(0)).and_then(|next| partitions.get(next));
        if let Some(next) = next {
            self.selected = Some(*next);
            self.cursors.clear();
        }
    }

    /// The partition whose children are shown.
    pub fn selected(&self) -> Option<i32> {
        self.selected
    }

    /// The number of the page of children that is shown.
    pub fn page(&self) -> usize {
        self.cursors.len() + 1
    }

    /// The tree, line by line.
    pub fn lines(&self) -> Vec<Line> {
        let Some((look, _)) = &self.look else { return Vec::new() };
        let engine = look.tree.engine.as_ref();
        let parts = engine.map_or(&[][..], |root| &root.children);
        let mut lines: Vec<Line> = engine.into_iter().map(root).collect();
        let (mut routers, mut others): (Vec<Line>, Vec<Line>) = (Vec::new(), Vec::new());
        for part in parts {
            match &part.observed {
                Observed::Router(figures) => routers.push(self.router(part, figures)),
                _ => others.extend(family(part)),
            }
        }
        others.extend(look.tree.summarizers.iter().chain(&look.tree.indexers).flat_map(family));
        let away = look.tree.known.partitions.iter();
        let away = away.filter(|known| !routers.iter().any(|line| line.partition == Some(known.partition)));
        let away: Vec<Line> = away.map(elsewhere).collect();
        routers.extend(away);
        self.sort(&mut routers);
        others.extend(routers);
        let last = others.len().saturating_sub(1);
        for (place, line) in others.iter_mut().enumerate() {
            let branch = if place == last { "└ " } else { "├ " };
            let [name, ..] = &mut line.cells;
            name.insert_str(0, branch);
        }
        lines.extend(others);
        lines
    }

    fn sort(&self, routers: &mut [Line]) {
        let Some((look, _)) = &self.look else { return };
        let figures = |line: &Line| -> (i64, usize, u64) {
            let parts = look.tree.engine.iter().flat_map(|root| &root.children);
            for part in parts {
                if let Observed::Router(figures) = &part.observed
                    && Some(figures.partition) == line.partition
                {
                    return (figures.lag.unwrap_or(0), figures.undurable, part.restarts.count);
                }
            }
            let known = look.tree.known.partitions.iter().find(|known| Some(known.partition) == line.partition);
            (known.map_or(0, |known| known.lag), 0, 0)
        };
        routers.sort_by_key(|line| {
            let (lag, undurable, restarts) = figures(line);
            let key = match self.by {
                By::Partition => 0,
                By::Lag => lag,
                By::Undurable => i64::try_from(undurable).unwrap_or(i64::MAX),
                By::Restarts => i64::try_from(restarts).unwrap_or(i64::MAX),
            };
            (Reverse(key), line.partition)
        });
    }

    fn router(&self, view: &ActorView, figures: &RouterView) -> Line {
        let restarts = match view.restarts.budget {
            Some(budget) => format!("{} ({}/{})", view.restarts.count, budget.used, budget.most),
            None => count(view.restarts.count),
        };
        let actors = figures.incidents.map(|incidents| incidents + figures.projects.unwrap_or(0));
        let cells = [
            view.id.clone(),
            view.state.as_str().to_owned(),
            or_dash(figures.lag, number),
            restarts,
            or_dash(actors, count),
            mailbox(view),
            number(figures.next_offset),
            count(figures.undurable),
            or_dash(figures.flush_ms, span),
            or_dash(view.last_progress_ms, span),
            number(figures.position),
            view.why.clone().unwrap_or_else(|| format!("epoch {}, {}", figures.epoch, figures.step)),
        ];
        Line { partition: Some(figures.partition), state: view.state, cells }
    }
}

fn mailbox(view: &ActorView) -> String {
    or_dash(view.mailbox, |mailbox| format!("{}/{}", mailbox.waiting, mailbox.capacity))
}

fn bare(view: &ActorView, note: String) -> Line {
    let dash = || "-".to_owned();
    let cells = [
        view.id.clone(),
        view.state.as_str().to_owned(),
        dash(),
        dash(),
        dash(),
        mailbox(view),
        dash(),
        dash(),
        dash(),
        or_dash(view.last_progress_ms, span),
        dash(),
        note,
    ];
    Line { partition: None, state: view.state, cells }
}

fn root(view: &ActorView) -> Line {
    let Observed::Root(seen) = &view.observed else { return bare(view, String::new()) };
    let blocked = seen.arbiters.iter().filter(|arbiter| arbiter.state != State::Running);
    let blocked: Vec<String> = blocked.map(|arbiter| format!("{} {}", arbiter.name, arbiter.state.as_str())).collect();
    let note = if blocked.is_empty() {
        format!("up {}, {} of {}", span(seen.up_ms), seen.topic, seen.group)
    } else {
        format!("threads: {}", blocked.join(", "))
    };
    let mut line = bare(view, note);
    let [_, _, _, restarts, actors, ..] = &mut line.cells;
    *restarts = count(view.restarts.count);
    *actors = count(seen.alive.iter().map(|living| living.count).sum::<usize>());
    line
}

/// One of the few, and those below it.
fn family(view: &ActorView) -> Vec<Line> {
    let mut lines = vec![other(view)];
    for child in &view.children {
        let mut line = match &child.observed {
            Observed::Indexer(figures) => indexer(child, figures),
            _ => other(child),
        };
        let [name, ..] = &mut line.cells;
        name.insert_str(0, "  ");
        lines.push(line);
    }
    lines
}

/// It belongs to no partition of the engine, so it is not sorted among the routers.
fn indexer(view: &ActorView, figures: &IndexerView) -> Line {
    let did = || format!("{} events to {}, {}", count(figures.events), figures.index, figures.step);
    let mut line = bare(view, view.why.clone().unwrap_or_else(did));
    let [_, _, lag, restarts, _, _, durable, ..] = &mut line.cells;
    *lag = or_dash(figures.lag, number);
    *restarts = count(view.restarts.count);
    *durable = or_dash(figures.next_offset, number);
    line
}

fn other(view: &ActorView) -> Line {
    let note = match (&view.why, &view.observed) {
        (Some(why), _) => why.clone(),
        (None, Observed::Flusher(seen)) => format!("{} under way, {} durable", seen.under_way, count(seen.durable)),
        (None, Observed::Consumer(seen)) => format!("{}, round {}", seen.work, count(seen.rounds)),
        (None, Observed::Summarizers(seen)) if seen.models.is_empty() => {
            "no model, summaries are deterministic".to_owned()
        }
        (None, Observed::Summarizers(seen)) => format!("{} at work, asking {}", seen.busy, seen.models.join(", ")),
        (None, Observed::Summarizer(seen)) => {
            let doing = seen.incident_id.as_ref().map_or_else(|| "idle".to_owned(), |id| format!("on incident {id}"));
            format!(
                "{doing} for {}, {} jobs, {} calls, {} failures",
                span(seen.since_ms),
                seen.jobs,
                seen.calls,
                seen.failed
            )
        }
        (None, _) => String::new(),
    };
    bare(view, note)
}

fn elsewhere(known: &Partition) -> Line {
    let dash = || "-".to_owned();
    let cells = [
        format!("PartitionRouter {}", known.partition),
        State::Elsewhere.as_str().to_owned(),
        number(known.lag),
        dash(),
        dash(),
        dash(),
        number(known.next_offset),
        dash(),
        dash(),
        dash(),
        dash(),
        format!("epoch {}, checkpoint of {}", known.epoch, known.updated_at.format("%H:%M:%S")),
    ];
    Line { partition: Some(known.partition), state: State::Elsewhere, cells }
}

#[cfg(test)]
#[path = "model_tests.rs"]
mod tests;
