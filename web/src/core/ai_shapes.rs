//! What the core API shows of summaries.

use super::figures::ratio;
use super::shapes::Incident;
use chrono::{DateTime, Utc};
use schema::ai::{ActivityRow, JobRow, ModelRow, StatsRow, Summary, SummaryRow};
use schema::event::Severity;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// What a model, or Signals' own rules, have made of an incident.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct AiSummary {
    /// In a few words.
    pub title: String,
    /// Who is hit, and how.
    pub impact: String,
    /// Most likely first.
    pub likely_causes: Vec<String>,
    /// What speaks for them.
    pub evidence: Vec<String>,
    /// What to do.
    pub next_steps: Vec<String>,
    /// 0 to 1.
    pub confidence: f64,
    /// Name of the model; `deterministic` if it was made of the facts by rules.
    pub model: String,
    /// When it was written.
    pub generated_at: DateTime<Utc>,
    /// Events that it rests on.
    pub cited_event_ids: Vec<String>,
}

impl AiSummary {
    /// The summary of this incident. One that cannot be read must not hide the incident.
    pub fn read(incident_id: &str, row: SummaryRow) -> Option<Self> {
        let read: Result<Summary, _> = serde_json::from_value(row.content);
        let summary = read.inspect_err(|error| {
            tracing::error!(incident_id, %error, "a summary cannot be read and is not shown");
        });
        let Summary { title, impact, likely_causes, evidence, next_steps, confidence, cited_event_ids } =
            summary.ok()?;
        Some(Self {
            title,
            impact,
            likely_causes,
            evidence,
            next_steps,
            confidence,
            model: row.model,
            generated_at: row.generated_at,
            cited_event_ids,
        })
    }
}

/// A summary that was asked for is there.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Summarized {
    /// The incident.
    pub incident: Incident,
    /// Its summary now. If the job failed, the one from before or one made by rules.
    pub ai_summary: Option<AiSummary>,
    /// How it came about.
    pub job: JobOutcome,
}

/// How a job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobOutcome {
    /// The job.
    pub id: String,
    /// `succeeded`, or `failed` if no model could be brought to answer.
    pub status: String,
    /// What went wrong.
    pub last_error: Option<String>,
}

/// A summary that will be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SummaryQueued {
    /// Always true.
    pub accepted: bool,
    /// The job.
    pub job_id: String,
}

/// How the summaries of a project do.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AiStats {
    /// Summaries written.
    pub total_summaries: i64,
    /// Of these, in the last 24 hours.
    pub summaries_last_24h: i64,
    /// Of the jobs that have ended, those that ended well, in percent; 0 while none has ended.
    pub success_rate: f64,
    /// Mean confidence, 0 to 1; 0 without a summary.
    pub avg_confidence: f64,
    /// Tokens that models were asked for today (UTC), those of calls under way included.
    pub tokens_today: i64,
    /// Jobs by their status.
    pub jobs_by_status: JobsByStatus,
    /// Who wrote the summaries, the most frequent first.
    pub models_used: Vec<ModelUse>,
}

/// Jobs by their status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct JobsByStatus {
    /// They wait.
    pub queued: i64,
    /// A worker has them.
    pub running: i64,
    /// They ended well.
    pub succeeded: i64,
    /// They were given up.
    pub failed: i64,
}

/// How much a model has written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ModelUse {
    /// The model; `deterministic` for Signals' own rules.
    pub model: String,
    /// Summaries.
    pub count: i64,
}

impl AiStats {
    /// Of these rows.
    pub fn new(row: StatsRow, models: Vec<ModelRow>) -> Self {
        Self {
            total_summaries: row.total_summaries,
            summaries_last_24h: row.summaries_last_24h,
            success_rate: ratio(row.succeeded.saturating_mul(100), row.succeeded.saturating_add(row.failed)),
            avg_confidence: row.avg_confidence.map_or(0.0, |mean| (mean * 1_000.0).round() / 1_000.0),
            tokens_today: row.tokens_today,
            jobs_by_status: JobsByStatus {
                queued: row.queued,
                running: row.running,
                succeeded: row.succeeded,
                failed: row.failed,
            },
            models_used: models.into_iter().map(|row| ModelUse { model: row.model, count: row.count }).collect(),
        }
    }
}

