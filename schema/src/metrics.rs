//! A project's figures: what the overview and the charts show. Windows end at the database's clock.

use crate::event::{UnknownValue, wire_enum};
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{BigInt, Double, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// One look at a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct OverviewRow {
    /// Incidents of all time.
    #[diesel(sql_type = BigInt)]
    pub incidents: i64,
    /// Of these, open.
    #[diesel(sql_type = BigInt)]
    pub open: i64,
    /// Of these, under investigation.
    #[diesel(sql_type = BigInt)]
    pub investigating: i64,
    /// Resolved in the last 24 hours and still so.
    #[diesel(sql_type = BigInt)]
    pub resolved_last_24h: i64,
    /// Error events of the last 24 hours.
    #[diesel(sql_type = BigInt)]
    pub errors_last_24h: i64,
    /// Error events of the last hour.
    #[diesel(sql_type = BigInt)]
    pub errors_last_hour: i64,
    /// Sign-ups of the last 24 hours.
    #[diesel(sql_type = BigInt)]
    pub signups_last_24h: i64,
    /// Summaries written.
    #[diesel(sql_type = BigInt)]
    pub summaries: i64,
    /// AI jobs that ended well.
    #[diesel(sql_type = BigInt)]
    pub jobs_succeeded: i64,
    /// AI jobs that were given up.
    #[diesel(sql_type = BigInt)]
    pub jobs_failed: i64,
    /// AI jobs queued or running.
    #[diesel(sql_type = BigInt)]
    pub jobs_pending: i64,
}

/// The project's overview, all of one moment.
///
/// # Errors
/// The database's.
pub async fn overview(connection: &mut AsyncPgConnection, project_id: &str) -> QueryResult<OverviewRow> {
    diesel::sql_query(
        "WITH jobs AS (SELECT status, count(*) AS n FROM ai_jobs WHERE project_id = $1 GROUP BY status), \
         unresolved AS (SELECT status, count(*) AS n FROM incidents \
             WHERE project_id = $1 AND status <> 'resolved' GROUP BY status), \
         events AS (SELECT metric_name, sum(value)::bigint AS day, \
                 coalesce(sum(value) FILTER (WHERE bucket_time > now() - interval '1 hour'), 0)::bigint AS hour \
             FROM metrics_bucket WHERE project_id = $1 AND fingerprint = '' \
                 AND metric_name IN ('events.error', 'events.signup') AND bucket_time > now() - interval '24 hours' \
             GROUP BY metric_name) \
         SELECT (SELECT count(*) FROM incidents WHERE project_id = $1) AS incidents, \
             coalesce((SELECT n FROM unresolved WHERE status = 'open'), 0) AS open, \
             coalesce((SELECT n FROM unresolved WHERE status = 'investigating'), 0) AS investigating, \
             (SELECT count(*) FROM incidents WHERE project_id = $1 AND resolved_at > now() - interval '24 hours') \
                 AS resolved_last_24h, \
             coalesce((SELECT day FROM events WHERE metric_name = 'events.error'), 0) AS errors_last_24h, \
             coalesce((SELECT hour FROM events WHERE metric_name = 'events.error'), 0) AS errors_last_hour, \
             coalesce((SELECT day FROM events WHERE metric_name = 'events.signup'), 0) AS signups_last_24h, \
             (SELECT count(*) FROM ai_outputs WHERE project_id = $1) \
                 AS summaries, \
             coalesce((SELECT n FROM jobs WHERE status = 'succeeded'), 0) AS jobs_succeeded, \
             coalesce((SELECT n FROM jobs WHERE status = 'failed'), 0) AS jobs_failed, \
             coalesce((SELECT sum(n)::bigint FROM jobs WHERE status IN ('queued', 'running')), 0) AS jobs_pending",
    )
    .bind::<Text, _>(project_id)
    .get_result(connection)
    .await
}

wire_enum! {
    /// What a chart counts.
    Metric {
        /// Error events.
        Errors = "errors",
        /// Sign-ups.
        Signups = "signups",
        /// Served requests.
        Requests = "requests",
    }
}

impl Metric {
    /// Its name in `metrics_bucket`.
    const fn bucket(self) -> &'static str {
        match self {
            Self::Errors => "events.error",
            Self::Signups => "events.signup",
            Self::Requests => "events.http_request",
        }
    }
}

wire_enum! {
    /// How far back a chart goes; the values are in the past until now.
    Period {
        /// 60 points of a minute.
        Hour = "1h",
        /// 96 points of a quarter of an hour.
        Day = "24h",
        /// 84 points of two hours.
        Week = "7d",
    }
}

impl Period {
    /// Minutes of one point, and points.
    pub const fn grid(self) -> (u32, u32) {
        match self {
            Self::Hour => (1, 60),
            Self::Day => (15, 96),
            Self::Week => (120, 84),
        }
    }
}

/// Events of one step of a chart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct Point {
    /// Start of the step, event time.
    #[diesel(sql_type = Timestamptz)]
    pub at: DateTime<Utc>,
    /// Events.
    #[diesel(sql_type = BigInt)]
    pub value: i64,
}

/// The metric step by step, oldest first, empty steps with 0; the last step is the one that is going on.
///
/// # Errors
/// The database's.
pub async fn series(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    metric: Metric,
    period: Period,
) -> QueryResult<Vec<Point>> {
    let (minutes, points) = period.grid();
    let step = f64::from(minutes) * 60.0;
    diesel::sql_query(
        "WITH grid AS (SELECT make_interval(secs => $3) AS step, \
                 date_bin(make_interval(secs => $3), now(), '2000-01-01 00:00:00+00') AS last), \
         counted AS (SELECT date_bin(grid.step, b.bucket_time, '2000-01-01 00:00:00+00') AS at, \
                 sum(b.value)::bigint AS value \
             FROM metrics_bucket b, grid WHERE b.project_id = $1 AND b.fingerprint = '' AND b.metric_name = $2 \
                 AND b.bucket_time >= now() - make_interval(secs => $3 * $4) GROUP BY 1) \
         SELECT at, coalesce(counted.value, 0) AS value \
         FROM grid, generate_series(last - step * ($4 - 1), last, step) AS at LEFT JOIN counted USING (at) ORDER BY at",
    )
    .bind::<Text, _>(project_id)
    .bind::<Text, _>(metric.bucket())
    .bind::<Double, _>(step)
    .bind::<Double, _>(f64::from(points))
    .load(connection)
    .await
}
