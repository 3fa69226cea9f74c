"""'trunkline up': every role as a process, restarted when it dies."""
