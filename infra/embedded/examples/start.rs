//! Starts both servers on a data folder and keeps them until Ctrl-C: `start FOLDER [CACHE]`.

use embedded::TRACING_DIRECTIVES;
use embedded::data_dir::DataDir;
use embedded::log::EmbeddedLog;
use embedded::postgres::{EmbeddedPostgres, PostgresConfig};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_env_filter(format!("info,{TRACING_DIRECTIVES}")).with_writer(std::io::stderr).init();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let folder = words.first().ok_or("start FOLDER [CACHE]")?;
    let mut config = PostgresConfig::default();
    if let Some(cache) = words.get(1) {
        config.cache_dir = cache.into();
    }
    let begun = Instant::now();
    let data_dir = DataDir::open(Path::new(folder))?;
    let (log, postgres) = tokio::join!(EmbeddedLog::start(&data_dir), EmbeddedPostgres::start(&data_dir, &config));
    let (log, postgres) = (log?, postgres?);
    println!("{} in {}; log at {}", postgres.source(), postgres.folder().display(), log.brokers());
    println!("started in {:?}", begun.elapsed());
    tokio::signal::ctrl_c().await?;
    let begun = Instant::now();
    let (log, postgres) = tokio::join!(log.stop(), postgres.stop());
    println!("stopped in {:?}", begun.elapsed());
    log?;
    postgres?;
    Ok(())
}
