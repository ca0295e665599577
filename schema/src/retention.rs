//! The days of `metrics_bucket` and `trend_hours`: made ahead, dropped when they are old; and which day it is, for others that
//! keep days.
//!
//! This is housekeeping by the database's clock; no count depends on when it runs.

use chrono::NaiveDate;
use diesel::QueryResult;
use diesel::sql_types::{Date, Integer, Text};
use diesel_async::{AsyncPgConnection, RunQueryDsl};

/// Days made ahead of today, so that a clock somewhat in the future finds its day.
const DAYS_AHEAD: i32 = 3;

/// A table that is partitioned by days of event time.
struct Daily {
    name: &'static str,
    time: &'static str,
    /// Percent of a page that insertions fill; the rest lets an update stay beside its old row and pass the index by.
    fillfactor: u8,
}

const DAILY: [Daily; 2] = [
    Daily { name: "metrics_bucket", time: "bucket_time", fillfactor: 70 },
    Daily { name: "trend_hours", time: "hour", fillfactor: 50 },
];

#[derive(diesel::QueryableByName)]
struct Statement {
    #[diesel(sql_type = Text)]
    statement: String,
}

/// Makes the partitions for yesterday until three days from now, where no row of such a day has already gone
/// to the catch-all partition.
///
/// # Errors
/// The database's. Two processes at once are harmless: a day that appears meanwhile is left alone.
pub async fn ensure_days(connection: &mut AsyncPgConnection) -> QueryResult<()> {
    for Daily { name, time, fillfactor } in DAILY {
        let missing: Vec<Statement> = diesel::sql_query(format!(
            "SELECT format('CREATE TABLE IF NOT EXISTS {name}_%s PARTITION OF {name} \
                            FOR VALUES FROM (%L) TO (%L) WITH (fillfactor = {fillfactor})', \
                    to_char(naive, 'YYYYMMDD'), day, day + interval '1 day') AS statement \
             FROM generate_series(date_trunc('day', now() AT TIME ZONE 'UTC') - interval '1 day', \
                                  date_trunc('day', now() AT TIME ZONE 'UTC') + make_interval(days => $1), \
                                  interval '1 day') AS d (naive), LATERAL (SELECT naive AT TIME ZONE 'UTC' AS day) AS z \
             WHERE to_regclass('{name}_' || to_char(naive, 'YYYYMMDD')) IS NULL \
               AND NOT EXISTS (SELECT 1 FROM {name}_other o \
                               WHERE o.{time} >= day AND o.{time} < day + interval '1 day')",
        ))
        .bind::<Integer, _>(DAYS_AHEAD)
        .load(connection)
        .await?;
        run(connection, missing).await?;
    }
    Ok(())
}

/// Drops the days that ended more than `days` ago, and such rows of the catch-all partitions.
///
/// # Errors
/// The database's.
pub async fn drop_old_days(connection: &mut AsyncPgConnection, days: i32) -> QueryResult<()> {
    for Daily { name, time, .. } in DAILY {
        let old: Vec<Statement> = diesel::sql_query(format!(
            "SELECT format('DROP TABLE IF EXISTS %I', c.relname) AS statement \
             FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid \
             WHERE i.inhparent = '{name}'::regclass AND c.relname ~ '^{name}_[0-9]{{8}}$' \
               AND to_date(right(c.relname, 8), 'YYYYMMDD') < (now() AT TIME ZONE 'UTC')::date - $1",
        ))
        .bind::<Integer, _>(days)
        .load(connection)
        .await?;
        run(connection, old).await?;
        diesel::sql_query(format!("DELETE FROM {name}_other WHERE {time} < now() - make_interval(days => $1)"))
            .bind::<Integer, _>(days)
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn run(connection: &mut AsyncPgConnection, statements: Vec<Statement>) -> QueryResult<()> {
    for Statement { statement } in statements {
        diesel::sql_query(statement).execute(connection).await?;
    }
    Ok(())
}

#[derive(diesel::QueryableByName)]
struct Today {
    #[diesel(sql_type = Date)]
    today: NaiveDate,
}

/// The day that it is, in UTC.
///
/// # Errors
/// The database's.
pub async fn today(connection: &mut AsyncPgConnection) -> QueryResult<NaiveDate> {
    let row: Today =
        diesel::sql_query("SELECT (now() AT TIME ZONE 'UTC')::date AS today").get_result(connection).await?;
    Ok(row.today)
}
