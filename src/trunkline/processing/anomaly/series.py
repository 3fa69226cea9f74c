"""Which series a rule watches and what its scores are called."""

from collections.abc import Iterable

from trunkline.config.anomalies import AnomalyRule
from trunkline.model.tags import SEPARATOR, TagPattern


def watched(rule: AnomalyRule, paths: Iterable[str]) -> list[str]:
    """Return the paths that the rule's patterns stand for, in the order given."""
    patterns = [TagPattern(text) for text in rule.tags]
    return [path for path in paths if any(pattern.matches(path) for pattern in patterns)]


def score_path(rule: AnomalyRule, series: str) -> str:
    """Return the path of the scores: beside the tag, or below the asset where one rule looks at all its tags together.

    PLANT01.AREA02.UNIT_05.FLOW_RATE and rule 'drift' make PLANT01.AREA02.UNIT_05.FLOW_RATE_ANOMALY_DRIFT. A level more would make a branch
    of the tag.

    Args:
        rule: whose scores.
        series: path of the tag, or of the asset for half-space trees.
    """
    name = f"ANOMALY_{rule.id.upper()}"
    return f"{series}{SEPARATOR}{name}" if rule.half_space_trees else f"{series}_{name}"
