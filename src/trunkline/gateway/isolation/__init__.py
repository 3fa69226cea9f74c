"""Sources in processes of their own: `isolate: process` (docs/how-to/isolate-sources.md)."""
