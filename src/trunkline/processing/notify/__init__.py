"""Decides who is told of an alarm, when and by which channel: a pure step from transitions to notification requests."""
