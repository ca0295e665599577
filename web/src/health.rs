//! Whether a process is alive, and whether it can work.
//!
//! `/livez` says that the process answers and that what it cannot work without still turns: the poll thread, the threads
//! of the actors. It asks no other server, so that a lost database does not restart it.
//! `/readyz` asks the probes and refuses while the process is ending, so that no new work is sent there.
//! `/healthz` asks the same probes and goes on telling their truth until the end.
//!
//! All three are open to everyone: a probe's words must hold no secret.

mod log;

use actix_web::{HttpResponse, get, web};
use futures_util::future::{BoxFuture, join_all};
use schema::database::Database;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::Mutex;
use utoipa::ToSchema;
use utoipa_actix_web::service_config::ServiceConfig;

/// How long a probe may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// An answer serves everyone who asks within this time: whoever floods these routes does not flood the database.
const FRESH: Duration = Duration::from_millis(500);

/// What a probe found: a word to show, or why it failed.
pub type Verdict = Result<Option<String>, String>;

type Ask = Box<dyn Fn() -> BoxFuture<'static, Verdict> + Send + Sync>;

struct Probe {
    name: &'static str,
    ask: Ask,
}

/// The probes of one process, and whether it still takes work.
#[derive(Clone)]
pub struct Probes {
    readiness: Vec<Arc<Probe>>,
    liveness: Vec<Arc<Probe>>,
    patience: Duration,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_ending: AtomicBool,
    last_readiness: Mutex<Option<(Instant, Report)>>,
    last_liveness: Mutex<Option<(Instant, Report)>>,
}

impl fmt::Debug for Probes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.readiness.iter().chain(&self.liveness).map(|probe| probe.name)).finish()
    }
}

/// What the routes of this module answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Report {
    /// `healthy` or `unhealthy`.
    pub status: &'static str,
    /// What was asked.
    pub checks: Vec<Check>,
}

/// One probe's answer.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Check {
    /// What was asked.
    pub name: &'static str,
    /// `healthy` or `unhealthy`.
    pub status: &'static str,
    /// How long the answer took, in milliseconds.
    pub latency_ms: f64,
    /// What there is to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

impl Default for Probes {
    fn default() -> Self {
        Self { readiness: Vec::new(), liveness: Vec::new(), patience: PATIENCE, shared: Arc::default() }
    }
}

