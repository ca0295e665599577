//! `signals dlq`: what nobody could handle, for those who run Signals: look at it, and put it back when the cause is
//! mended.

mod letter;
mod reader;
mod retry;

pub use letter::{Letter, NoPlace, Origin, Place};

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand};
use futures_util::{StreamExt, stream};
use letter::Entry;
use rdkafka::ClientConfig;
use rdkafka::message::{BorrowedMessage, Headers, Message};
use retry::{Returns, Whole};
use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::ops::ControlFlow;
use std::pin::pin;
use tokio::sync::mpsc;

/// Letters of this stage are events that the engine has counted, and that only the search index refused: putting one back could
/// count it twice.
const COUNTED_STAGE: &str = "index";
/// A letter that was put back so often stays where it is unless a person insists.
pub const MOST_RETRIES: u32 = 5;
/// Letters on their way from the one topic to the other.
const ON_THE_WAY: usize = 100;

/// What can be done with dead letters.
#[derive(Debug, Subcommand)]
pub enum DlqCommand {
    /// List the dead letters, the newest last; copies that a crash left behind are shown as one.
    List {
        /// Which.
        #[command(flatten)]
        which: Filter,
        /// At most so many, the newest.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Show one dead letter whole.
    Show {
        /// PARTITION:OFFSET, as `list` shows it.
        place: Place,
    },
    /// Put dead letters back into the log, one attempt more in their header.
    Retry {
        /// PARTITION:OFFSET of one of them.
        #[arg(required_unless_present = "all", conflicts_with = "all")]
        place: Option<Place>,
        /// All that have not been put back yet.
        #[arg(long)]
        all: bool,
        /// Of these only.
        #[command(flatten)]
        which: Filter,
        /// Also those that were put back already, or 5 times before, or that only the search index refused. Outside of the engine's dedupe window an event
        /// can be counted twice by this.
        #[arg(long)]
        force: bool,
    },
}

/// Which dead letters.
#[derive(Clone, Debug, Default, Args)]
pub struct Filter {
    /// Of this project only.
    #[arg(long)]
    pub project: Option<String>,
    /// Of this stage only: decode, incident, project, quarantine, flush or index.
    #[arg(long)]
    pub stage: Option<String>,
}

impl Filter {
    fn takes(&self, letter: &Letter) -> bool {
        let is = |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.project, &letter.key) && is(&self.stage, &letter.stage)
    }
}

/// Where the dead letters are.
#[derive(Clone, Debug)]
pub struct DeadLetterTopic {
    /// How to reach the log.
    pub kafka: ClientConfig,
    /// The topic's name.
    pub topic: String,
}

/// Does what the command says and writes for a person to `out`.
///
/// # Errors
/// A sentence for that person: there is no such letter, it may not be put back, or the log does not answer.
pub async fn run(command: DlqCommand, log: &DeadLetterTopic, out: &mut impl Write) -> anyhow::Result<()> {
    match command {
        DlqCommand::List { which, limit, json } => {
            let letters: Vec<Letter> = index(log).await?.into_iter().filter(|letter| which.takes(letter)).collect();
            list(letters.get(letters.len().saturating_sub(limit)..).unwrap_or_default(), letters.len(), json, out)
        }
        DlqCommand::Show { place } => {
            let text = blocking(log, move |log| show(&log, place)).await?;
            Ok(out.write_all(text.as_bytes())?)
        }
        DlqCommand::Retry { place, all: _, which, force } => {
            let chosen = choose(index(log).await?, place, &which, force, out)?;
            put_back(log, chosen, out).await
        }
    }
}

