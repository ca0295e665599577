//! Pages of incidents, by place or by number.
//!
//! A place is the sort key and the id of a row. Paging by place returns each incident once, however many others
//! come and go meanwhile. An incident whose own key moves across the reader's place while it reads is the one
//! exception: `last_seen` and `event_count` grow with each event, so it may be met twice (ascending) or not at
//! all (descending). `first_seen` moves only when an older event arrives late: for reading everything, sort by it.

use super::{COLUMNS, IncidentRow};
use crate::event::{Severity, UnknownValue, wire_enum};
use crate::prepared::Prepare;
use crate::status::IncidentStatus;
use chrono::{DateTime, Utc};
use diesel::QueryResult;
use diesel::pg::Pg;
use diesel::query_builder::{BoxedSqlQuery, SqlQuery};
use diesel::sql_types::{Array, BigInt, Nullable, Text, Timestamptz};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which incidents of a project are wanted. A list that is empty restricts nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Any of these states.
    pub statuses: Vec<IncidentStatus>,
    /// Any of these environments.
    pub environments: Vec<String>,
    /// Any of these severities.
    pub severities: Vec<Severity>,
    /// Stands somewhere in the title, error code, route or fingerprint, in upper or lower case.
    pub text: Option<String>,
}

wire_enum! {
    /// What a list is sorted by; the incident's id decides between equals.
    SortField {
        /// Latest event time.
        LastSeen = "last_seen_at",
        /// Events.
        EventCount = "event_count",
        /// Earliest event time.
        FirstSeen = "opened_at",
    }
}

wire_enum! {
    /// Which end comes first.
    Direction {
        /// The newest or the most.
        Descending = "desc",
        /// The oldest or the fewest.
        Ascending = "asc",
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sort {
    /// By what.
    pub field: SortField,
    /// From which end.
    pub direction: Direction,
}

impl Default for Sort {
    fn default() -> Self {
        Self { field: SortField::LastSeen, direction: Direction::Descending }
    }
}

/// The place of a row in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Unix microseconds, or events: what the list is sorted by.
    pub key: i64,
    /// The row's id.
    pub id: String,
}

impl Place {
    /// The place of `row` in a list sorted by `field`.
    pub fn of(row: &IncidentRow, field: SortField) -> Self {
        let key = match field {
            SortField::LastSeen => row.last_seen.timestamp_micros(),
            SortField::FirstSeen => row.first_seen.timestamp_micros(),
            SortField::EventCount => row.event_count,
        };
        Self { key, id: row.id.clone() }
    }
}

/// Where a page begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// After so many rows.
    Skip(i64),
    /// Behind this place, whether or not a row is there.
    After(Place),
}

type Statement = BoxedSqlQuery<'static, Pg, SqlQuery>;

const WANTED: &str = "FROM incidents WHERE project_id = $1 \
     AND (cardinality($2) = 0 OR status = ANY ($2)) \
     AND (cardinality($3) = 0 OR environment = ANY ($3)) \
     AND (cardinality($4) = 0 OR severity = ANY ($4)) \
     AND ($5 IS NULL OR title ILIKE $5 OR error_code ILIKE $5 OR route ILIKE $5 OR fingerprint ILIKE $5)";

fn wanted(select: &str, project_id: &str, filter: &Filter) -> Statement {
    let statuses: Vec<&'static str> = filter.statuses.iter().map(|status| status.as_str()).collect();
    let severities: Vec<&'static str> = filter.severities.iter().map(|severity| severity.as_str()).collect();
    diesel::sql_query(format!("{select} {WANTED}"))
        .into_boxed::<Pg>()
        .bind::<Text, _>(project_id.to_owned())
        .bind::<Array<Text>, _>(statuses)
        .bind::<Array<Text>, _>(filter.environments.clone())
        .bind::<Array<Text>, _>(severities)
        .bind::<Nullable<Text>, _>(filter.text.as_deref().map(containing))
}

