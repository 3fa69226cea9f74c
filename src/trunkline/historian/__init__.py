"""The history in PostgreSQL: segments, writer, compactor, reader, retention."""
