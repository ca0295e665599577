//! The `signals` program: one binary, roles as subcommands.

use anyhow::Context;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use web::ai::AiCommand;
use web::config::{SignalsConfig, section};
use web::dlq::{DeadLetterTopic, DlqCommand};
use web::keys::KeysCommand;
use web::producer::LogWriter;
use web::quarantine::QuarantineCommand;
use web::run::{self, Role};
use web::stack::{Stack, known_key, seed_key};
use web::telemetry;
use web::top::TopArgs;

#[derive(Debug, Parser)]
#[command(
    name = "signals",
    version,
    about = "Groups your applications' errors into incidents and counts each exactly once"
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything in this process (the default); log, database and search are embedded unless the environment names them.
    Up,
    /// Take events in over HTTP.
    Ingest,
    /// Show incidents over HTTP.
    Core,
    /// Read the log and keep the incidents.
    Engine,
    /// Write the incidents' summaries.
    AiWorker,
    /// Read the log and keep the search index.
    Indexer,
    /// Run several roles in one process: `signals run ingest,core`.
    Run {
        /// Which.
        #[arg(value_delimiter = ',', required = true)]
        roles: Vec<Role>,
    },
    /// Bring the schema of the database up to date.
    Migrate,
    /// Make the demo organisation, project and key.
    Seed,
    /// API keys.
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Dead letters: records that nobody could handle.
    #[command(subcommand)]
    Dlq(DlqCommand),
    /// Fingerprints whose records are not tried any more.
    #[command(subcommand)]
    Quarantine(QuarantineCommand),
    /// Summaries.
    #[command(subcommand)]
    Ai(AiCommand),
    /// Send synthetic events; with --verify, prove that each was counted.
    Traffic(traffic::TrafficArgs),
    /// Send recorded events again.
    Replay(traffic::ReplayArgs),
    /// Watch the engine's actors in the terminal: q ends.
    Top(TopArgs),
}

#[actix_web::main]
async fn main() -> ExitCode {
    let ended = match telemetry::begin() {
        Ok(telemetry) => {
            arm_failpoints();
            let ended = run_command().await;
            telemetry.end();
            ended
        }
        Err(error) => Err(error),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("signals: {error:#}");
        ExitCode::FAILURE
    })
}

async fn run_command() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command.unwrap_or(Command::Up) {
        Command::Up => run::up().await?,
        Command::Ingest => run::roles(&[Role::Ingest]).await?,
        Command::Core => run::roles(&[Role::Core]).await?,
        Command::Engine => run::roles(&[Role::Engine]).await?,
        Command::AiWorker => run::roles(&[Role::AiWorker]).await?,
        Command::Indexer => run::roles(&[Role::Indexer]).await?,
        Command::Run { roles } => run::roles(&roles).await?,
        Command::Migrate => run::migrate(Stack::named()?.database).await?,
        Command::Seed => seed().await?,
        Command::Keys(command) => {
            let database = schema::database::pool(&Stack::found_database()?, 1)?;
            web::keys::run(command, &database, &mut std::io::stdout()).await?;
        }
        Command::Dlq(command) => {
            let log = DeadLetterTopic { kafka: Stack::found_log()?, topic: schema::names::DLQ_TOPIC.to_owned() };
            web::dlq::run(command, &log, &mut std::io::stdout()).await?;
        }
        Command::Quarantine(command) => {
            let database = schema::database::pool(&Stack::found_database()?, 1)?;
            let log = || Ok(LogWriter::new(Stack::found_log()?, schema::names::RAW_TOPIC)?);
            web::quarantine::run(command, &database, log, &mut std::io::stdout()).await?;
        }
        Command::Ai(AiCommand::Rerun { incident, model }) => {
            let database = schema::database::pool(&Stack::found_database()?, 1)?;
            let rerun = run::rerun(&database, &incident, model.as_deref()).await?;
            web::ai::show_difference(rerun.before.as_ref(), &rerun.after, &mut std::io::stdout())?;
        }
        Command::Traffic(mut arguments) => {
            default_key(&mut arguments.target)?;
            return Ok(told(&traffic::run(arguments).await?));
        }
        Command::Top(mut arguments) => {
            if arguments.key.is_none() {
                arguments.key = known_key(&section("SIGNALS_")?).map(Into::into);
            }
            web::top::run(arguments, &mut std::io::stdout()).await?;
        }
        Command::Replay(mut arguments) => {
            default_key(&mut arguments.target)?;
            return Ok(told(&traffic::replay(arguments).await?));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The debug switch of the tests.
fn arm_failpoints() {
    #[cfg(feature = "failpoints")]
    if std::env::var_os("SIGNALS_FAILPOINTS").is_some() {
        tracing::warn!("failpoints are armed: events can make actors panic");
        actors::failpoint::arm();
    }
}

async fn seed() -> anyhow::Result<()> {
    let config: SignalsConfig = section("SIGNALS_")?;
    let stack = Stack::named()?;
    let key = seed_key(&config)?;
    run::migrate(stack.database.clone()).await?;
    let database = schema::database::pool(&stack.database, 1)?;
    schema::seed::seed_demo(&mut *database.get().await?, &key).await.context("cannot seed the demo project")?;
    println!("the demo project proj_demo is there; its key is {key}");
    Ok(())
}

fn told(outcome: &traffic::Outcome) -> ExitCode {
    println!("{outcome}");
    outcome.exit_code()
}

/// Without a key of its own, traffic takes the demo key of the data folder.
fn default_key(target: &mut traffic::TargetArgs) -> anyhow::Result<()> {
    if target.key.is_none() {
        let config: SignalsConfig = section("SIGNALS_")?;
        target.key = known_key(&config).map(Into::into);
    }
    Ok(())
}
