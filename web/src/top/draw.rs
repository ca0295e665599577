//! The picture: a [`Model`] on so many lines and columns.

use super::model::{By, Line as TreeLine, Model};
use super::words::{count, number, or_dash, span};
use crate::supervision::{ActorView, DeathView, Observed, State, Supervision};
use ratatui::buffer::Buffer;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Styled};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, Widget};

/// Title, width, and the columns from which on a screen has room for it. In the order of [`TreeLine::cells`].
const COLUMNS: [(&str, u16, u16); 12] = [
    ("ACTOR", 22, 0),
    ("STATE", 10, 0),
    ("LAG", 11, 0),
    ("RESTARTS", 10, 0),
    ("ACTORS", 8, 70),
    ("BOX", 7, 80),
    ("DURABLE", 13, 100),
    ("UNDURABLE", 9, 110),
    ("FLUSH", 9, 120),
    ("LAST", 10, 130),
    ("POSITION", 13, 145),
    ("NOTE", 0, 0),
];
/// Deaths, gaps and quarantines shown at most.
const INCIDENTALS: usize = 6;
/// Children shown on a screen that is as high as it needs to be.
const CHILDREN: u16 = 20;

/// The whole screen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen<'a> {
    pub model: &'a Model,
    /// Whether its last line tells the keys.
    pub has_help: bool,
}

/// Lines that the whole of it needs.
pub(super) fn height(model: &Model) -> u16 {
    let lines = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let children = model.look.as_ref().and_then(|(look, _)| look.children.as_ref());
    let children = children.map_or(0, |page| lines(page.items.len()).min(CHILDREN));
    let tree = lines(model.lines().len()).saturating_add(2);
    tree.saturating_add(children).saturating_add(lines(incidentals(model).len())).saturating_add(6)
}

impl Widget for Screen<'_> {
    fn render(self, area: Rect, buffer: &mut Buffer) {
        let tree = self.model.lines();
        let incidentals = incidentals(self.model);
        let most = usize::from(area.height / 2).max(3);
        let height = |lines: usize| Constraint::Length(u16::try_from(lines).unwrap_or(u16::MAX));
        let parts = Layout::vertical([
            Constraint::Length(2),
            height(tree.len().min(most) + 2),
            Constraint::Min(1),
            height(incidentals.len().min(INCIDENTALS)),
            Constraint::Length(u16::from(self.has_help)),
        ]);
        let [head, branches, children, beneath, help] = parts.areas(area);
        header(self.model, head, buffer);
        branch_table(self.model, &tree, branches, buffer);
        child_table(self.model, children, buffer);
        Paragraph::new(incidentals).render(beneath, buffer);
        let keys = "q quit   ↑↓ partition   p l u r sort by partition, lag, undurable, restarts   \
                    tab incidents or projects   o their order   n b page   space hold";
        Paragraph::new(Line::styled(keys, Modifier::DIM)).render(help, buffer);
    }
}

fn header(model: &Model, area: Rect, buffer: &mut Buffer) {
    let mut first = format!("signals top  {}", model.url);
    let mut second = String::new();
    if let Some((look, at)) = &model.look {
        let age = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
        let held = if model.is_held { ", held" } else { "" };
        first += &format!("   seen {} ago{held}", span(age));
        second = totals(&look.tree);
    }
    let style = if model.trouble.is_some() { Style::from(Color::Red) } else { Style::default() };
    let second = model.trouble.clone().unwrap_or(second);
    let lines = vec![Line::styled(first, Modifier::BOLD), Line::styled(second, style)];
    Paragraph::new(lines).render(area, buffer);
}

fn totals(tree: &Supervision) -> String {
    let known = &tree.known;
    if !known.database_answers {
        return "the database does not answer; what the engine itself tells is shown".to_owned();
    }
    let lag = known.partitions.iter().map(|partition| partition.lag).sum();
    let engine = if tree.engine.is_some() { "" } else { "no engine in that process   " };
    format!(
        "{engine}lag {}   complete until {}   quarantined {} ({} records)   log gaps {} ({} records)",
        number(lag),
        or_dash(known.complete_until, |at| at.format("%Y-%m-%d %H:%M:%S").to_string()),
        known.quarantine.total,
        number(known.quarantine.records),
        known.log_gaps.total,
        number(known.log_gaps.records),
    )
}

