"""Validation: raw topics to clean ones, or to dead letters (W-121 to W-129, P-18)."""

from trunkline.processing.validate.step import ValidateStep

__all__ = ["ValidateStep"]