impl Probes {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a probe of readiness. It is asked anew for each report and may take two seconds.
    #[must_use]
    pub fn add<F, A>(mut self, name: &'static str, ask: A) -> Self
    where
        A: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Verdict> + Send + 'static,
    {
        self.readiness.push(probe(name, ask));
        self
    }

    /// Adds a probe of liveness: if it fails, the process is better ended and started again. It must ask nothing outside
    /// of the process, and may take two seconds.
    #[must_use]
    pub fn add_liveness<F, A>(mut self, name: &'static str, ask: A) -> Self
    where
        A: Fn() -> F + Send + Sync + 'static,
        F: Future<Output = Verdict> + Send + 'static,
    {
        self.liveness.push(probe(name, ask));
        self
    }

    /// Adds the probe `postgres`: a connection of the pool answers.
    #[must_use]
    pub fn add_database(self, database: Database) -> Self {
        self.add("postgres", move || {
            let database = database.clone();
            async move {
                // The causes name hosts and users; they are for the log, not for everyone.
                let refused = |error: &dyn fmt::Display| {
                    tracing::warn!(%error, "the database probe failed");
                    "does not answer".to_owned()
                };
                let mut connection = database.get().await.map_err(|error| refused(&error))?;
                schema::health::ping(&mut connection).await.map_err(|error| refused(&error))?;
                Ok(None)
            }
        })
    }

    /// From now on `/readyz` refuses, on every clone. Call it first when the process is told to end, and go on
    /// serving for as long as a load balancer needs to notice.
    pub fn end(&self) {
        self.shared.is_ending.store(true, Ordering::Relaxed);
    }

    /// Asks all probes of readiness at once, or repeats an answer of the last half second.
    pub async fn report(&self) -> Report {
        self.ask(&self.readiness, &self.shared.last_readiness).await
    }

    /// The same for the probes of liveness.
    pub async fn life(&self) -> Report {
        self.ask(&self.liveness, &self.shared.last_liveness).await
    }

    async fn ask(&self, probes: &[Arc<Probe>], last: &Mutex<Option<(Instant, Report)>>) -> Report {
        // Held while asking: those who come meanwhile wait for the same answer.
        let mut last = last.lock().await;
        if let Some((at, report)) = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH) {
            tracing::trace!(age = ?at.elapsed(), "a health report is used again");
            return report.clone();
        }
        let checks = join_all(probes.iter().map(|probe| check(probe, self.patience))).await;
        let is_healthy = checks.iter().all(|check| check.status == HEALTHY);
        let report = Report { status: if is_healthy { HEALTHY } else { UNHEALTHY }, checks };
        *last = Some((Instant::now(), report.clone()));
        report
    }

    async fn readiness(&self) -> Report {
        if self.shared.is_ending.load(Ordering::Relaxed) {
            let detail = Some("this process is ending".to_owned());
            let check = Check { name: "process", status: UNHEALTHY, latency_ms: 0.0, detail };
            return Report { status: UNHEALTHY, checks: vec![check] };
        }
        self.report().await
    }
}

fn probe<F, A>(name: &'static str, ask: A) -> Arc<Probe>
where
    A: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Verdict> + Send + 'static,
{
    Arc::new(Probe { name, ask: Box::new(move || Box::pin(ask())) })
}

async fn check(probe: &Probe, patience: Duration) -> Check {
    let asked = Instant::now();
    let verdict = tokio::time::timeout(patience, (probe.ask)()).await;
    let (status, detail) = match verdict {
        Ok(Ok(detail)) => (HEALTHY, detail),
        Ok(Err(reason)) => (UNHEALTHY, Some(reason)),
        Err(_) => (UNHEALTHY, Some(format!("no answer in {} ms", patience.as_millis()))),
    };
    let latency_ms = (asked.elapsed().as_secs_f64() * 1e6).round() / 1e3;
    Check { name: probe.name, status, latency_ms, detail }
}

fn answer(report: &Report) -> HttpResponse {
    let mut response = if report.status == HEALTHY { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.insert_header(("Cache-Control", "no-store")).json(report)
}

/// Whether the process can work, by all its probes.
#[utoipa::path(tag = "health", responses(
    (status = 200, description = "It can.", body = Report),
    (status = 503, description = "It cannot; the checks say why.", body = Report)
))]
#[get("/healthz")]
async fn healthz(probes: web::Data<Probes>) -> HttpResponse {
    say_health(probes).await
}

/// Whether the process is alive: it answers, and what it cannot work without still turns.
#[utoipa::path(tag = "health", responses(
    (status = 200, description = "It is.", body = Report),
    (status = 503, description = "It is better ended and started again; the checks say why.", body = Report)
))]
#[get("/livez")]
async fn livez(probes: web::Data<Probes>) -> HttpResponse {
    say_life(probes).await
}

/// Whether the process wants work: its probes are content and it is not ending.
#[utoipa::path(tag = "health", responses(
    (status = 200, description = "It does.", body = Report),
    (status = 503, description = "It does not; the checks say why.", body = Report)
))]
#[get("/readyz")]
async fn readyz(probes: web::Data<Probes>) -> HttpResponse {
    say_readiness(probes).await
}

async fn say_health(probes: web::Data<Probes>) -> HttpResponse {
    answer(&probes.report().await)
}

async fn say_life(probes: web::Data<Probes>) -> HttpResponse {
    answer(&probes.life().await)
}

async fn say_readiness(probes: web::Data<Probes>) -> HttpResponse {
    answer(&probes.readiness().await)
}

/// The three routes, for [`actix_web::App::configure`]. Clones of one `Probes` share their answers and their end.
pub fn routes(probes: Probes) -> impl FnOnce(&mut web::ServiceConfig) {
    move |config| {
        config.app_data(web::Data::new(probes));
        services(&mut ServiceConfig::new(config));
        // Balancers like to ask without wanting a body; the server leaves it out by itself.
        config
            .route("/healthz", web::head().to(say_health))
            .route("/livez", web::head().to(say_life))
            .route("/readyz", web::head().to(say_readiness));
        crate::openapi::refuse_other_methods(config, services);
    }
}