/// Every letter once, in the order of their places.
async fn index(log: &DeadLetterTopic) -> anyhow::Result<Vec<Letter>> {
    blocking(log, |log| {
        let (mut letters, mut retried) = (HashMap::new(), HashSet::new());
        reader::scan(&log.kafka, &log.topic, &mut |message| {
            match letter::read(message) {
                Some(Entry::Letter(letter)) => {
                    // Engine and indexers may each have given the same record up.
                    let place = (letter.origin.clone(), letter.stage == COUNTED_STAGE);
                    letters.entry(place).or_insert(letter);
                }
                Some(Entry::Retried(origin)) => drop(retried.insert(origin)),
                None => {}
            }
            Ok(ControlFlow::Continue(()))
        })?;
        let mut letters: Vec<Letter> = letters.into_values().collect();
        for letter in &mut letters {
            letter.is_retried = retried.contains(&letter.origin);
        }
        letters.sort_by_key(|letter| (letter.written_at, letter.place));
        Ok(letters)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    log: &DeadLetterTopic,
    read: impl FnOnce(DeadLetterTopic) -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let log = log.clone();
    tokio::task::spawn_blocking(move || read(log)).await.context("the reader of the log panicked")?
}

fn list(letters: &[Letter], found: usize, json: bool, out: &mut impl Write) -> anyhow::Result<()> {
    if json {
        for letter in letters {
            writeln!(out, "{}", serde_json::to_string(letter)?)?;
        }
        return Ok(());
    }
    let heading = ["PLACE", "ORIGIN", "STAGE", "RETRIES", "STATE", "KEY", "REASON"];
    row(out, heading)?;
    for letter in letters {
        let state = if letter.is_retried { "put back" } else { "waiting" };
        let (place, origin, retries) =
            (letter.place.to_string(), letter.origin.to_string(), letter.retries.to_string());
        let reason = letter.reason.lines().next().unwrap_or_default();
        row(out, [&place, &origin, &letter.stage, &retries, state, &letter.key, reason])?;
    }
    writeln!(out, "{} of {found} dead letters", letters.len())?;
    Ok(())
}

fn row(out: &mut impl Write, cells: [&str; 7]) -> std::io::Result<()> {
    let [place, origin, stage, retries, state, key, reason] = cells;
    writeln!(out, "{place:<10} {origin:<28} {stage:<10} {retries:<7} {state:<8} {key:<20} {reason}")
}

fn show(log: &DeadLetterTopic, place: Place) -> anyhow::Result<String> {
    let mut text = String::new();
    reader::one(&log.kafka, &log.topic, place, &mut |message| {
        text = whole_text(place, message);
        Ok(())
    })?;
    Ok(text)
}

fn whole_text(place: Place, message: &BorrowedMessage<'_>) -> String {
    let lossy = |bytes: Option<&[u8]>| String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned();
    let mut lines = vec![format!("place  {place}"), format!("key    {}", lossy(message.key()))];
    for header in message.headers().iter().flat_map(|headers| headers.iter()) {
        lines.push(format!("{}: {}", header.key, lossy(header.value)));
    }
    let payload = message.payload().unwrap_or_default();
    let pretty = serde_json::from_slice::<serde_json::Value>(payload).ok();
    let pretty = pretty.and_then(|value| serde_json::to_string_pretty(&value).ok());
    lines.extend([String::new(), pretty.unwrap_or_else(|| lossy(Some(payload))), String::new()]);
    lines.join("\n")
}

/// The letters to put back, by place. One that was asked for by its place must be fit for it; of many, those that are
/// not are counted and left.
fn choose(
    letters: Vec<Letter>,
    place: Option<Place>,
    which: &Filter,
    force: bool,
    out: &mut impl Write,
) -> anyhow::Result<HashMap<Place, Letter>> {
    if let Some(place) = place {
        let Some(letter) = letters.into_iter().find(|letter| letter.place == place) else {
            bail!("there is no dead letter at {place}; of copies only the first is listed");
        };
        ensure!(
            letter.is_whole,
            "the letter at {place} holds no value, which was too large for it; the record stands at {} only",
            letter.origin
        );
        ensure!(force || !letter.is_retried, "the letter at {place} has been put back already; --force does it again");
        ensure!(
            force || letter.stage != COUNTED_STAGE,
            "the event at {place} is counted; only the search index refused it. --force puts it back, and it may count twice"
        );
        ensure!(
            force || letter.retries < MOST_RETRIES,
            "the letter at {place} has been put back {} times before; --force does it again",
            letter.retries
        );
        return Ok(HashMap::from([(place, letter)]));
    }
    let may_go = |letter: &Letter| force || (!letter.is_retried && letter.stage != COUNTED_STAGE);
    let (wanted, hollow): (Vec<_>, Vec<_>) = letters
        .into_iter()
        .filter(|letter| which.takes(letter) && may_go(letter))
        .partition(|letter: &Letter| letter.is_whole);
    if !hollow.is_empty() {
        writeln!(out, "{} letters hold no value, which was too large for them, and stay", hollow.len())?;
    }
    let (chosen, tired): (Vec<_>, Vec<_>) =
        wanted.into_iter().partition(|letter: &Letter| force || letter.retries < MOST_RETRIES);
    if !tired.is_empty() {
        writeln!(
            out,
            "{} letters were put back {MOST_RETRIES} times before and stay; --force takes them too",
            tired.len()
        )?;
    }
    Ok(chosen.into_iter().map(|letter| (letter.place, letter)).collect())
}

/// Reads the chosen ones again, with their bytes, and puts each back.
async fn put_back(
    log: &DeadLetterTopic,
    mut chosen: HashMap<Place, Letter>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let (send, wholes) = mpsc::channel::<Whole>(ON_THE_WAY);
    let wanted = chosen.len();
    let reading = blocking(log, move |log| {
        reader::scan(&log.kafka, &log.topic, &mut |message| {
            let place = Place { partition: message.partition(), offset: message.offset() };
            if let Some(letter) = chosen.remove(&place) {
                let bytes = |part: Option<&[u8]>| part.unwrap_or_default().to_vec();
                let whole = Whole { letter, key: bytes(message.key()), payload: bytes(message.payload()) };
                if send.blocking_send(whole).is_err() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(if chosen.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    });
    let returns = Returns::new(&log.kafka, &log.topic)?;
    let (read, done) = tokio::join!(reading, put_each_back(wholes, &returns, out));
    let done = done?;
    read?;
    writeln!(out, "{done} of {wanted} dead letters are back in the log")?;
    Ok(())
}

/// Many at once, handed over in order. After the first failure no more are begun. Owns the channel, so that the reader
/// notices when this gives up.
async fn put_each_back(
    wholes: mpsc::Receiver<Whole>,
    returns: &Returns,
    out: &mut impl Write,
) -> anyhow::Result<usize> {
    let is_open = Cell::new(true);
    let waiting = stream::unfold(wholes, async |mut wholes| {
        let next = if is_open.get() { wholes.recv().await } else { None };
        next.map(|whole| (whole, wholes))
    });
    let put_back = async |whole: Whole| (returns.put_back(&whole).await, whole);
    let mut under_way = pin!(waiting.map(put_back).buffered(ON_THE_WAY));
    let (mut done, mut failure) = (0, None);
    while let Some((put_back, whole)) = under_way.next().await {
        match put_back {
            Ok(now) => {
                done += 1;
                let attempt = whole.letter.retries.saturating_add(1);
                writeln!(out, "{} is back in the log at {now}, attempt {attempt}", whole.letter.place)?;
            }
            Err(error) => {
                is_open.set(false);
                failure.get_or_insert(error);
            }
        }
    }
    failure.map_or(Ok(done), |error| Err(error.context(format!("{done} dead letters are back in the log, others not"))))
}
