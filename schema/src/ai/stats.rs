//! A project's summaries in figures.

use diesel::QueryResult;
use diesel::sql_types::{BigInt, Double, Nullable, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// How the summaries of a project do.
#[derive(Clone, Copy, Debug, PartialEq, diesel::QueryableByName)]
pub struct StatsRow {
    /// Summaries written.
    #[diesel(sql_type = BigInt)]
    pub total_summaries: i64,
    /// Of these, in the last 24 hours.
    #[diesel(sql_type = BigInt)]
    pub summaries_last_24h: i64,
    /// Mean confidence, 0 to 1; none without a summary.
    #[diesel(sql_type = Nullable<Double>)]
    pub avg_confidence: Option<f64>,
    /// Tokens spent or reserved by the project's incidents today (UTC).
    #[diesel(sql_type = BigInt)]
    pub tokens_today: i64,
    /// Jobs that wait.
    #[diesel(sql_type = BigInt)]
    pub queued: i64,
    /// Jobs that a worker has.
    #[diesel(sql_type = BigInt)]
    pub running: i64,
    /// Jobs that ended well.
    #[diesel(sql_type = BigInt)]
    pub succeeded: i64,
    /// Jobs that were given up.
    #[diesel(sql_type = BigInt)]
    pub failed: i64,
}

/// How many summaries a model has written.
#[derive(Clone, Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct ModelRow {
    /// The model, or [`super::DETERMINISTIC`].
    #[diesel(sql_type = Text)]
    pub model: String,
    /// Summaries.
    #[diesel(sql_type = BigInt)]
    pub count: i64,
}

/// The project's figures and who wrote its summaries, the most frequent first.
///
/// # Errors
/// The database's.
pub async fn stats(connection: &mut AsyncPgConnection, project_id: &str) -> QueryResult<(StatsRow, Vec<ModelRow>)> {
    let row = diesel::sql_query(
        "WITH outputs AS (SELECT count(*) AS n, avg(confidence) AS confidence, \
                 count(*) FILTER (WHERE created_at > now() - interval '24 hours') AS day \
             FROM ai_outputs WHERE project_id = $1), \
         jobs AS (SELECT status, count(*) AS n FROM ai_jobs WHERE project_id = $1 GROUP BY status) \
         SELECT (SELECT n FROM outputs) AS total_summaries, (SELECT day FROM outputs) AS summaries_last_24h, \
             (SELECT confidence FROM outputs) AS avg_confidence, \
             coalesce((SELECT sum(s.tokens) FROM ai_spend s JOIN incidents i ON i.id = s.incident_id \
                 WHERE s.day = (now() AT TIME ZONE 'UTC')::date AND i.project_id = $1), 0)::bigint AS tokens_today, \
             coalesce((SELECT n FROM jobs WHERE status = 'queued'), 0) AS queued, \
             coalesce((SELECT n FROM jobs WHERE status = 'running'), 0) AS running, \
             coalesce((SELECT n FROM jobs WHERE status = 'succeeded'), 0) AS succeeded, \
             coalesce((SELECT n FROM jobs WHERE status = 'failed'), 0) AS failed",
    )
    .bind::<Text, _>(project_id)
    .get_result(connection)
    .await?;
    let models = diesel::sql_query(
        "SELECT model, count(*) AS count FROM ai_outputs WHERE project_id = $1 GROUP BY model ORDER BY count DESC, model",
    )
    .bind::<Text, _>(project_id)
    .load(connection)
    .await?;
    Ok((row, models))
}
