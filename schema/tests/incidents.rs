//! The incident list at the database: its coarse columns sort as the exact ones do, and cost a flush nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::as_conversions)]

use chrono::TimeDelta;
use diesel::sql_types::BigInt;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use schema::event::Severity;
use schema::incidents::{Direction, Filter, IncidentRow, Place, Sort, SortField, Start, count, page};
use schema::metrics::{Metric, Period, series};
use schema::testing::TestDatabase;

async fn run(connection: &mut AsyncPgConnection, statement: &str) {
    diesel::sql_query(statement).execute(connection).await.unwrap();
}

async fn number(connection: &mut AsyncPgConnection, query: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Number {
        #[diesel(sql_type = BigInt)]
        n: i64,
    }
    diesel::sql_query(query).get_result::<Number>(connection).await.unwrap().n
}

/// 3,000 incidents whose counts and times lie around every edge of the coarse columns, many of them equal.
async fn fill(connection: &mut AsyncPgConnection) {
    run(
        connection,
        "INSERT INTO incidents (id, org_id, project_id, environment, fingerprint, generation, title, status, severity, \
             event_count, first_seen, last_seen, partition, applied_through) \
         SELECT 'I' || lpad((i * 7919 % 3000)::text, 6, '0'), 'org', CASE WHEN i % 10 = 0 THEN 'other' ELSE 'proj' END, \
             'prod', i::text, 1, 't', 'open', (ARRAY['warn', 'error'])[1 + i % 2], \
             greatest(1, (1::bigint << (i % 62)) + i % 3 - 1), \
             timestamptz '1969-12-31 22:00:00+00' + make_interval(secs => (i % 500) * 36), \
             timestamptz '1999-12-31 22:00:00+00' + make_interval(secs => (i % 700) * 36), 0, i \
         FROM generate_series(1, 3000) AS i",
    )
    .await;
}

fn exact(row: &IncidentRow, field: SortField) -> (i64, String) {
    let Place { key, id } = Place::of(row, field);
    (key, id)
}

#[tokio::test]
async fn every_sort_walked_by_place_shows_each_incident_once_in_exact_order() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    fill(&mut connection).await;
    let filter = Filter { severities: vec![Severity::Error], ..Filter::default() };
    let total = count(&mut connection, "proj", &filter).await.unwrap();
    assert_eq!(
        total,
        number(&mut connection, "SELECT count(*) AS n FROM incidents WHERE project_id = 'proj' AND severity = 'error'")
            .await
    );
    for &field in SortField::ALL {
        for &direction in Direction::ALL {
            let sort = Sort { field, direction };
            let (mut walked, mut start) = (Vec::new(), Start::Skip(0));
            loop {
                let rows = page(&mut connection, "proj", &filter, sort, &start, 97).await.unwrap();
                let Some(last) = rows.last() else { break };
                start = Start::After(Place::of(last, field));
                walked.extend(rows.iter().map(|row| exact(row, field)));
            }
            let mut wanted = walked.clone();
            wanted.sort();
            wanted.dedup();
            assert_eq!(wanted.len() as i64, total, "{sort:?}");
            if direction == Direction::Descending {
                wanted.reverse();
            }
            assert!(walked == wanted, "{sort:?}");
        }
    }
}

#[tokio::test]
async fn a_flush_of_hot_incidents_enters_no_index() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    fill(&mut connection).await;
    // As an event does it: a moment later, one more. The hour and the magnitude stay.
    let event = "UPDATE incidents SET last_seen = last_seen + interval '1 millisecond', event_count = event_count + 1, \
                     applied_through = applied_through + 1 WHERE id = 'I000042'";
    run(
        &mut connection,
        "UPDATE incidents SET event_count = 1000, last_seen = '2026-11-24 05:10:00+00' WHERE id = 'I000042'",
    )
    .await;
    run(&mut connection, "VACUUM incidents").await;
    run(&mut connection, "SELECT pg_stat_force_next_flush()").await;
    let hot = "SELECT n_tup_hot_upd AS n FROM pg_stat_user_tables WHERE relname = 'incidents'";
    let before = number(&mut connection, hot).await;
    // As many as the page's spare room surely takes: another transaction's snapshot may forbid to tidy it up.
    for _ in 0..3 {
        run(&mut connection, event).await;
    }
    run(&mut connection, "SELECT pg_stat_force_next_flush()").await;
    assert_eq!(number(&mut connection, hot).await - before, 3);
}

#[tokio::test]
async fn a_series_has_every_step_and_counts_what_is_in_the_window() {
    let database = TestDatabase::create().await;
    let mut connection = database.connect().await;
    run(
        &mut connection,
        "INSERT INTO metrics_bucket SELECT date_trunc('minute', now()) - make_interval(mins => m), 'events.error', 2, \
             'proj', e, '' FROM generate_series(0, 20000) AS m, unnest(ARRAY['prod', 'dev']) AS e",
    )
    .await;
    for &period in Period::ALL {
        let points = series(&mut connection, "proj", Metric::Errors, period).await.unwrap();
        let (minutes, steps) = period.grid();
        assert_eq!(points.len() as u32, steps);
        let step = TimeDelta::minutes(i64::from(minutes));
        assert!(points.windows(2).all(|pair| pair[1].at - pair[0].at == step));
        assert!(points.iter().all(|point| point.at.timestamp().rem_euclid(step.num_seconds()) == 0));
        let (last, whole) = points.split_last().unwrap();
        assert!(whole.iter().all(|point| point.value == i64::from(minutes) * 4), "{period}: {whole:?}");
        assert!((4..=i64::from(minutes) * 4).contains(&last.value), "{period}: {last:?}");
    }
    assert!(series(&mut connection, "other", Metric::Errors, Period::Hour).await.unwrap().iter().all(|p| p.value == 0));
}
