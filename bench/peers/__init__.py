"""Ways from Kafka to PostgreSQL that users take today, and the readings that all ways are given: see README.md."""
