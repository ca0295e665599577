//! The recorder behind every handle of this process, and the route that shows what it holds.

use super::begin;
use actix_web::{HttpResponse, get, web};
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use schema::database::Database;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;
use utoipa_actix_web::service_config::ServiceConfig;

/// The exposition format that every Prometheus reads.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
/// Bounds of a histogram's buckets, in seconds.
const SECONDS: &[f64] = &[
    0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 3_600.0,
];
/// The same, in things.
const THINGS: &[f64] = &[1.0, 10.0, 100.0, 1_000.0, 5_000.0, 10_000.0, 25_000.0, 50_000.0, 100_000.0];
/// How often single observations become counts of buckets; until then each takes memory.
const UPKEEP: Duration = Duration::from_secs(1);

static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// Why nothing can be measured.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// The exporter's reason; another recorder was there before, say.
    #[error("metrics cannot be recorded: {0}")]
    Recorder(#[from] BuildError),
    /// The thread that keeps the histograms small.
    #[error("metrics cannot be kept: {0}")]
    Thread(#[from] std::io::Error),
}

/// Shows the metrics of this process.
#[derive(Clone)]
pub struct Exporter {
    recorded: PrometheusHandle,
    samplers: Vec<Arc<dyn Fn() + Send + Sync>>,
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("samplers", &self.samplers.len()).finish_non_exhaustive()
    }
}

impl Exporter {
    /// Makes this process measure, from now on. Handles made before do nothing, so call it first; again, it returns
    /// another view of the same recorder.
    ///
    /// # Errors
    /// [`InstallError`].
    pub fn install() -> Result<Self, InstallError> {
        let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
        let recorded = match &*installed {
            Some(recorded) => recorded.clone(),
            None => installed.insert(install()?).clone(),
        };
        Ok(Self { recorded, samplers: Vec::new() })
    }

    /// Calls `sample` each time before metrics are shown, for gauges that nobody keeps up to date otherwise.
    #[must_use]
    pub fn sample(mut self, sample: impl Fn() + Send + Sync + 'static) -> Self {
        self.samplers.push(Arc::new(sample));
        self
    }

    /// Shows how the connections of this pool are used.
    #[must_use]
    pub fn sample_database(self, database: Database) -> Self {
        self.sample(move || {
            let pool = database.status();
            let states = [("in_use", pool.size.saturating_sub(pool.available)), ("idle", pool.available)];
            for (state, connections) in states.into_iter().chain([("most", pool.max_size)]) {
                super::database_connections(state).set(figure(connections));
            }
            super::database_waiting().set(figure(pool.waiting));
        })
    }

    /// Everything, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.samplers.iter().for_each(|sample| sample());
        self.recorded.render()
    }
}

fn figure(things: usize) -> f64 {
    f64::from(u32::try_from(things).unwrap_or(u32::MAX))
}

fn install() -> Result<PrometheusHandle, InstallError> {
    let things = |unit: &str| Matcher::Suffix(unit.to_owned());
    let recorded = PrometheusBuilder::new()
        .set_buckets(SECONDS)?
        .set_buckets_for_metric(things("_records"), THINGS)?
        .set_buckets_for_metric(things("_rows"), THINGS)?
        .install_recorder()?;
    begin();
    let kept = recorded.clone();
    thread::Builder::new().name("signals-metrics".to_owned()).spawn(move || {
        loop {
            thread::park_timeout(UPKEEP);
            kept.run_upkeep();
        }
    })?;
    Ok(recorded)
}

/// What this process measures, in Prometheus' text format.
#[utoipa::path(tag = "health", responses(
    (status = 200, description = "The metrics.", content_type = "text/plain", body = String)
))]
#[get("/metrics")]
async fn metrics(exporter: web::Data<Exporter>) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(PROMETHEUS_TEXT)
        .insert_header(("Cache-Control", "no-store"))
        .body(exporter.render())
}

/// The route, for [`actix_web::App::configure`].
pub fn routes(exporter: Exporter) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config.app_data(web::Data::new(exporter));
        services(&mut ServiceConfig::new(config));
        crate::openapi::refuse_other_methods(config, services);
    }
}

/// The route without what it shows; [`crate::openapi`] describes what is registered here.
pub fn services(config: &mut ServiceConfig<'_>) {
    config.service(metrics);
}
