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
        // OpenTelemetry knows no unsigned numbers: they would become texts.
        records = i64::try_from(batch.len()).unwrap_or(i64::MAX),
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

#[cfg(test)]
mod tests {
    use super::super::sort::dead_letter;
    use super::*;
    use crate::consumer::batch::Labels;
    use crate::log_lines::logged;

    #[test]
    fn a_dead_letter_tells_the_log_and_the_dead_letters_whose_trace_it_belongs_to() {
        let trace = TraceParent { trace_id: 0xabc, span_id: 9, is_sampled: false };
        let mut batch = RecordBatch::default();
        batch.push(5, Labels { trace: Some(trace), ..Labels::default() }, b"key", b"garbage");
        let (letter, text) = logged(|| dead_letter(3, &batch, 0, "decode", "no".to_owned()));
        assert_eq!(letter.trace, Some(trace));
        assert!(text.contains(&format!("trace_id=\"{:032x}\"", 0xabc)) && text.contains("offset=5"), "{text}");
    }

    #[test]
    fn a_batch_without_sampled_traces_or_without_a_collector_has_no_span() {
        let mut batch = RecordBatch::default();
        for is_sampled in [false, true] {
            let trace = Some(TraceParent { trace_id: 1, span_id: 2, is_sampled });
            batch.push(1, Labels { trace, ..Labels::default() }, b"", b"");
            assert!(span_of(&batch, 0).is_none(), "nothing exports spans here");
        }
    }
}