/// A LIKE pattern that matches `text` itself anywhere.
fn containing(text: &str) -> String {
    let mut pattern = String::from("%");
    for letter in text.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    pattern
}

/// How many incidents the filter lets through.
///
/// # Errors
/// The database's.
pub async fn count(connection: &mut AsyncPgConnection, project_id: &str, filter: &Filter) -> QueryResult<i64> {
    #[derive(diesel::QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        count: i64,
    }
    let found: Count = wanted("SELECT count(*) AS count", project_id, filter).prepared().get_result(connection).await?;
    Ok(found.count)
}

/// At most `limit` incidents from `start` on.
///
/// # Errors
/// The database's. A key that is no time, where the list is sorted by time, is a serialisation error.
pub async fn page(
    connection: &mut AsyncPgConnection,
    project_id: &str,
    filter: &Filter,
    sort: Sort,
    start: &Start,
    limit: i64,
) -> QueryResult<Vec<IncidentRow>> {
    let statement = wanted(&format!("SELECT {COLUMNS}"), project_id, filter);
    let order = order(sort);
    let statement = match start {
        Start::Skip(rows) => {
            statement.sql(format!(" {order} OFFSET $6 LIMIT $7")).bind::<BigInt, _>(*rows).bind::<BigInt, _>(limit)
        }
        Start::After(place) => behind(statement, sort, place)?
            .sql(format!(" {order} LIMIT $8"))
            .bind::<Text, _>(place.id.clone())
            .bind::<BigInt, _>(limit),
    };
    statement.prepared().load(connection).await
}

/// The coarse column comes first: it has the index, and sorts as the exact one does.
fn order(Sort { field, direction }: Sort) -> String {
    let (coarse, exact) = columns(field);
    let coarse = coarse.map(|column| format!("{column} {direction}, ")).unwrap_or_default();
    format!("ORDER BY {coarse}{exact} {direction}, id {direction}")
}

fn columns(field: SortField) -> (Option<&'static str>, &'static str) {
    match field {
        SortField::LastSeen => (Some("last_seen_hour"), "last_seen"),
        SortField::EventCount => (Some("count_magnitude"), "event_count"),
        SortField::FirstSeen => (None, "first_seen"),
    }
}

/// Restricts the statement to rows behind the place; `$6` is its key, `$7` its id.
fn behind(statement: Statement, Sort { field, direction }: Sort, place: &Place) -> QueryResult<Statement> {
    let beyond = match direction {
        Direction::Descending => '<',
        Direction::Ascending => '>',
    };
    let (_, exact) = columns(field);
    let exact = format!("({exact}, id) {beyond} ($6, $7)");
    Ok(match field {
        SortField::LastSeen => {
            let hour = "date_bin('1 hour', $6, '2000-01-01 00:00:00+00')";
            statement
                .sql(format!(" AND last_seen_hour {beyond}= {hour} AND {exact}"))
                .bind::<Timestamptz, _>(time(place.key)?)
        }
        SortField::FirstSeen => statement.sql(format!(" AND {exact}")).bind::<Timestamptz, _>(time(place.key)?),
        SortField::EventCount => {
            let magnitude = place.key.checked_ilog(16).map_or(-1, i64::from);
            statement
                .sql(format!(" AND count_magnitude {beyond}= {magnitude} AND {exact}"))
                .bind::<BigInt, _>(place.key)
        }
    })
}

fn time(micros: i64) -> QueryResult<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros)
        .ok_or_else(|| diesel::result::Error::SerializationError("the key of a place is no time".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_taken_literally() {
        assert_eq!(containing(r"50%_\"), r"%50\%\_\\%");
    }

    #[test]
    fn a_list_is_ordered_by_the_indexed_column_then_the_exact_one_then_the_id() {
        assert_eq!(order(Sort::default()), "ORDER BY last_seen_hour desc, last_seen desc, id desc");
        let oldest = Sort { field: SortField::FirstSeen, direction: Direction::Ascending };
        assert_eq!(order(oldest), "ORDER BY first_seen asc, id asc");
    }
}
