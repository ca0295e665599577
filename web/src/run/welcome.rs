//! What `signals up` says when it is up.

use super::{Role, Running};
use crate::config::SignalsConfig;
use crate::stack::Stack;
use std::fmt::{Error, Write};

/// Where everything is, and what to try first.
pub(super) fn welcome(running: &Running, stack: &Stack, key: &str, config: &SignalsConfig) -> Result<String, Error> {
    let (ingest, core) = (running.url(Role::Ingest), running.url(Role::Core));
    let mut text = String::from("\nSignals is up.\n\n");
    writeln!(text, "  events in  {ingest}/v1/events")?;
    writeln!(text, "  incidents  {core}/v1/incidents   (all of it: {core}/openapi.json)")?;
    writeln!(text, "  engine     {core}/v1/supervision   (or `signals top --url {core}`)")?;
    let kept = match config.named_key() {
        Some(_) => "SIGNALS_SEED_API_KEY".to_owned(),
        None => config.data_dir.join("demo-api-key").display().to_string(),
    };
    writeln!(text, "  demo key   {key}   (from {kept})")?;
    for line in &stack.description {
        writeln!(text, "  {line}")?;
    }
    write!(
        text,
        "\nSend a first error, then look at its incident:\n\n  \
         curl {ingest}/v1/events -H 'X-API-Key: {key}' -H 'Content-Type: application/json' \\\n    \
         -d '{{\"event_type\":\"error\",\"message\":\"card declined\",\"attributes\":{{\"route\":\"/checkout/42\",\"error_code\":\"CARD\"}}}}'\n  \
         curl {core}/v1/incidents -H 'X-API-Key: {key}'\n\n"
    )?;
    Ok(text)
}
