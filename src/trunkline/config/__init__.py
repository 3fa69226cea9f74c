"""The site file: models, loading with line numbers, every error at once, JSON Schema."""
