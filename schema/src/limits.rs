//! What bounds a project, as its partition's owner last wrote it.

use crate::snapshot::ProjectLimits;
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, BigInt, Integer, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

#[derive(diesel::QueryableByName)]
struct Row {
    #[diesel(sql_type = Text)]
    project_id: String,
    #[diesel(sql_type = Timestamptz)]
    window_start: DateTime<Utc>,
    #[diesel(sql_type = BigInt)]
    newcomers: i64,
    #[diesel(sql_type = Array<Text>)]
    environments: Vec<String>,
}

/// The limits of those of the projects that have any, in one query whatever their number.
///
/// # Errors
/// The database's.
pub async fn of_projects(
    connection: &mut AsyncPgConnection,
    topic: &str,
    partition: i32,
    projects: &[&str],
) -> QueryResult<Vec<ProjectLimits>> {
    let rows: Vec<Row> = diesel::sql_query(
        "SELECT project_id, window_start, newcomers, environments FROM project_limits \
         WHERE topic = $1 AND partition = $2 AND project_id = ANY ($3::text[])",
    )
    .bind::<Text, _>(topic)
    .bind::<Integer, _>(partition)
    .bind::<Array<Text>, _>(projects)
    .load(connection)
    .await?;
    let limits = rows.into_iter().map(|row| ProjectLimits {
        project_id: row.project_id,
        window_start: row.window_start,
        newcomers: row.newcomers,
        environments: row.environments,
    });
    Ok(limits.collect())
}
