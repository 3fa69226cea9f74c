"""The embedded log engine: SQLite, WAL, synchronous=FULL."""
