"""A schema registry with the REST API of Confluent's, so that one machine needs nothing more (W-92)."""
