//! The log and the database that start inside the program, so that one person needs one command and no set-up.
//!
//! [`data_dir::DataDir`] is the folder that holds everything and the lock that keeps a second process out;
//! [`postgres::EmbeddedPostgres`] is a private PostgreSQL in a child process; [`log::EmbeddedLog`] is a broker on a
//! thread of this process, spoken to over loopback exactly as a real one. Each takes the [`data_dir::DataDir`], so
//! neither can start without the lock. All of it survives `kill -9` of the process and a loss of power.
//!
//! Nothing here knows what Signals is: it could serve any program that needs a log and a database.

pub mod data_dir;
pub mod file;
pub mod log;
pub mod postgres;
pub mod secret;

/// What a `tracing` filter should say besides its own words, as in `format!("{own},{TRACING_DIRECTIVES}")`.
///
/// At level info the broker's crates log every number of every record that they decode.
pub const TRACING_DIRECTIVES: &str = "tansu_sans_io=error,tansu_service=error,tansu_storage=error,tansu_auth=error,\
                                      tansu_broker=warn,reqwest_retry=error,reqwest_tracing=error";
