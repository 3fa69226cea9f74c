"""The edge: runs sources, journals their readings, forwards them, enforces buffer limits."""
