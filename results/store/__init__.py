"""The store of a sweep: one SQLite file that one process writes and any may read."""
