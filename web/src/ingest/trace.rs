//! The trace that a request belongs to: the client's, or one of our own while spans are exported.

use crate::error::Problem;
use actix_web::{HttpRequest, HttpResponse, ResponseError};
use schema::names::TRACEPARENT_HEADER;
use schema::trace::{TraceParent, spans};
use tracing::field::Empty;
use tracing::{Instrument, Span};

/// Of one request.
#[derive(Debug)]
pub(super) struct RequestTrace {
    span: Span,
    parent: Option<TraceParent>,
}

impl RequestTrace {
    /// A header that is no traceparent, or more than one, is as good as none.
    pub(super) fn of(request: &HttpRequest, route: &'static str) -> Self {
        let mut headers = request.headers().get_all(TRACEPARENT_HEADER);
        let parent = match (headers.next(), headers.next()) {
            (Some(only), None) => TraceParent::from_bytes(only.as_bytes()),
            _ => None,
        };
        let span = tracing::info_span!(
            target: spans::TARGET,
            "ingest",
            otel.name = %format_args!("POST {route}"),
            otel.kind = "server",
            http.request.method = "POST",
            http.route = route,
            http.response.status_code = Empty,
            signals.project_id = Empty,
            signals.events = Empty,
        );
        if let Some(parent) = parent {
            spans::continue_from(&span, parent);
        }
        Self { span, parent }
    }

    /// What the request's records carry: our span, if it is exported, else the client's.
    pub(super) fn to_carry(&self) -> Option<TraceParent> {
        spans::place_of(&self.span).or(self.parent)
    }

    /// Notes what the request turned out to be.
    pub(super) fn note(&self, project_id: &str, events: usize) {
        self.span.record("signals.project_id", project_id).record("signals.events", whole(events));
    }

    /// Does the request's work inside the span.
    pub(super) async fn around(
        &self,
        work: impl Future<Output = Result<HttpResponse, Problem>>,
    ) -> Result<HttpResponse, Problem> {
        let answered = work.instrument(self.span.clone()).await;
        let status = answered.as_ref().map_or_else(ResponseError::status_code, HttpResponse::status);
        self.span.record("http.response.status_code", i64::from(status.as_u16()));
        answered
    }
}

/// OpenTelemetry knows no unsigned numbers: they would become texts.
fn whole(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn the_clients_trace_is_carried_and_a_doubtful_one_is_not() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
        let carried = |values: &[&str]| {
            let mut request = TestRequest::post();
            for value in values {
                request = request.append_header(("traceparent", *value));
            }
            RequestTrace::of(&request.to_http_request(), "/v1/events").to_carry().map(|trace| trace.to_string())
        };
        assert_eq!(carried(&[good]).as_deref(), Some(good));
        for bad in [&[][..], &["nonsense"], &[good, good]] {
            assert_eq!(carried(bad), None, "{bad:?}");
        }
    }
}
