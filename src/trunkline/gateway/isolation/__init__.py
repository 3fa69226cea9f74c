"""Sources in processes or containers of their own: `isolate: process` and `container` (docs/how-to/isolate-sources.md)."""
