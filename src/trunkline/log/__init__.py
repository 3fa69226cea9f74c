"""The log port and its engines: everything that moves is a record in a log."""
