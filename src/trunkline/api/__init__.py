"""REST and WebSocket; thin, no logic of its own."""
