//! Jobs: claimed for a time, given back, ended.
//!
//! A claim moves `claims` on; whoever writes names the number that it got. `attempt_count` counts the claims in which
//! work was tried and never passes `max_attempts`: a job whose last worker vanished is ended by [`bury`].

use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{BigInt, Double, Integer, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::time::Duration;

/// A job in the hands of a worker until its lease ends.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct ClaimedJob {
    /// The job.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// The incident that wants a summary.
    #[diesel(sql_type = Text)]
    pub incident_id: String,
    /// Its project.
    #[diesel(sql_type = Text)]
    pub project_id: String,
    /// What the summary is wanted for; see [`super::Cause`].
    #[diesel(sql_type = Text)]
    pub cause: String,
    /// The number of this claim: the fence.
    #[diesel(sql_type = Integer)]
    pub claims: i32,
    /// The number of this attempt, from 1.
    #[diesel(sql_type = Integer)]
    pub attempt_count: i32,
    /// Attempts that the job has.
    #[diesel(sql_type = Integer)]
    pub max_attempts: i32,
}

/// Claims up to `limit` jobs that are due, the longest due first: queued ones, and those whose worker let its lease end.
/// Workers that claim at the same time get different ones.
///
/// # Errors
/// The database's.
pub async fn claim(
    connection: &mut AsyncPgConnection,
    worker: &str,
    lease: Duration,
    limit: i64,
) -> QueryResult<Vec<ClaimedJob>> {
    diesel::sql_query(
        "WITH due AS (SELECT id FROM ai_jobs WHERE status IN ('queued', 'running') AND run_after <= now() \
                 AND (status = 'queued' OR leased_until < now()) AND attempt_count < max_attempts \
             ORDER BY run_after, id LIMIT $1 FOR UPDATE SKIP LOCKED) \
         UPDATE ai_jobs j SET status = 'running', claims = j.claims + 1, attempt_count = j.attempt_count + 1, \
             lease_owner = $2, leased_until = now() + make_interval(secs => $3), updated_at = now(), \
             last_error = CASE WHEN j.status = 'running' THEN 'attempt ' || j.attempt_count || ': its worker vanished' \
                 ELSE j.last_error END \
         FROM due WHERE j.id = due.id \
         RETURNING j.id, j.incident_id, j.project_id, j.cause, j.claims, j.attempt_count, j.max_attempts",
    )
    .bind::<BigInt, _>(limit)
    .bind::<Text, _>(worker)
    .bind::<Double, _>(lease.as_secs_f64())
    .load(connection)
    .await
}

/// Makes the lease begin anew. False if the job is in other hands or has ended: then nothing of this claim counts any more.
///
/// # Errors
/// The database's.
pub async fn renew(connection: &mut AsyncPgConnection, job: &ClaimedJob, lease: Duration) -> QueryResult<bool> {
    let renewed = diesel::sql_query(
        "UPDATE ai_jobs SET leased_until = now() + make_interval(secs => $1), updated_at = now() \
         WHERE id = $2 AND claims = $3 AND status = 'running'",
    )
    .bind::<Double, _>(lease.as_secs_f64())
    .bind::<Text, _>(&job.id)
    .bind::<Integer, _>(job.claims)
    .execute(connection)
    .await?;
    Ok(renewed == 1)
}

/// What becomes of a job that was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The attempt counts; another one after this time, if one is left.
    After(Duration),
    /// Nothing was tried: the attempt does not count. Again after this time.
    NotCounted(Duration),
    /// Trying again would be of no use: the job has failed.
    Never,
}

