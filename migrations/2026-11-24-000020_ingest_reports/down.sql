DROP TABLE ingest_reports;
