"""Quality rules of the site file: pure, vectorised, a function of the readings alone."""

from trunkline.processing.rules.ruleset import RuleSet

__all__ = ["RuleSet"]
