"""History in PostgreSQL: embedded server, schema, COPY writer, compactor, reader, retention. Only this package knows the tables."""
