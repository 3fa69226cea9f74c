"""Alarms after ISA-18.2 / IEC 62682: conditions on readings, the life cycle of each alarm, and reports over it."""

from trunkline.processing.alarms.book import AlarmBook, Outcome

__all__ = ["AlarmBook", "Outcome"]
