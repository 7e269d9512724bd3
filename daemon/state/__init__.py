"""State on disk: SQLite rows in and out as domain values."""
