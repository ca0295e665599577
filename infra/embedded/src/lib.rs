//! A log and a PostgreSQL inside the program; not written yet, see CHANGELOG.md.
