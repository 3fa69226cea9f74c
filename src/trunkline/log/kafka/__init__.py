"""Apache Kafka as an engine of the log, and its administration."""
