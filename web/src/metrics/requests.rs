//! Rate, errors and duration of HTTP requests.
//!
//! The handles of a route are looked up once a thread; a request then costs a hash of its path and three counts.

use super::{http_duration, http_in_flight, http_requests};
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpRequest};
use schema::instrument::{Counter, Gauge, Histogram};
use std::cell::RefCell;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The route of a request that has none.
const UNMATCHED: &str = "unmatched";

/// The answers of one method with one status.
struct Answers {
    method: &'static str,
    status: StatusCode,
    requests: Counter,
    duration: Histogram,
}

/// One worker's handles, by pattern.
#[derive(Default)]
struct Meters {
    routes: HashMap<String, Vec<Answers>>,
    in_flight: Option<Gauge>,
}

thread_local! {
    static METERS: RefCell<Meters> = RefCell::default();
}

/// Middleware for `App::wrap(actix_web::middleware::from_fn(measure))`; put it outermost (wrap it last), so that it sees the
/// final status.
///
/// # Errors
/// Those of the inner services, unchanged.
pub async fn measure<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let (began, method) = (Instant::now(), method_name(request.method()));
    let _under_way = UnderWay::begin();
    let answered = next.call(request).await;
    match &answered {
        Ok(response) => note(response.request(), method, response.status(), began.elapsed()),
        Err(error) => note_route(UNMATCHED, method, error.as_response_error().status_code(), began.elapsed()),
    }
    answered
}

/// Counts itself among the requests under way, also of a client that hangs up.
struct UnderWay(Gauge);

impl UnderWay {
    fn begin() -> Self {
        let gauge = METERS.with_borrow_mut(|meters| meters.in_flight.get_or_insert_with(http_in_flight).clone());
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

fn note(request: &HttpRequest, method: &'static str, status: StatusCode, took: Duration) {
    // The patterns of most routes are their paths; to ask which pattern matches costs more than all the rest.
    if METERS.with_borrow(|meters| meters.routes.contains_key(request.path())) {
        note_route(request.path(), method, status, took);
    } else {
        note_route(request.match_pattern().as_deref().unwrap_or(UNMATCHED), method, status, took);
    }
}

fn note_route(route: &str, method: &'static str, status: StatusCode, took: Duration) {
    METERS.with_borrow_mut(|meters| {
        let known = match meters.routes.get_mut(route) {
            Some(known) => known,
            None => meters.routes.entry(route.to_owned()).or_default(),
        };
        let is_same = |answers: &&Answers| answers.method == method && answers.status == status;
        if let Some(answers) = known.iter().find(is_same) {
            answers.note(took);
            return;
        }
        let requests = http_requests(route, method, status.as_u16());
        let answers = Answers { method, status, requests, duration: http_duration(route, method) };
        answers.note(took);
        known.push(answers);
    });
}

impl Answers {
    fn note(&self, took: Duration) {
        self.requests.increment(1);
        self.duration.record(took);
    }
}

/// A client may send any word as a method; as a label it is one of few.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "HEAD" => "HEAD",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::exporter::{Exporter, routes};
    use super::*;
    use crate::error::problem_defaults;
    use crate::request_id::request_id;
    use actix_web::{App, HttpResponse, middleware::from_fn, test, web};

    #[actix_web::test]
    async fn requests_are_told_by_pattern_method_and_status_and_never_by_what_a_client_invents() {
        let exporter = Exporter::install().unwrap();
        let fine = || async { HttpResponse::Ok().json(1) };
        let app = test::init_service(
            App::new()
                .configure(problem_defaults)
                .configure(routes(exporter))
                .service(web::resource("/thing/{id}").route(web::get().to(fine)))
                .service(web::resource("/json").route(web::post().to(|_: web::Json<u8>| async { "fine" })))
                .wrap(from_fn(request_id))
                .wrap(from_fn(measure)),
        )
        .await;
        for (method, path) in [
            ("GET", "/thing/1"),
            ("GET", "/thing/2"),
            ("GET", "/thing/%7Bid%7D"),
            ("BREW", "/thing/1"),
            ("POST", "/json"),
            ("GET", "/nowhere/at/all"),
        ] {
            let request = test::TestRequest::default().method(method.parse().unwrap()).uri(path).to_request();
            let _ = test::call_service(&app, request).await;
        }
        let response = test::call_service(&app, test::TestRequest::get().uri("/metrics").to_request()).await;
        let kind = response.headers().get("content-type").unwrap().to_str().unwrap().to_owned();
        assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
        let text = String::from_utf8(test::read_body(response).await.to_vec()).unwrap();
        for line in [
            r#"signals_http_requests_total{route="/thing/{id}",method="GET",status="200"} 3"#,
            r#"signals_http_requests_total{route="/thing/{id}",method="other",status="405"} 1"#,
            r#"signals_http_requests_total{route="/json",method="POST",status="415"} 1"#,
            r#"signals_http_requests_total{route="unmatched",method="GET",status="404"} 1"#,
            r#"signals_http_request_duration_seconds_count{route="/thing/{id}",method="GET"} 3"#,
            "signals_http_in_flight_requests 1",
            "# TYPE signals_http_request_duration_seconds histogram",
            "# HELP signals_http_in_flight_requests HTTP requests being answered now.",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
