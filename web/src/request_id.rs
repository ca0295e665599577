//! The id of a request: in the header `x-request-id` and in every refusal.

use crate::error::{PROBLEM_JSON, Problem};
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest incoming id that is kept, in bytes.
const LONGEST: usize = 128;

/// Middleware for `App::wrap(actix_web::middleware::from_fn(request_id))`; put it outermost (wrap it last).
///
/// Keeps an incoming id of 1 to 128 letters, digits, `-`, `_`, `.` or `:`, else makes a ULID.
///
/// # Errors
/// Those of the inner services, with the id filled in if they are a [`Problem`].
pub async fn request_id(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    let id = incoming(&request).map_or_else(|| ulid::Ulid::generate().to_string(), str::to_owned);
    let response = match next.call(request).await {
        Ok(response) => response.map_into_boxed_body(),
        Err(error) => return Err(named(problem_of(&error), &id).into()),
    };
    let mut response = if response.status().is_client_error() || response.status().is_server_error() {
        refused(response, &id)
    } else {
        response
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    Ok(response)
}

fn incoming(request: &ServiceRequest) -> Option<&str> {
    let id = request.headers().get(REQUEST_ID)?.to_str().ok()?;
    let sane = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b':');
    ((1..=LONGEST).contains(&id.len()) && id.bytes().all(sane)).then_some(id)
}

/// The refusal in our shape. A handler's own body (a health report that says 503) is left alone.
fn refused(response: ServiceResponse<BoxBody>, id: &str) -> ServiceResponse<BoxBody> {
    let problem = match response.response().error() {
        Some(error) => problem_of(error),
        None if is_bare(&response) => Problem::from_status(response.status()),
        None => return response,
    };
    let problem = named(problem, id);
    let mut fresh = problem.error_response();
    // What the framework said besides, such as Allow with a 405, stays.
    for (name, value) in response.headers() {
        if !fresh.headers().contains_key(name) && name != header::CONTENT_LENGTH {
            fresh.headers_mut().append(name.clone(), value.clone());
        }
    }
    response.into_response(fresh)
}

fn is_bare(response: &ServiceResponse<BoxBody>) -> bool {
    let ours = response.headers().get(header::CONTENT_TYPE).is_some_and(|v| v == PROBLEM_JSON);
    !ours && matches!(response.response().body().size(), BodySize::None | BodySize::Sized(0))
}

fn problem_of(error: &Error) -> Problem {
    if let Some(problem) = error.as_error::<Problem>() {
        return problem.clone();
    }
    let status = error.as_response_error().status_code();
    if status.is_server_error() {
        tracing::error!(cause = %error, status = status.as_u16(), "a request failed inside");
        Problem::from_status(status)
    } else {
        Problem { detail: error.to_string(), ..Problem::from_status(status) }
    }
}

fn named(problem: Problem, id: &str) -> Problem {
    Problem { request_id: Some(id.to_owned()), ..problem }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::error::problem_defaults;
    use actix_web::http::Method;
    use actix_web::{App, HttpResponse, middleware::from_fn, test, web};
    use serde_json::Value;

    async fn answer(method: Method, path: &str, id: Option<&str>) -> (u16, String, Value) {
        let app = test::init_service(
            App::new()
                .configure(problem_defaults)
                .service(web::resource("/ok").route(web::get().to(|| async { HttpResponse::Ok().json(1) })))
                .service(web::resource("/json").route(web::post().to(|_: web::Json<u8>| async { "fine" })))
                .service(web::resource("/boom").route(web::get().to(|| async {
                    Err::<HttpResponse, _>(actix_web::error::ErrorInternalServerError("secret cause"))
                })))
                .wrap(from_fn(request_id)),
        )
        .await;
        let mut request = test::TestRequest::default().method(method).uri(path);
        if let Some(id) = id {
            request = request.insert_header(("x-request-id", id));
        }
        let response = test::call_service(&app, request.to_request()).await;
        let status = response.status().as_u16();
        let id = response.headers().get("x-request-id").unwrap().to_str().unwrap().to_owned();
        let body = test::read_body(response).await;
        (status, id, serde_json::from_slice(&body).unwrap())
    }

    #[actix_web::test]
    async fn a_sane_id_is_kept_and_another_is_replaced() {
        assert_eq!(answer(Method::GET, "/ok", Some("abc-1")).await.1, "abc-1");
        assert_eq!(answer(Method::GET, "/ok", Some("a b<script>")).await.1.len(), 26);
        assert_eq!(answer(Method::GET, "/ok", None).await.1.len(), 26);
    }

    #[actix_web::test]
    async fn every_refusal_of_the_framework_is_a_problem_with_the_id() {
        for (method, path, status, code) in [
            (Method::GET, "/nowhere", 404, "not_found"),
            (Method::DELETE, "/ok", 405, "method_not_allowed"),
            (Method::POST, "/json", 415, "unsupported_media_type"),
            (Method::GET, "/boom", 500, "internal"),
        ] {
            let (got, id, body) = answer(method, path, Some("r1")).await;
            assert_eq!((got, body["code"].as_str().unwrap()), (status, code), "{path}");
            assert_eq!((id.as_str(), body["request_id"].as_str().unwrap()), ("r1", "r1"), "{path}");
            assert!(!body.to_string().contains("secret"), "{path}");
        }
    }
}
