//! `signals top`: the living tree in a terminal, refreshed as it changes.
//!
//! It is one more client of `GET /v1/supervision`: it can look at an engine from anywhere, and knows nothing that the API
//! does not tell.

mod client;
mod draw;
mod model;
mod words;

use crate::config::Secret;
use anyhow::Context;
use client::{Ask, Client, Look};
use model::{Command, Effect, Model};
use ratatui::DefaultTerminal;
use ratatui::buffer::Buffer;
use ratatui::crossterm::event::{self, Event};
use ratatui::layout::Rect;
use ratatui::widgets::Widget;
use reqwest::Url;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// Columns of a frame that is printed into a pipe.
const PIPE_COLUMNS: u16 = 200;

/// The command line of `signals top`.
#[derive(clap::Args, Clone, Debug)]
pub struct TopArgs {
    /// Base URL of a core API, or of an engine's own port.
    #[arg(long, env = "SIGNALS_CORE_URL", default_value = "http://127.0.0.1:3001")]
    pub url: Url,
    /// API key with scope admin; with operator besides it shows all projects' incidents.
    #[arg(long, env = "SIGNALS_API_KEY", hide_env_values = true)]
    pub key: Option<Secret>,
    /// Seconds between two looks.
    #[arg(long, default_value = "1", value_parser = seconds)]
    pub interval: Duration,
    /// Print one frame as plain text and end.
    #[arg(long)]
    pub once: bool,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let bad = || "must be a number of seconds from 0.1 to 3600".to_owned();
    let seconds: f64 = text.parse().map_err(|_| bad())?;
    if (0.1..=3_600.0).contains(&seconds) { Ok(Duration::from_secs_f64(seconds)) } else { Err(bad()) }
}

/// Shows the tree until it is told to end, or once; `out` takes the one frame.
///
/// # Errors
/// A sentence for whoever typed the command: no key, no terminal, and with `--once` also no answer.
pub async fn run(arguments: TopArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let client = Client::new(&arguments)?;
    let mut model = Model::new(arguments.url.to_string());
    if arguments.once {
        let ask = model.ask();
        let look = client.look(&ask).await.map_err(|trouble| anyhow::anyhow!(trouble))?;
        model.take(&ask, Ok(look));
        let columns = ratatui::crossterm::terminal::size().map_or(PIPE_COLUMNS, |(columns, _)| columns);
        let columns = if std::io::stdout().is_terminal() { columns } else { PIPE_COLUMNS };
        return out.write_all(frame(&model, columns).as_bytes()).context("cannot print the frame");
    }
    anyhow::ensure!(std::io::stdout().is_terminal(), "this is no terminal; `signals top --once` prints one frame");
    let mut terminal = ratatui::try_init().context("cannot take the terminal over")?;
    let ended = live(&mut terminal, client, model, arguments.interval).await;
    ratatui::try_restore().context("cannot give the terminal back")?;
    ended
}

/// The model as plain text, as high as it needs to be.
fn frame(model: &Model, columns: u16) -> String {
    let area = Rect::new(0, 0, columns, draw::height(model));
    let mut buffer = Buffer::empty(area);
    draw::Screen { model, has_help: false }.render(area, &mut buffer);
    let mut text = String::new();
    for y in area.rows() {
        let line: String = y.columns().filter_map(|x| buffer.cell((x.x, x.y)).map(|cell| cell.symbol())).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// Draws what is known, takes keys, and looks again: each without waiting for the others.
async fn live(
    terminal: &mut DefaultTerminal,
    client: Client,
    mut model: Model,
    interval: Duration,
) -> anyhow::Result<()> {
    let mut keys = keys()?;
    let (tell, mut looks) = mpsc::channel::<(Ask, Result<Look, String>)>(1);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_looking = false;
    loop {
        terminal.draw(|frame| {
            frame.render_widget(draw::Screen { model: &model, has_help: true }, frame.area());
        })?;
        let wants_look = tokio::select! {
            event = keys.recv() => match event.context("the terminal is gone")? {
                Event::Key(key) => match Command::of(key).map(|command| model.apply(command)) {
                    Some(Effect::Quit) => return Ok(()),
                    Some(Effect::Look) => true,
                    Some(Effect::Draw) | None => false,
                },
                _ => false,
            },
            Some((ask, look)) = looks.recv() => {
                is_looking = false;
                // Whoever has pressed a key meanwhile asks for something else.
                let is_late = ask != model.ask();
                model.take(&ask, look);
                is_late
            }
            _ = ticks.tick() => !model.is_held,
            _ = terminate.recv() => return Ok(()),
        };
        if wants_look && !is_looking {
            is_looking = true;
            let (client, tell, ask) = (client.clone(), tell.clone(), model.ask());
            tokio::spawn(async move {
                let look = client.look(&ask).await;
                // The screen was closed meanwhile.
                let _ = tell.send((ask, look)).await;
            });
        }
    }
}

/// Reading a terminal blocks, so a thread does it; it ends with the process.
fn keys() -> anyhow::Result<mpsc::Receiver<Event>> {
    let (tell, keys) = mpsc::channel(16);
    let read = move || {
        while let Ok(event) = event::read() {
            if tell.blocking_send(event).is_err() {
                break;
            }
        }
    };
    std::thread::Builder::new().name("signals-keys".to_owned()).spawn(read).context("cannot read the terminal")?;
    Ok(keys)
}
