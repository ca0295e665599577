//! Spans over OTLP (HTTP, protobuf), configured by OpenTelemetry's own variables.
//!
//! Read here: whether and where to export, and the protocol. Headers, timeout, sampler, batch sizes and resource
//! attributes are read by the OpenTelemetry crates themselves.

use super::Variables;
use anyhow::Context;
use opentelemetry::trace::TracerProvider;
use opentelemetry::{Key, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use schema::trace::spans::TARGET;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::{Layer, Registry};

/// The provider, if the environment wants spans to be exported.
///
/// # Errors
/// A sentence about the variable that cannot be meant, or the exporter's reason.
pub(super) fn provider(variable: Variables<'_>) -> anyhow::Result<Option<SdkTracerProvider>> {
    let Some(endpoint) = endpoint(variable)? else { return Ok(None) };
    let client = Client::new().context("spans cannot be exported")?;
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(endpoint)
        .build()
        .context("spans cannot be exported as OTEL_EXPORTER_OTLP_* say")?;
    Ok(Some(SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource()).build()))
}

/// Where spans go; nowhere unless a variable says so.
///
/// # Errors
/// A protocol that we do not speak.
fn endpoint(variable: Variables<'_>) -> anyhow::Result<Option<String>> {
    let said = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
    let is_disabled = said("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let is_elsewhere = said("OTEL_TRACES_EXPORTER").is_some_and(|exporter| exporter != "otlp");
    let base = || said("OTEL_EXPORTER_OTLP_ENDPOINT").map(|base| format!("{}/v1/traces", base.trim_end_matches('/')));
    let endpoint = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").or_else(base);
    if is_disabled || is_elsewhere || endpoint.is_none() {
        return Ok(None);
    }
    let protocol = said("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| said("OTEL_EXPORTER_OTLP_PROTOCOL"));
    let protocol = protocol.as_deref().unwrap_or("http/protobuf");
    anyhow::ensure!(
        protocol == "http/protobuf",
        "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf (port 4318 by custom), not '{protocol}'"
    );
    Ok(endpoint)
}

/// Who we are, unless `OTEL_SERVICE_NAME` or `OTEL_RESOURCE_ATTRIBUTES` say otherwise.
fn resource() -> Resource {
    let said = Resource::builder().build();
    let name = said.get(&Key::from_static_str("service.name")).map(|name| name.to_string());
    let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let ours = Resource::builder().with_attribute(version);
    match name {
        Some(name) if !name.starts_with("unknown_service") => ours.build(),
        _ => ours.with_service_name("signals").build(),
    }
}

/// Exports our spans, and what we log as going wrong inside them.
pub(super) fn layer(provider: &SdkTracerProvider) -> super::Boxed {
    let layer = tracing_opentelemetry::layer::<Registry>()
        .with_tracer(provider.tracer("signals"))
        .with_threads(false)
        .with_tracked_inactivity(false);
    layer.with_filter(filter_fn(is_exported)).boxed()
}

fn is_exported(about: &Metadata<'_>) -> bool {
    match about.is_span() {
        true => about.target() == TARGET,
        false => *about.level() <= Level::WARN,
    }
}

/// The way to the collector. It blocks, since the exporter has a thread of its own and no runtime.
#[derive(Debug)]
struct Client(reqwest::blocking::Client);

impl Client {
    /// On a thread of its own, because a blocking client cannot be made inside a runtime.
    fn new() -> anyhow::Result<Self> {
        let made = std::thread::spawn(|| reqwest::blocking::Client::builder().timeout(TIMEOUT).build()).join();
        let client = made.map_err(|_| anyhow::anyhow!("the HTTP client's thread panicked"))??;
        Ok(Self(client))
    }
}

/// A collector that is slower makes spans get lost, never requests wait.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(10);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let answer = self.0.execute(request.try_into()?)?;
        let response = Response::builder().status(answer.status());
        Ok(response.body(answer.bytes()?)?)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn asked(variables: &[(&str, &str)]) -> Result<Option<String>, String> {
        let found =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        endpoint(&found).map_err(|error| error.to_string())
    }

    #[test]
    fn spans_are_exported_when_the_standard_variables_say_so() {
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");
        let there = Ok(Some("http://127.0.0.1:4318/v1/traces".to_owned()));
        assert_eq!(asked(&[]), Ok(None));
        assert_eq!(asked(&[base]), there);
        assert_eq!(asked(&[base, ("OTEL_TRACES_EXPORTER", "otlp")]), there);
        let own = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1/x");
        assert_eq!(asked(&[base, own]), Ok(Some("http://127.0.0.1:1/x".to_owned())));
        assert_eq!(asked(&[base, ("OTEL_SDK_DISABLED", "TRUE")]), Ok(None));
        assert_eq!(asked(&[base, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
        assert!(asked(&[base, ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")]).is_err_and(|why| why.contains("grpc")));
    }
}
