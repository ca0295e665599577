//! Spans that show a client's trace what the engine does with its events: from the router until they are durable.

use crate::consumer::batch::RecordBatch;
use schema::trace::{TraceParent, spans};
use tracing::Span;

/// Traces that the span of one batch is tied to; more are not looked for.
const TIES: usize = 32;

/// A span for a batch with records of sampled traces; none if there are no such records, or nothing exports spans.
///
/// If the records belong to one trace, the span continues it. Else it begins a trace of its own, linked to theirs.
pub(super) fn span_of(batch: &RecordBatch, partition: i32) -> Option<Span> {
    let mut ties: Vec<TraceParent> = Vec::new();
    for trace in batch.traces().filter(|trace| trace.is_sampled) {
        if ties.last() != Some(&trace) && !ties.contains(&trace) {
            ties.push(trace);
        }
        if ties.len() == TIES {
            break;
        }
    }
    let only = ties.first()?;
    let span = tracing::info_span!(
        target: spans::TARGET,
        "engine.apply",
        otel.kind = "consumer",
        partition,
        first_offset = batch.record(0).map(|record| record.offset),
        records = batch.len(),
        durable = tracing::field::Empty,
    );
    if span.is_disabled() {
        return None;
    }
    if ties.len() == 1 {
        spans::continue_from(&span, *only);
    } else {
        ties.iter().for_each(|tie| spans::link(&span, *tie));
    }
    Some(span)
}

/// What these spans show is durable; they end when they are dropped.
pub(super) fn durable(spans: &[Span]) {
    for span in spans {
        span.record("durable", true);
    }
}
