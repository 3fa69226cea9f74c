"""Steps between topics: the runtime and validation."""