/// Where a page of jobs or of activity stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AiPagination {
    /// How many there are.
    pub total: i64,
    /// How many the page could hold.
    pub limit: i64,
    /// How many are before it.
    pub offset: i64,
    /// Whether another page follows.
    pub has_more: bool,
}

/// The newest summaries of a project.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct AiActivity {
    /// The summaries, the newest first.
    pub activity: Vec<Activity>,
    /// Where they stand.
    pub pagination: AiPagination,
}

/// A summary that was written.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Activity {
    /// ULID.
    pub id: String,
    /// Its incident.
    pub incident_id: String,
    /// The incident's title.
    pub incident_title: String,
    /// The incident's severity.
    #[schema(value_type = String)]
    pub incident_severity: Severity,
    /// `summary`.
    pub output_type: String,
    /// Who wrote it.
    pub model: String,
    /// 0 to 1.
    pub confidence: f64,
    /// Its title.
    pub title: String,
    /// When it was written.
    pub created_at: DateTime<Utc>,
}

impl From<ActivityRow> for Activity {
    fn from(row: ActivityRow) -> Self {
        Self {
            id: row.id,
            incident_id: row.incident_id,
            incident_title: row.incident_title,
            incident_severity: row.incident_severity,
            output_type: row.output_type,
            model: row.model,
            confidence: row.confidence,
            title: row.title,
            created_at: row.created_at,
        }
    }
}

/// The jobs of a project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct AiJobs {
    /// The jobs, the newest first.
    pub jobs: Vec<Job>,
    /// Where they stand.
    pub pagination: AiPagination,
}

/// A job that asks for a summary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Job {
    /// The job.
    pub id: String,
    /// Its incident.
    pub incident_id: String,
    /// The incident's title.
    pub incident_title: String,
    /// `summarize`.
    pub job_type: String,
    /// What it is wanted for: `opened`, `count_grew`, `new_release`, `severity_raised`, `recurred` or `requested`.
    pub cause: String,
    /// `queued`, `running`, `succeeded` or `failed`.
    pub status: String,
    /// Attempts so far.
    pub attempt_count: i32,
    /// Attempts that it has.
    pub max_attempts: i32,
    /// When it is due.
    pub run_after: DateTime<Utc>,
    /// Until when its worker has it, unless it gives a sign of life before.
    pub leased_until: Option<DateTime<Utc>>,
    /// What last went wrong.
    pub last_error: Option<String>,
    /// When it was queued.
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    pub updated_at: DateTime<Utc>,
}

impl From<JobRow> for Job {
    fn from(row: JobRow) -> Self {
        Self {
            id: row.id,
            incident_id: row.incident_id,
            incident_title: row.incident_title,
            job_type: row.job_type,
            cause: row.cause,
            status: row.status,
            attempt_count: row.attempt_count,
            max_attempts: row.max_attempts,
            run_after: row.run_after,
            leased_until: row.leased_until,
            last_error: row.last_error,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// The query parameters of a page, as the documentation shows them.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI generator")]
pub struct PageParameters {
    /// Rows on a page, 1 to 100; 50 if not given.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<i64>,
    /// Rows to skip.
    #[param(minimum = 0, maximum = 1_000_000)]
    offset: Option<i64>,
    /// Only to say it aloud: a key speaks for one project, and another one is refused with 403.
    project_id: Option<String>,
}

/// Which jobs, as the documentation shows it.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "it is read by the OpenAPI generator")]
pub struct JobParameters {
    /// `queued`, `running`, `succeeded` or `failed`; all if not given.
    status: Option<String>,
}
