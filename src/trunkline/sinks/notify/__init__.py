"""Delivers notification requests: one module a kind of channel, and `deliver`, which sees to it that each is sent at least once."""
