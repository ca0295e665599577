//! Spans that belong to somebody's trace. Without the feature `otlp`, or while nothing exports spans, all of it does nothing.
//!
//! Such spans have the target [`TARGET`], which logs never show: they cost nothing unless they are exported.

use super::TraceParent;
use tracing::Span;

/// The target of spans for export.
pub const TARGET: &str = "signals_trace";

/// Makes `span` a child of the caller's. To be called before it is entered.
pub fn continue_from(span: &Span, parent: TraceParent) {
    if !span.is_disabled() {
        otlp::continue_from(span, parent);
    }
}

/// Ties `span` to a span of another trace.
pub fn link(span: &Span, other: TraceParent) {
    if !span.is_disabled() {
        otlp::link(span, other);
    }
}

/// Where `span` stands, to hand on; none if it is not exported.
pub fn place_of(span: &Span) -> Option<TraceParent> {
    (!span.is_disabled()).then(|| otlp::place_of(span)).flatten()
}

#[cfg(feature = "otlp")]
mod otlp {
    use super::TraceParent;
    use opentelemetry::Context;
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState};
    use tracing::Span;
    use tracing_opentelemetry::OpenTelemetrySpanExt;

    impl From<TraceParent> for SpanContext {
        fn from(parent: TraceParent) -> Self {
            let flags = if parent.is_sampled { TraceFlags::SAMPLED } else { TraceFlags::NOT_SAMPLED };
            let (trace, span) = (TraceId::from(parent.trace_id), SpanId::from(parent.span_id));
            Self::new(trace, span, flags, true, TraceState::NONE)
        }
    }

    pub(super) fn continue_from(span: &Span, parent: TraceParent) {
        // It fails where nothing exports the span: then there is nothing to continue.
        let _ = span.set_parent(Context::new().with_remote_span_context(parent.into()));
    }

    pub(super) fn link(span: &Span, other: TraceParent) {
        span.add_link(other.into());
    }

    pub(super) fn place_of(span: &Span) -> Option<TraceParent> {
        let context = span.context();
        let place = context.span().span_context().clone();
        place.is_sampled().then(|| TraceParent {
            trace_id: u128::from_be_bytes(place.trace_id().to_bytes()),
            span_id: u64::from_be_bytes(place.span_id().to_bytes()),
            is_sampled: true,
        })
    }
}

#[cfg(not(feature = "otlp"))]
mod otlp {
    use super::TraceParent;
    use tracing::Span;

    pub(super) fn continue_from(_: &Span, _: TraceParent) {}

    pub(super) fn link(_: &Span, _: TraceParent) {}

    pub(super) fn place_of(_: &Span) -> Option<TraceParent> {
        None
    }
}
