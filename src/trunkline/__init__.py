"""Trunkline: an open industrial data platform that reads field devices, loses nothing and proves it."""

__version__ = "0.1.0"
