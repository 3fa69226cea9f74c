"""The three layouts of topics: each a table of `TopicSpec`, the only place where a topic's name and settings are written."""
