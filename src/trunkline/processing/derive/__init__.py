"""Derived tags: readings that are reckoned from others (docs/decisions/0016-derived-tags.md)."""

from trunkline.processing.derive.step import DeriveStep

__all__ = ["DeriveStep"]
