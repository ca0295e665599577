//! The fingerprints' minutes of a flush: a row for each hour.

use super::statements::{column, sorted};
use crate::prepared::Prepare;
use crate::snapshot::TrendDelta;
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::sql_types::{Array, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use std::fmt::Write;

pub(super) async fn add(mut connection: &AsyncPgConnection, trends: &[TrendDelta]) -> QueryResult<()> {
    let rows = sorted(trends, |row| (row.identity.project_id.as_str(), row.identity.fingerprint.as_str(), row.hour));
    // An hour beyond the years that a time can hold cannot be: the event's own time was one.
    let rows: Vec<(DateTime<Utc>, &TrendDelta)> =
        rows.into_iter().filter_map(|row| Some((start(row.hour)?, row))).collect();
    if rows.is_empty() {
        return Ok(());
    }
    diesel::sql_query(
        "INSERT INTO trend_hours AS t (hour, project_id, environment, fingerprint, minutes) \
         SELECT h, p, e, f, m::bigint[] \
         FROM unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[]) AS d (h, p, e, f, m) \
         ON CONFLICT (project_id, fingerprint, environment, hour) \
         DO UPDATE SET minutes = add_minutes(t.minutes, excluded.minutes)",
    )
    .bind::<Array<Timestamptz>, _>(column(&rows, |(hour, _)| *hour))
    .bind::<Array<Text>, _>(column(&rows, |(_, row)| row.identity.project_id.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |(_, row)| row.identity.environment.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |(_, row)| row.identity.fingerprint.as_str()))
    .bind::<Array<Text>, _>(column(&rows, |(_, row)| literal(&row.minutes)))
    .prepared()
    .execute(&mut connection)
    .await?;
    Ok(())
}

fn start(hour: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(hour.checked_mul(3_600)?, 0)
}

/// The minutes as PostgreSQL writes an array that begins at any place: `[6:8]={3,0,4}`, where element 1 is minute 0.
fn literal(minutes: &[(u8, i64)]) -> String {
    let mut text = String::new();
    let (Some((first, _)), Some((last, _))) = (minutes.first(), minutes.last()) else { return "{}".to_owned() };
    let mut minutes = minutes.iter().peekable();
    // Writing into a String cannot fail.
    let _ = write!(text, "[{}:{}]={{", u32::from(*first) + 1, u32::from(*last) + 1);
    for minute in *first..=*last {
        let value = minutes.next_if(|(known, _)| *known == minute).map_or(0, |(_, value)| *value);
        let comma = if minute == *last { "}" } else { "," };
        let _ = write!(text, "{value}{comma}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_without_an_error_between_others_are_zero() {
        assert_eq!(literal(&[(5, 3), (7, 4)]), "[6:8]={3,0,4}");
        assert_eq!(literal(&[(0, 1)]), "[1:1]={1}");
        assert_eq!(literal(&[(59, 2)]), "[60:60]={2}");
        assert_eq!(literal(&[]), "{}");
    }
}
