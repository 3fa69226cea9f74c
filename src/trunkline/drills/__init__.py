"""Drills for users: the real edge on the user's own site file, in a folder of its own, with faults from a seed and a checker."""
