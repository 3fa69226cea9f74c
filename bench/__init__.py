"""Every performance figure that the documentation quotes: one script each, a ratio against a named peer in the same run."""
