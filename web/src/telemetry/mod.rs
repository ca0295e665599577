//! What this process tells about itself while it runs: log lines, and spans for whoever collects them.
//!
//! Log lines go to stderr, so that stdout is for what a person asked for. Spans go where the standard `OTEL_*`
//! variables say, if they say so and the feature `otlp` is on; the two know nothing of each other.

#[cfg(feature = "otlp")]
mod otlp;

use std::fmt;
use std::io::IsTerminal;
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

/// Our own words; of the libraries only what goes wrong.
const DEFAULT_FILTER: &str = "warn,signals=info,web=info,actors=info,schema=info,embedded=info,traffic=info,rdkafka=off,librdkafka=error,tansu_storage::lite=off";

/// The value of a variable.
pub type Variables<'a> = &'a dyn Fn(&str) -> Option<String>;

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// The form of log lines; `SIGNALS_LOG_FORMAT`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Format {
    /// One line for a person.
    #[default]
    Text,
    /// Several lines for a person with time to read.
    Pretty,
    /// One object a line for a machine.
    Json,
}

impl Format {
    fn of(word: Option<&str>) -> Result<Self, String> {
        match word.unwrap_or_default() {
            "" | "text" => Ok(Self::Text),
            "pretty" => Ok(Self::Pretty),
            "json" => Ok(Self::Json),
            other => Err(format!("SIGNALS_LOG_FORMAT must be text, pretty or json, not '{other}'")),
        }
    }
}

/// To be kept until the process ends: what was not told yet is told at [`Telemetry::end`].
#[must_use]
#[derive(Default)]
pub struct Telemetry {
    #[cfg(feature = "otlp")]
    spans: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// Begins as the environment says: `SIGNALS_LOG` (which lines), `SIGNALS_LOG_FORMAT` and `OTEL_*`.
///
/// # Errors
/// A sentence that names the variable.
pub fn begin() -> anyhow::Result<Telemetry> {
    begin_as(&|name| std::env::var(name).ok())
}

/// Begins as these variables say.
///
/// # Errors
/// A sentence that names the variable.
pub fn begin_as(variable: Variables<'_>) -> anyhow::Result<Telemetry> {
    let mut layers = vec![lines(variable)?];
    let telemetry = spans(variable, &mut layers)?;
    tracing_subscriber::registry().with(layers).try_init()?;
    Ok(telemetry)
}

fn lines(variable: Variables<'_>) -> anyhow::Result<Boxed> {
    let format = Format::of(variable("SIGNALS_LOG_FORMAT").as_deref()).map_err(anyhow::Error::msg)?;
    let directives = variable("SIGNALS_LOG").filter(|directives| !directives.is_empty());
    let filter = EnvFilter::try_new(directives.as_deref().unwrap_or(DEFAULT_FILTER))
        .map_err(|error| anyhow::anyhow!("SIGNALS_LOG is no filter: {error}"))?;
    // Spans for export cost nothing where nobody exports them, whatever the filter says.
    let filter = filter.and(filter_fn(|about| about.target() != schema::trace::spans::TARGET));
    let lines =
        tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    Ok(match format {
        Format::Text => lines.with_filter(filter).boxed(),
        Format::Pretty => lines.pretty().with_filter(filter).boxed(),
        Format::Json => lines.json().with_filter(filter).boxed(),
    })
}

#[cfg(feature = "otlp")]
fn spans(variable: Variables<'_>, layers: &mut Vec<Boxed>) -> anyhow::Result<Telemetry> {
    let spans = otlp::provider(variable)?;
    layers.extend(spans.as_ref().map(otlp::layer));
    Ok(Telemetry { spans })
}

#[cfg(not(feature = "otlp"))]
fn spans(_: Variables<'_>, _: &mut Vec<Boxed>) -> anyhow::Result<Telemetry> {
    Ok(Telemetry::default())
}

impl Telemetry {
    /// Sends the spans that wait, for at most five seconds.
    pub fn end(self) {
        #[cfg(feature = "otlp")]
        if let Some(spans) = self.spans
            && let Err(error) = spans.shutdown_with_timeout(std::time::Duration::from_secs(5))
        {
            tracing::warn!(%error, "the last spans were not sent");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_lines_is_one_of_three_words() {
        assert_eq!(
            [None, Some(""), Some("text")].map(Format::of),
            [Ok(Format::Text), Ok(Format::Text), Ok(Format::Text)]
        );
        assert_eq!([Some("json"), Some("pretty")].map(Format::of), [Ok(Format::Json), Ok(Format::Pretty)]);
        assert!(Format::of(Some("xml")).is_err_and(|sentence| sentence.contains("SIGNALS_LOG_FORMAT")));
    }
}