/// The routes without their probes; [`crate::openapi`] describes what is registered here.
pub fn services(config: &mut ServiceConfig<'_>) {
    config.service(healthz).service(livez).service(readyz);
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use actix_web::{App, test};
    use serde_json::Value;
    use std::sync::atomic::AtomicUsize;

    async fn ask(probes: &Probes, path: &str) -> (u16, Value) {
        let app = test::init_service(App::new().configure(routes(probes.clone()))).await;
        let response = test::call_service(&app, test::TestRequest::get().uri(path).to_request()).await;
        let status = response.status().as_u16();
        (status, serde_json::from_slice(&test::read_body(response).await).unwrap())
    }

    #[actix_web::test]
    async fn a_failing_probe_makes_the_process_unready_but_leaves_it_alive() {
        let probes = Probes::new()
            .add("log", || async { Ok(Some("3 brokers".to_owned())) })
            .add("postgres", || async { Err("does not answer".to_owned()) });
        for path in ["/readyz", "/healthz"] {
            let (status, body) = ask(&probes, path).await;
            assert_eq!((status, body["status"].as_str().unwrap()), (503, "unhealthy"), "{path}");
            assert_eq!(body["checks"][0]["detail"], "3 brokers");
            assert_eq!(body["checks"][0]["status"], "healthy");
            assert!(body["checks"][0]["latency_ms"].is_number());
            assert_eq!(body["checks"][1]["detail"], "does not answer");
        }
        assert_eq!(ask(&probes, "/livez").await.0, 200);
    }

    #[actix_web::test]
    async fn a_part_that_stands_still_makes_the_process_dead_but_not_unready() {
        let probes = Probes::new()
            .add("postgres", || async { Ok(None) })
            .add_liveness("arbiters", || async { Ok(None) })
            .add_liveness("poll_thread", || async { Err("no round for 31 s".to_owned()) });
        let (status, body) = ask(&probes, "/livez").await;
        assert_eq!((status, body["checks"].as_array().unwrap().len()), (503, 2), "{body}");
        assert_eq!(body["checks"][1]["detail"], "no round for 31 s");
        assert_eq!(ask(&probes, "/readyz").await.0, 200);
    }

    #[actix_web::test]
    async fn a_process_that_ends_is_healthy_but_not_ready() {
        let probes = Probes::new().add("log", || async { Ok(None) });
        assert_eq!(ask(&probes, "/readyz").await.0, 200);
        probes.clone().end();
        let (status, body) = ask(&probes, "/readyz").await;
        assert_eq!((status, body["checks"][0]["name"].as_str().unwrap()), (503, "process"));
        assert_eq!(ask(&probes, "/healthz").await.0, 200);
    }

    #[actix_web::test]
    async fn head_is_answered_like_get_and_another_method_is_not() {
        let probes = Probes::new().add("postgres", || async { Err("does not answer".to_owned()) });
        let app = test::init_service(App::new().configure(routes(probes))).await;
        for (method, path, status) in
            [("HEAD", "/livez", 200), ("HEAD", "/healthz", 503), ("HEAD", "/readyz", 503), ("POST", "/livez", 405)]
        {
            let request = test::TestRequest::default().method(method.parse().unwrap()).uri(path).to_request();
            assert_eq!(test::call_service(&app, request).await.status(), status, "{method} {path}");
        }
    }

    #[actix_web::test]
    async fn a_probe_that_hangs_fails_in_time_and_a_flood_asks_once() {
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        let patience = Duration::from_millis(20);
        let probes = Probes { patience, ..Probes::new() }.add("hangs", move || {
            counter.fetch_add(1, Ordering::Relaxed);
            std::future::pending()
        });
        let reports = join_all((0..50).map(|_| probes.report())).await;
        assert!(reports.iter().all(|report| report.status == UNHEALTHY));
        assert_eq!(reports[0].checks[0].detail.as_deref(), Some("no answer in 20 ms"));
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }
}
