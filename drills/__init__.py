"""Fault drills: kill, cut, fill real processes, then compare everything with the ground truth."""