/// Gives the job back with what went wrong. False if the fence refused.
///
/// # Errors
/// The database's.
pub async fn give_back(
    connection: &mut AsyncPgConnection,
    job: &ClaimedJob,
    error: &str,
    retry: Retry,
) -> QueryResult<bool> {
    let (uncounted, is_final, wait) = match retry {
        Retry::After(wait) => (0, job.attempt_count >= job.max_attempts, wait),
        Retry::NotCounted(wait) => (1, false, wait),
        Retry::Never => (0, true, Duration::ZERO),
    };
    let given = diesel::sql_query(
        "UPDATE ai_jobs SET status = CASE WHEN $1 THEN 'failed' ELSE 'queued' END, last_error = $2, \
             attempt_count = attempt_count - $3, run_after = now() + make_interval(secs => $4), \
             lease_owner = NULL, leased_until = NULL, updated_at = now() \
         WHERE id = $5 AND claims = $6 AND status = 'running'",
    )
    .bind::<diesel::sql_types::Bool, _>(is_final)
    .bind::<Text, _>(error)
    .bind::<Integer, _>(uncounted)
    .bind::<Double, _>(wait.as_secs_f64())
    .bind::<Text, _>(&job.id)
    .bind::<Integer, _>(job.claims)
    .execute(connection)
    .await?;
    Ok(given == 1)
}

/// Ends the jobs whose last worker vanished and that have no attempt left. Returns how many.
///
/// # Errors
/// The database's.
pub async fn bury(connection: &mut AsyncPgConnection) -> QueryResult<usize> {
    diesel::sql_query(
        "UPDATE ai_jobs SET status = 'failed', last_error = 'attempt ' || attempt_count || ', its last: its worker vanished', \
             lease_owner = NULL, leased_until = NULL, updated_at = now() \
         WHERE status = 'running' AND leased_until < now() AND attempt_count >= max_attempts",
    )
    .execute(connection)
    .await
}

/// A job as it is shown.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct JobRow {
    /// The job.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// Its incident.
    #[diesel(sql_type = Text)]
    pub incident_id: String,
    /// The incident's title.
    #[diesel(sql_type = Text)]
    pub incident_title: String,
    /// `summarize`.
    #[diesel(sql_type = Text)]
    pub job_type: String,
    /// What it is wanted for.
    #[diesel(sql_type = Text)]
    pub cause: String,
    /// `queued`, `running`, `succeeded` or `failed`.
    #[diesel(sql_type = Text)]
    pub status: String,
    /// Attempts so far.
    #[diesel(sql_type = Integer)]
    pub attempt_count: i32,
    /// Attempts that it has.
    #[diesel(sql_type = Integer)]
    pub max_attempts: i32,
    /// When it is due.
    #[diesel(sql_type = Timestamptz)]
    pub run_after: DateTime<Utc>,
    /// Until when its worker has it.
    #[diesel(sql_type = Nullable<Timestamptz>)]
    pub leased_until: Option<DateTime<Utc>>,
    /// What last went wrong.
    #[diesel(sql_type = Nullable<Text>)]
    pub last_error: Option<String>,
    /// When it was queued.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
    /// When it last changed.
    #[diesel(sql_type = Timestamptz)]
    pub updated_at: DateTime<Utc>,
}

/// The project's jobs, the newest first: those of this status, or all. Also how many there are.
///
/// # Errors
/// The database's.
pub async fn list(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    status: Option<&str>,
    offset: i64,
    limit: i64,
) -> QueryResult<(Vec<JobRow>, i64)> {
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let rows = diesel::sql_query(
        "SELECT j.id, j.incident_id, i.title AS incident_title, j.job_type, j.cause, j.status, j.attempt_count, \
                j.max_attempts, j.run_after, j.leased_until, j.last_error, j.created_at, j.updated_at \
         FROM ai_jobs j JOIN incidents i ON i.id = j.incident_id \
         WHERE j.project_id = $1 AND ($2 IS NULL OR j.status = $2) \
         ORDER BY j.created_at DESC, j.id DESC OFFSET $3 LIMIT $4",
    )
    .bind::<Text, _>(project_id)
    .bind::<Nullable<Text>, _>(status)
    .bind::<BigInt, _>(offset)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    let total: Count = diesel::sql_query(
        "SELECT count(*) AS count FROM ai_jobs WHERE project_id = $1 AND ($2 IS NULL OR status = $2)",
    )
    .bind::<Text, _>(project_id)
    .bind::<Nullable<Text>, _>(status)
    .get_result(connection)
    .await?;
    Ok((rows, total.count))
}
