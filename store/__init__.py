"""Remember: task records, usage and workers, rows in SQLite or PostgreSQL. Blobs live in the floor."""
