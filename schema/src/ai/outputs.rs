//! What came of jobs.

use super::{ClaimedJob, DETERMINISTIC, Summary};
use chrono::{DateTime, Utc};
use diesel::sql_types::{Array, BigInt, Double, Integer, Jsonb, Text, Timestamptz};
use diesel::{OptionalExtension, QueryResult};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl};

/// A summary and how it came about.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// ULID.
    pub id: String,
    /// The summary.
    pub summary: Summary,
    /// A model's name or [`DETERMINISTIC`].
    pub model: String,
    /// Which rules and wording.
    pub prompt_version: String,
    /// blake3 of the normalised facts, as hex.
    pub input_hash: String,
    /// The models that were asked, in order, with commas; empty for none. A model may call itself by another name.
    pub asked: String,
    /// Tokens sent.
    pub tokens_in: i32,
    /// Tokens received.
    pub tokens_out: i32,
    /// Time that the model took, in milliseconds.
    pub latency_ms: i32,
    /// What the check took out of the answer, and why, in sentences.
    pub dropped: Vec<String>,
}

/// What the incident was like: tells when its summary is to be renewed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Baseline {
    /// Events.
    pub event_count: i64,
    /// Highest severity seen.
    pub severity: String,
    /// State.
    pub status: String,
    /// Releases known.
    pub releases: Vec<String>,
}

/// Writes a first summary while the model is asked, unless a model has written one before. The job goes on. False if the
/// fence refused.
///
/// # Errors
/// The database's.
pub async fn draft(
    connection: &mut AsyncPgConnection,
    job: &ClaimedJob,
    output: &Output,
    baseline: &Baseline,
) -> QueryResult<bool> {
    connection
        .transaction(async |connection| {
            let held = diesel::sql_query(
                "SELECT 1 FROM ai_jobs WHERE id = $1 AND claims = $2 AND status = 'running' FOR NO KEY UPDATE",
            )
            .bind::<Text, _>(&job.id)
            .bind::<Integer, _>(job.claims)
            .execute(connection)
            .await?;
            if held == 0 {
                return Ok(false);
            }
            if is_draft_wanted(connection, job, output).await? {
                insert(connection, job, output).await?;
                show(connection, job, &output.id, baseline).await?;
            }
            Ok(true)
        })
        .await
}

/// A model's words are not replaced, nor a draft by itself: that of the attempt before, say.
async fn is_draft_wanted(connection: &mut AsyncPgConnection, job: &ClaimedJob, output: &Output) -> QueryResult<bool> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::Bool)]
        is_better: bool,
    }
    let row: Row = diesel::sql_query(
        "SELECT EXISTS (SELECT 1 FROM ai_summaries s LEFT JOIN ai_outputs o ON o.id = s.output_id \
             WHERE s.incident_id = $1 AND (s.model <> $2 OR (o.input_hash = $3 AND o.prompt_version = $4))) AS is_better",
    )
    .bind::<Text, _>(&job.incident_id)
    .bind::<Text, _>(DETERMINISTIC)
    .bind::<Text, _>(&output.input_hash)
    .bind::<Text, _>(&output.prompt_version)
    .get_result(connection)
    .await?;
    Ok(!row.is_better)
}

/// Ends the job well: its output becomes the incident's summary, all in one transaction. False if the fence refused: then
/// nothing has changed.
///
/// # Errors
/// The database's.
pub async fn finish(
    connection: &mut AsyncPgConnection,
    job: &ClaimedJob,
    output: &Output,
    baseline: &Baseline,
) -> QueryResult<bool> {
    connection
        .transaction(async |connection| {
            if !succeed(connection, job).await? {
                return Ok(false);
            }
            insert(connection, job, output).await?;
            show(connection, job, &output.id, baseline).await?;
            Ok(true)
        })
        .await
}

/// The same with an output that is there already.
///
/// # Errors
/// The database's.
pub async fn finish_with(
    connection: &mut AsyncPgConnection,
    job: &ClaimedJob,
    output_id: &str,
    baseline: &Baseline,
) -> QueryResult<bool> {
    connection
        .transaction(async |connection| {
            if !succeed(connection, job).await? {
                return Ok(false);
            }
            show(connection, job, output_id, baseline).await?;
            Ok(true)
        })
        .await
}

async fn succeed(connection: &mut AsyncPgConnection, job: &ClaimedJob) -> QueryResult<bool> {
    let ended = diesel::sql_query(
        "UPDATE ai_jobs SET status = 'succeeded', last_error = NULL, lease_owner = NULL, leased_until = NULL, \
             updated_at = now() WHERE id = $1 AND claims = $2 AND status = 'running'",
    )
    .bind::<Text, _>(&job.id)
    .bind::<Integer, _>(job.claims)
    .execute(connection)
    .await?;
    Ok(ended == 1)
}

