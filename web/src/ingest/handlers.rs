//! The two routes. Both are one: they differ in how the body's text is read.

use super::IngestState;
use super::answer::{Accepted, BatchAccepted, BatchBody, EventBody, Refusals};
use super::body::{Encoding, SMALL_BYTES, decompress, encoding_of, form_of, large_body, read};
use super::clock::received_now;
use super::event::Intake;
use super::limits::BODY_BYTES;
use super::prepare::{Prepared, prepare};
use super::split::Form;
use super::trace::RequestTrace;
use crate::auth::Principal;
use crate::error::Problem;
use crate::metrics::events_refused;
use crate::producer::AppendError;
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::Bytes;
use schema::keys::Scope;
use std::sync::Arc;

/// Seconds after which a client may send again when the log does not take its events.
const COME_BACK: u64 = 2;

/// Takes one event, a JSON array of them, or one event a line (NDJSON).
///
/// Answers once the log has acknowledged the events on all in-sync replicas. An array and lines are answered as a batch.
///
/// # Errors
/// See [`accept`].
#[utoipa::path(
    post,
    path = "/v1/events",
    tag = "ingest",
    request_body(content(
        (EventBody = "application/json"),
        (Vec<EventBody> = "application/json"),
        (String = "application/x-ndjson")
    )),
    responses(
        (status = 202, description = "in the log", body = Accepted),
        Refusals,
    ),
    security(("api_key" = ["ingest"]))
)]
pub async fn post_events(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
) -> Result<HttpResponse, Problem> {
    let trace = RequestTrace::of(&request, "/v1/events");
    let work = async {
        let principal = state.keys.authorize(&request, Scope::Ingest).await?;
        let prepared = take_in(&request, payload, &state, &principal, form_of(&request)?).await;
        append(prepared, &state, &principal, &trace).await
    };
    trace.around(work).await
}

/// Takes 1 to 1000 events. A bad one never sinks the good ones.
///
/// # Errors
/// See [`accept`].
#[utoipa::path(
    post,
    path = "/v1/events/batch",
    tag = "ingest",
    request_body = BatchBody,
    responses(
        (status = 202, description = "those that are named are in the log", body = BatchAccepted),
        Refusals,
    ),
    security(("api_key" = ["ingest"]))
)]
pub async fn post_batch(
    request: HttpRequest,
    payload: web::Payload,
    state: web::Data<IngestState>,
) -> Result<HttpResponse, Problem> {
    let trace = RequestTrace::of(&request, "/v1/events/batch");
    let work = async {
        let principal = state.keys.authorize(&request, Scope::Ingest).await?;
        if form_of(&request)? == Form::Lines {
            return Err(Problem::unsupported_media_type("send lines to /v1/events; a batch is application/json"));
        }
        let prepared = take_in(&request, payload, &state, &principal, Form::Batch).await;
        append(prepared, &state, &principal, &trace).await
    };
    trace.around(work).await
}

/// From the body to records.
///
/// # Errors
/// 400, 408, 413, 415 or 422 for the body.
async fn take_in(
    request: &HttpRequest,
    payload: web::Payload,
    state: &IngestState,
    principal: &Arc<Principal>,
    form: Form,
) -> Result<Prepared, Problem> {
    let encoding = encoding_of(request)?;
    let room = match large_body(request)? {
        Some(bytes) => Some(Box::pin(state.room_for(bytes)).await?),
        None => None,
    };
    let (body, _room) = read(payload, room, async || state.room_for(BODY_BYTES).await).await?;
    if encoding == Encoding::Identity && body.len() <= SMALL_BYTES {
        prepare(&body, form, Intake { principal, received_at: received_now() })
    } else {
        Box::pin(prepare_elsewhere(state, Arc::clone(principal), body, encoding, form)).await
    }
}

/// From records to the answer.
///
/// # Errors
/// Those of `prepared`; 429; 503 if the log does not acknowledge.
async fn append(
    prepared: Result<Prepared, Problem>,
    state: &IngestState,
    principal: &Principal,
    trace: &RequestTrace,
) -> Result<HttpResponse, Problem> {
    let Prepared { mut records, events, answer } = prepared.inspect_err(|problem| refused(problem, 1))?;
    if let Some(rate) = &state.rate {
        rate.take(principal, events).inspect_err(|problem| refused(problem, events))?;
    }
    let body = answer.to_json().map_err(Problem::internal)?;
    let accepted = records.len();
    trace.note(&principal.project_id, accepted);
    records.trace = trace.to_carry();
    // What is on its way to the log is counted there (G6), even if the client hangs up meanwhile.
    records.tally = Some(state.accepted.of(&principal.project_id));
    let appended = state.log.append_all(principal.project_id.as_str().into(), records).await;
    appended.map_err(Problem::from).inspect_err(|problem| refused(problem, events))?;
    state.acknowledged.increment(u64::try_from(accepted).unwrap_or(u64::MAX));
    for (code, items) in answer.rejected() {
        events_refused(code).increment(items);
    }
    Ok(HttpResponse::Accepted().content_type("application/json").body(body))
}

fn refused(problem: &Problem, events: u32) {
    events_refused(problem.code).increment(events.into());
}

/// On a thread that may take its time, so that no other request of this worker waits for it.
async fn prepare_elsewhere(
    state: &IngestState,
    principal: Arc<Principal>,
    body: Bytes,
    encoding: Encoding,
    form: Form,
) -> Result<Prepared, Problem> {
    let permit = Arc::clone(&state.large).acquire_owned().await.map_err(Problem::internal)?;
    web::block(move || {
        // Held until this is done, even if the client has hung up.
        let _permit = permit;
        let intake = Intake { principal: &principal, received_at: received_now() };
        match encoding {
            Encoding::Identity => prepare(&body, form, intake),
            _ => prepare(&decompress(&body, encoding)?, form, intake),
        }
    })
    .await
    .map_err(Problem::internal)?
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::TooLarge => Self::too_large(error.to_string()),
            AppendError::Full => Self::unavailable("log_busy", error.to_string(), COME_BACK),
            AppendError::Unacknowledged(_) => Self::unavailable("log_unavailable", error.to_string(), COME_BACK),
        }
    }
}
