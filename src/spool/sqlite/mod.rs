//! The default engine: SQLite with group commit.
