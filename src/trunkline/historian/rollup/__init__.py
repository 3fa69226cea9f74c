"""Rollups: statistics of every series over seconds, minutes, hours and days, always equal to what its readings say."""
