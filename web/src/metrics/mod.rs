//! What the doors measure, and `GET /metrics`. A comment here is the HELP text and the README's line.

pub mod exporter;
pub mod requests;

schema::instruments! {
    /// HTTP requests answered, by pattern of the route (`unmatched` if there is none), method and status.
    Counter http_requests(route, method, status) = "signals_http_requests_total";
    /// From a request's head to its answer's, its body's arrival included.
    Histogram http_duration(route, method) = "signals_http_request_duration_seconds";
    /// HTTP requests being answered now.
    Gauge http_in_flight() = "signals_http_in_flight_requests";
    /// Events that the log has acknowledged to this process.
    Counter events_accepted() = "signals_ingest_accepted_events_total";
    /// Events refused, by reason: the `code` of the refusal, or of the item in a batch. A request that could not be read
    /// counts as one.
    Counter events_refused(reason) = "signals_ingest_refused_events_total";
    /// From handing a request's records to the log until the last of them was acknowledged or given up.
    Histogram append_duration() = "signals_log_append_duration_seconds";
    /// API keys checked, by where the answer came from: memory, database, or nowhere because the database was away.
    Counter key_lookups(source) = "signals_key_lookups_total";
    /// Connections of this process to PostgreSQL: in_use, idle, and the most that it may open.
    Gauge database_connections(state) = "signals_database_connections";
    /// Those in this process that wait for a connection to PostgreSQL.
    Gauge database_waiting() = "signals_database_waiting_callers";
    /// Always 1; the label says which Signals this is.
    Gauge build(version) = "signals_build_info";
}

/// Describes everything and makes what has known labels appear with 0, so that the first change shows as a rise.
fn begin() {
    ALL.iter().for_each(schema::instrument::Instrument::describe);
    build(env!("CARGO_PKG_VERSION")).set(1.0);
    events_accepted().increment(0);
    for reason in ["malformed", "too_large", "invalid", "rate_limited", "log_unavailable", "log_busy"] {
        events_refused(reason).increment(0);
    }
    for source in ["memory", "database", "nowhere"] {
        key_lookups(source).increment(0);
    }
}
