//! `signals quarantine`: fingerprints whose records are not tried any more, for those who run Signals.

use crate::ingest::clock::received_now;
use crate::producer::LogWriter;
use anyhow::{Context, bail};
use clap::Subcommand;
use schema::command::{LIFT_QUARANTINE, QuarantineLift};
use schema::database::Database;
use schema::names::SCHEMA_VERSION;
use schema::quarantine::QuarantineRow;
use std::io::Write;
use std::time::Duration;

/// How long the engine may take to obey.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two looks at the database.
const PAUSE: Duration = Duration::from_millis(100);

/// What can be done about quarantines.
#[derive(Debug, Subcommand)]
pub enum QuarantineCommand {
    /// List the quarantined fingerprints.
    List {
        /// Of this project only.
        #[arg(long)]
        project: Option<String>,
        /// Also those that have been lifted.
        #[arg(long)]
        all: bool,
    },
    /// Let a fingerprint's records be counted again. Those in the dead letters stay there: `signals dlq retry` puts
    /// them back.
    Lift {
        /// Its project.
        project: String,
        /// The fingerprint.
        fingerprint: String,
        /// Who says so, for the record.
        #[arg(long, env = "USER", default_value = "operator")]
        by: String,
    },
}

/// Does what the command says and writes for a person to `out`. `log` is called only if something must be told to the
/// engine.
///
/// # Errors
/// A sentence for that person: the fingerprint is not quarantined, the engine does not answer, or a server.
pub async fn run(
    command: QuarantineCommand,
    database: &Database,
    log: impl FnOnce() -> anyhow::Result<LogWriter>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    match command {
        QuarantineCommand::List { project, all } => {
            let mut connection = database.get().await.context("cannot reach the database")?;
            let rows = schema::quarantine::list(&mut connection, project.as_deref(), all).await;
            table(&rows.context("cannot read the quarantines")?, out)
        }
        QuarantineCommand::Lift { project, fingerprint, by } => {
            let lift = lift(project, fingerprint, by);
            log()?.append(&lift.project_id, &serde_json::to_vec(&lift)?, true).await?;
            let answer = tokio::time::timeout(PATIENCE, outcome(database, &lift.command_id)).await;
            match answer.context("the command is in the log, but the engine has not answered yet: does it run?")?? {
                (true, _) => Ok(writeln!(out, "{} is lifted", lift.fingerprint)?),
                (false, detail) => bail!("{}: {detail}", lift.fingerprint),
            }
        }
    }
}

/// The command, new, in the name of `by`.
pub(crate) fn lift(project: String, fingerprint: String, by: String) -> QuarantineLift {
    QuarantineLift {
        schema_version: SCHEMA_VERSION.to_owned(),
        command_id: ulid::Ulid::generate().to_string(),
        kind: LIFT_QUARANTINE.to_owned(),
        project_id: project,
        fingerprint,
        principal: by,
        received_at: received_now(),
    }
}

async fn outcome(database: &Database, command_id: &str) -> anyhow::Result<(bool, String)> {
    loop {
        let mut connection = database.get().await.context("cannot reach the database")?;
        if let Some(row) = schema::incidents::outcome(&mut connection, command_id).await? {
            return Ok((row.applied, row.detail));
        }
        drop(connection);
        tokio::time::sleep(PAUSE).await;
    }
}

fn table(rows: &[QuarantineRow], out: &mut impl Write) -> anyhow::Result<()> {
    let line = |out: &mut dyn Write, cells: [&str; 6]| {
        let [project, fingerprint, since, state, records, reason] = cells;
        writeln!(out, "{project:<20} {fingerprint:<64} {since:<16} {state:<34} {records:<8} {reason}")
    };
    line(out, ["PROJECT", "FINGERPRINT", "SINCE", "STATE", "RECORDS", "REASON"])?;
    for row in rows {
        let day = "%Y-%m-%d %H:%M";
        let state = row.lifted_at.map_or("quarantined".to_owned(), |at| {
            format!("lifted {} by {}", at.format(day), row.lifted_by.as_deref().unwrap_or("time"))
        });
        let (since, records) = (row.since_at.format(day).to_string(), row.records.to_string());
        let reason = row.reason.lines().next().unwrap_or_default();
        line(out, [&row.project_id, &row.fingerprint, &since, &state, &records, reason])?;
    }
    Ok(())
}
