//! What the core API shows of a project's figures.

use chrono::{DateTime, Utc};
use schema::metrics::{Metric, OverviewRow, Period, Point};
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// A project at one look.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Overview {
    /// Incidents.
    pub incidents: IncidentFigures,
    /// Error events.
    pub errors: ErrorFigures,
    /// Sign-ups.
    pub signups: SignupFigures,
    /// Summaries.
    pub ai: AiFigures,
}

/// How many incidents there are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct IncidentFigures {
    /// Of all time.
    pub total: i64,
    /// Open now.
    pub open: i64,
    /// Under investigation now.
    pub investigating: i64,
    /// Resolved in the last 24 hours and still so.
    pub resolved_last_24h: i64,
}

/// How many errors there were.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct ErrorFigures {
    /// Events of the last 24 hours.
    pub total_last_24h: i64,
    /// Events a minute, over the last hour.
    pub rate_per_minute: f64,
}

/// How many sign-ups there were.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct SignupFigures {
    /// Events of the last 24 hours.
    pub total_last_24h: i64,
    /// Events an hour, over the last 24 hours.
    pub rate_per_hour: f64,
}

/// How the summaries do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AiFigures {
    /// Summaries written.
    pub total_summaries: i64,
    /// Of the jobs that have ended, those that ended well, in percent; 0 while none has ended.
    pub success_rate: f64,
    /// Jobs that wait or run.
    pub pending_jobs: i64,
}

impl From<OverviewRow> for Overview {
    fn from(row: OverviewRow) -> Self {
        let ended = row.jobs_succeeded.saturating_add(row.jobs_failed);
        Self {
            incidents: IncidentFigures {
                total: row.incidents,
                open: row.open,
                investigating: row.investigating,
                resolved_last_24h: row.resolved_last_24h,
            },
            errors: ErrorFigures {
                total_last_24h: row.errors_last_24h,
                rate_per_minute: ratio(row.errors_last_hour, 60),
            },
            signups: SignupFigures {
                total_last_24h: row.signups_last_24h,
                rate_per_hour: ratio(row.signups_last_24h, 24),
            },
            ai: AiFigures {
                total_summaries: row.summaries,
                success_rate: ratio(row.jobs_succeeded.saturating_mul(100), ended),
                pending_jobs: row.jobs_pending,
            },
        }
    }
}

/// `part / whole`, to two decimals; 0 of nothing.
pub(super) fn ratio(part: i64, whole: i64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    (float(part) / float(whole) * 100.0).round() / 100.0
}

#[expect(clippy::as_conversions, reason = "a count beyond 2^53 loses its last digits in a rate, which is no harm")]
fn float(count: i64) -> f64 {
    count as f64
}

/// The query parameters of `GET /v1/metrics/trends`, as the documentation shows them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI generator")]
pub struct TrendParameters {
    /// `errors` (if not given), `signups` or `requests`.
    metric: Option<String>,
    /// `1h` by minutes, `24h` (if not given) by quarters of an hour, `7d` by two hours.
    period: Option<String>,
    /// Only to say it aloud: a key speaks for one project, and another one is refused with 403.
    project_id: Option<String>,
}

/// Events over time.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Trends {
    /// What was counted.
    #[schema(value_type = String)]
    pub metric: Metric,
    /// How far back it goes.
    #[schema(value_type = String)]
    pub period: Period,
    /// Step by step, oldest first; the last step is the one that is going on.
    pub data: Vec<TrendPoint>,
    /// All steps together.
    pub summary: TrendSummary,
}

/// Events of one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct TrendPoint {
    /// Start of the step.
    pub timestamp: DateTime<Utc>,
    /// Events.
    pub value: i64,
}

/// All steps together.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct TrendSummary {
    /// Events.
    pub total: i64,
    /// Events a step.
    pub average: f64,
    /// Most events of a step.
    pub max: i64,
    /// Fewest events of a step.
    pub min: i64,
}

impl Trends {
    /// A chart of these steps.
    pub fn new(metric: Metric, period: Period, points: &[Point]) -> Self {
        let values = || points.iter().map(|point| point.value);
        let total = values().fold(0_i64, i64::saturating_add);
        let summary = TrendSummary {
            total,
            average: ratio(total, i64::try_from(points.len()).unwrap_or(i64::MAX)),
            max: values().max().unwrap_or(0),
            min: values().min().unwrap_or(0),
        };
        let data = points.iter().map(|point| TrendPoint { timestamp: point.at, value: point.value }).collect();
        Self { metric, period, data, summary }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_of_nothing_is_nothing() {
        assert_eq!(ratio(5, 0).to_bits(), 0.0_f64.to_bits());
        assert_eq!(ratio(100, 60).to_string(), "1.67");
    }
}