fn branch_table(model: &Model, tree: &[TreeLine], area: Rect, buffer: &mut Buffer) {
    let shown: Vec<usize> = (0..COLUMNS.len()).filter(|column| has_room(*column, area.width)).collect();
    let widths = shown.iter().filter_map(|column| COLUMNS.get(*column)).map(|(_, width, _)| match width {
        0 => Constraint::Fill(1),
        width => Constraint::Length(*width),
    });
    let titles = shown.iter().filter_map(|column| COLUMNS.get(*column)).map(|(title, ..)| sorted_title(model, title));
    // The line that is looked at must be seen, however many there are.
    let room = usize::from(area.height.saturating_sub(2));
    let selected = tree.iter().position(|line| line.partition.is_some() && line.partition == model.selected());
    let skipped = selected.map_or(0, |selected| (selected + 1).saturating_sub(room));
    let rows = tree.iter().skip(skipped).map(|line| {
        let cells = shown.iter().filter_map(|column| line.cells.get(*column));
        let is_selected = line.partition.is_some() && line.partition == model.selected();
        let style = if is_selected { Modifier::REVERSED } else { Modifier::empty() };
        Row::new(cells.map(|text| Cell::from(text.as_str()))).style(colour(line.state).add_modifier(style))
    });
    let header = Row::new(titles).set_style(Modifier::BOLD);
    Widget::render(Table::new(rows, widths).header(header).column_spacing(1), area, buffer);
}

fn has_room(column: usize, width: u16) -> bool {
    COLUMNS.get(column).is_some_and(|(_, _, from)| width >= *from)
}

fn sorted_title(model: &Model, title: &'static str) -> String {
    let by = match model.by {
        By::Partition => "ACTOR",
        By::Lag => "LAG",
        By::Undurable => "UNDURABLE",
        By::Restarts => "RESTARTS",
    };
    if title == by { format!("{title} *") } else { title.to_owned() }
}

fn colour(state: State) -> Style {
    match state {
        State::Running => Style::default(),
        State::Paused | State::Waiting | State::Restarting => Style::from(Color::Yellow),
        State::Stuck | State::Ended => Style::from(Color::Red),
        State::Elsewhere => Style::from(Modifier::DIM),
    }
}

fn child_table(model: &Model, area: Rect, buffer: &mut Buffer) {
    let Some((look, _)) = &model.look else { return };
    let of = or_dash(model.selected(), |partition| format!("partition {partition}"));
    let Some(page) = &look.children else {
        let why = format!("of {of} nothing more is known here: it does not answer, or lives elsewhere");
        return Paragraph::new(Line::styled(why, Modifier::DIM)).render(area, buffer);
    };
    let kind = if model.of_projects { "projects" } else { "incidents" };
    let order = model.order.as_str().replace('_', " ");
    let title = format!("{} {kind} of {of} by {order}, page {}", count(page.total), model.page());
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(8),
        Constraint::Length(10),
        Constraint::Length(8),
        Constraint::Length(12),
    ];
    let header = Row::new([title, "GEN".into(), "LETTERS".into(), "BOX".into(), "LAST USED".into()]);
    let rows = page.items.iter().filter_map(child_row);
    let table = Table::new(rows, widths).header(header.set_style(Modifier::BOLD)).column_spacing(1);
    Widget::render(table, area, buffer);
}

fn child_row(child: &ActorView) -> Option<Row<'_>> {
    let Observed::Resident(seen) = &child.observed else { return None };
    let style = if seen.generation > 1 { Style::from(Color::Yellow) } else { Style::default() };
    let cells = [
        child.id.clone(),
        seen.generation.to_string(),
        count(seen.letters),
        or_dash(child.mailbox, |mailbox| format!("{}/{}", mailbox.waiting, mailbox.capacity)),
        span(seen.last_used_ms),
    ];
    Some(Row::new(cells).style(style))
}

/// What has happened: deaths, quarantines, holes.
fn incidentals(model: &Model) -> Vec<Line<'static>> {
    let Some((look, _)) = &model.look else { return Vec::new() };
    let deaths = look.tree.engine.iter().flat_map(|root| &root.restarts.deaths).take(3).map(death);
    let quarantined = look.tree.known.quarantine.items.iter().take(2).map(|item| {
        let (project, print) = (&item.project_id, print(&item.fingerprint));
        format!("in quarantine  {project}/{print}  {} records  {}", number(item.records), item.reason)
    });
    let gaps = look.tree.known.log_gaps.items.iter().take(1).map(|gap| {
        let (from, to) = (number(gap.from_offset), number(gap.to_offset));
        format!("gap in the log  partition {}  offsets {from} to {to}  {}", gap.partition, gap.reason)
    });
    deaths.chain(quarantined).chain(gaps).map(|text| Line::styled(text, Color::Magenta)).collect()
}

fn death(death: &DeathView) -> String {
    let offset = death.offset.map_or_else(String::new, |offset| format!(" at offset {}", number(offset)));
    let (actor, reason) = (shortened(&death.actor), death.reason.as_str());
    format!("{} ago  {actor}  {reason}{offset}: {}", span(death.ms_ago), death.message.replace('\n', " "))
}

/// Enough of a fingerprint to tell it from others.
fn print(fingerprint: &str) -> &str {
    fingerprint.get(..12).unwrap_or(fingerprint)
}

/// An incident's name without most of its fingerprint, so that the words behind it are on the screen.
fn shortened(actor: &str) -> String {
    match actor.rsplit_once('/') {
        Some((project, fingerprint)) => format!("{project}/{}", print(fingerprint)),
        None => actor.to_owned(),
    }
}
