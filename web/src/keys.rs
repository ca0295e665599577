//! `signals keys`: API keys for those who run Signals. A key is shown once, when it is made.

use anyhow::{Context, bail};
use clap::Subcommand;
use diesel::result::{DatabaseErrorKind, Error};
use rand::RngExt;
use rand::distr::Alphanumeric;
use schema::database::Database;
use schema::keys::{ApiKey, NewKey, Scope, create, hash_key, list, revoke, shown_prefix};
use std::io::Write;
use ulid::Ulid;

/// Random characters of a key, each one of 62: 238 bits.
const RANDOM_CHARS: usize = 40;

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a key and show it, this once.
    Create {
        /// Project that the key speaks for.
        #[arg(long)]
        project: String,
        /// Name of the key, for people.
        #[arg(long, default_value = "")]
        name: String,
        /// What it may do: ingest, read, write, admin, operator.
        #[arg(long, value_delimiter = ',', default_value = "ingest")]
        scopes: Vec<Scope>,
    },
    /// List the keys; none is shown beyond its beginning.
    List {
        /// Of this project only.
        #[arg(long)]
        project: Option<String>,
    },
    /// Make a key worthless; effective everywhere within 5 seconds.
    Revoke {
        /// Id of the key, as `list` shows it.
        id: String,
    },
}

/// A new key: `sig_` and 40 random letters and digits. It cannot be guessed and is kept nowhere.
pub fn generate_key() -> String {
    let random = rand::rng().sample_iter(Alphanumeric).take(RANDOM_CHARS).map(char::from);
    "sig_".chars().chain(random).collect()
}

/// Does what the command says and writes for a person to `out`.
///
/// # Errors
/// A sentence for that person: there is no such project or key, or the database does not answer.
pub async fn run(command: KeysCommand, database: &Database, out: &mut impl Write) -> anyhow::Result<()> {
    let mut connection = database.get().await.context("cannot reach the database")?;
    match command {
        KeysCommand::Create { project, name, scopes } => {
            let key = generate_key();
            let id = format!("key_{}", Ulid::generate());
            let new = NewKey {
                id: &id,
                project_id: &project,
                name: &name,
                prefix: &shown_prefix(&key),
                key_hash: &hash_key(&key),
                scopes: &scopes,
            };
            match create(&mut connection, &new).await {
                Err(Error::DatabaseError(DatabaseErrorKind::ForeignKeyViolation, _)) => {
                    bail!("there is no project {project}")
                }
                made => made.context("cannot keep the key")?,
            }
            writeln!(out, "{key}")?;
            writeln!(out, "id {id}, project {project}, scopes {}", words(&scopes))?;
            writeln!(out, "Keep the key now: it is not shown again.")?;
        }
        KeysCommand::List { project } => {
            let keys = list(&mut connection, project.as_deref()).await.context("cannot read the keys")?;
            table(&keys, out)?;
        }
        KeysCommand::Revoke { id } => {
            if !revoke(&mut connection, &id).await.context("cannot revoke the key")? {
                bail!("there is no key {id}");
            }
            writeln!(out, "{id} is revoked")?;
        }
    }
    Ok(())
}

fn table(keys: &[ApiKey], out: &mut impl Write) -> std::io::Result<()> {
    let row = |out: &mut dyn Write, cells: [&str; 6]| {
        let [id, project, scopes, state, used, name] = cells;
        writeln!(out, "{id:<32} {project:<20} {scopes:<32} {state:<24} {used:<20} {name}")
    };
    row(out, ["ID", "PROJECT", "SCOPES", "STATE", "LAST USED", "NAME"])?;
    for key in keys {
        let day = "%Y-%m-%d %H:%M";
        let state = key.revoked_at.map_or("good".to_owned(), |at| format!("revoked {}", at.format(day)));
        let used = key.last_used_at.map_or("never".to_owned(), |at| at.format(day).to_string());
        let name = format!("{} ({}...)", key.name, key.prefix);
        row(out, [&key.id, &key.project_id, &words(&key.scopes), &state, &used, name.trim_start()])?;
    }
    Ok(())
}

fn words(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| scope.as_str()).collect::<Vec<_>>().join(",")
}