async fn insert(connection: &mut AsyncPgConnection, job: &ClaimedJob, output: &Output) -> QueryResult<()> {
    let json = |value: serde_json::Result<serde_json::Value>| {
        value.map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))
    };
    diesel::sql_query(
        "INSERT INTO ai_outputs (id, job_id, incident_id, project_id, output_type, model, prompt_version, input_hash, \
             content, confidence, tokens_in, tokens_out, latency_ms, dropped, asked) \
         VALUES ($1, $2, $3, $4, 'summary', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)",
    )
    .bind::<Text, _>(&output.id)
    .bind::<Text, _>(&job.id)
    .bind::<Text, _>(&job.incident_id)
    .bind::<Text, _>(&job.project_id)
    .bind::<Text, _>(&output.model)
    .bind::<Text, _>(&output.prompt_version)
    .bind::<Text, _>(&output.input_hash)
    .bind::<Jsonb, _>(json(serde_json::to_value(&output.summary))?)
    .bind::<Double, _>(output.summary.confidence)
    .bind::<Integer, _>(output.tokens_in)
    .bind::<Integer, _>(output.tokens_out)
    .bind::<Integer, _>(output.latency_ms)
    .bind::<Jsonb, _>(json(serde_json::to_value(&output.dropped))?)
    .bind::<Text, _>(&output.asked)
    .execute(connection)
    .await?;
    Ok(())
}

async fn show(
    connection: &mut AsyncPgConnection,
    job: &ClaimedJob,
    output_id: &str,
    baseline: &Baseline,
) -> QueryResult<()> {
    diesel::sql_query(
        "INSERT INTO ai_summaries AS s (incident_id, output_id, model, content, generated_at, event_count, severity, \
             status, releases) \
         SELECT $1, o.id, o.model, o.content, o.created_at, $3, $4, $5, $6 FROM ai_outputs o WHERE o.id = $2 \
         ON CONFLICT (incident_id) DO UPDATE SET output_id = excluded.output_id, model = excluded.model, \
             content = excluded.content, generated_at = excluded.generated_at, event_count = excluded.event_count, \
             severity = excluded.severity, status = excluded.status, written_at = now(), \
             releases = ARRAY(SELECT DISTINCT unnest(s.releases || excluded.releases))",
    )
    .bind::<Text, _>(&job.incident_id)
    .bind::<Text, _>(output_id)
    .bind::<BigInt, _>(baseline.event_count)
    .bind::<Text, _>(&baseline.severity)
    .bind::<Text, _>(&baseline.status)
    .bind::<Array<Text>, _>(&baseline.releases)
    .execute(connection)
    .await?;
    Ok(())
}

/// What makes two questions the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKey<'a> {
    /// blake3 of the normalised facts, as hex.
    pub input_hash: &'a str,
    /// Which rules and wording.
    pub prompt_version: &'a str,
    /// The models that would be asked, in order, with commas.
    pub asked: &'a str,
}

/// The output of a model for the incident and the same question, if there is one: the newest.
///
/// # Errors
/// The database's.
pub async fn cached(
    connection: &mut AsyncPgConnection,
    incident_id: &str,
    key: CacheKey<'_>,
) -> QueryResult<Option<String>> {
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = Text)]
        id: String,
    }
    let row: Option<Row> = diesel::sql_query(
        "SELECT id FROM ai_outputs WHERE input_hash = $1 AND incident_id = $2 AND prompt_version = $3 AND asked = $4 \
         ORDER BY created_at DESC LIMIT 1",
    )
    .bind::<Text, _>(key.input_hash)
    .bind::<Text, _>(incident_id)
    .bind::<Text, _>(key.prompt_version)
    .bind::<Text, _>(key.asked)
    .get_result(connection)
    .await
    .optional()?;
    Ok(row.map(|row| row.id))
}

/// An output as it is shown.
#[derive(Clone, Debug, PartialEq, diesel::QueryableByName)]
pub struct ActivityRow {
    /// ULID.
    #[diesel(sql_type = Text)]
    pub id: String,
    /// Its incident.
    #[diesel(sql_type = Text)]
    pub incident_id: String,
    /// The incident's title.
    #[diesel(sql_type = Text)]
    pub incident_title: String,
    /// The incident's severity.
    #[diesel(sql_type = Text)]
    pub incident_severity: crate::event::Severity,
    /// `summary`.
    #[diesel(sql_type = Text)]
    pub output_type: String,
    /// A model's name or [`DETERMINISTIC`].
    #[diesel(sql_type = Text)]
    pub model: String,
    /// 0 to 1.
    #[diesel(sql_type = Double)]
    pub confidence: f64,
    /// The summary's title.
    #[diesel(sql_type = Text)]
    pub title: String,
    /// When it was written.
    #[diesel(sql_type = Timestamptz)]
    pub created_at: DateTime<Utc>,
}

/// The project's newest outputs, and how many there are.
///
/// # Errors
/// The database's.
pub async fn activity(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    offset: i64,
    limit: i64,
) -> QueryResult<(Vec<ActivityRow>, i64)> {
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let rows = diesel::sql_query(
        "SELECT o.id, o.incident_id, i.title AS incident_title, i.severity AS incident_severity, o.output_type, o.model, \
                o.confidence, coalesce(o.content ->> 'title', '') AS title, o.created_at \
         FROM ai_outputs o JOIN incidents i ON i.id = o.incident_id WHERE o.project_id = $1 \
         ORDER BY o.created_at DESC, o.id DESC OFFSET $2 LIMIT $3",
    )
    .bind::<Text, _>(project_id)
    .bind::<BigInt, _>(offset)
    .bind::<BigInt, _>(limit)
    .load(connection)
    .await?;
    let total: Count = diesel::sql_query("SELECT count(*) AS count FROM ai_outputs WHERE project_id = $1")
        .bind::<Text, _>(project_id)
        .get_result(connection)
        .await?;
    Ok((rows, total.count))
}
