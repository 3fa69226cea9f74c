"""Counts at every hop, and whether they balance."""
