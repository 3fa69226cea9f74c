"""What is inside a record: blocks of readings, singles, events."""
