"""Checks of anomaly rules against the rest of the site file and this machine."""

import importlib.util
from collections.abc import Iterator, Mapping

from trunkline.config.anomalies import ANOMALY, AnomalyRule
from trunkline.config.examining import Examined
from trunkline.config.problems import Location, Problem, did_you_mean
from trunkline.model.tags import MAX_TAG, TagPattern


def anomalies(examined: Examined) -> Iterator[Problem]:
    """Yield rules of one id, rules for tags that do not exist or have no numbers, and names of scores that are too long."""
    if examined.config is None:
        return
    kinds = {tag.path: tag.kind for placed in examined.sources for tag in placed.source.tags}
    for position, gateway in enumerate(examined.config.gateways):
        if examined.config.anomalies and gateway.id == ANOMALY:
            message = f"gateway id {ANOMALY!r} is the name under which scores of anomaly rules are counted"
            yield examined.document.problem(("gateways", position, "id"), message, "give the gateway another id")
    first: dict[str, Location] = {}
    for position, rule in enumerate(examined.config.anomalies):
        place: Location = ("anomalies", position, "id")
        if first.setdefault(rule.id, place) != place:
            line = examined.document.line(first[rule.id])
            message = f"anomaly rule {rule.id!r} is given twice; first in line {line}"
            yield examined.document.problem(place, message, "give every rule an id of its own: it names the rule's scores")
        for number, text in enumerate(rule.tags):
            yield from _tags(rule, text, ("anomalies", position, "tags", number), kinds, examined)


def _tags(rule: AnomalyRule, text: str, place: Location, kinds: Mapping[str, str], examined: Examined) -> Iterator[Problem]:
    pattern = TagPattern(text)
    matched = [path for path in kinds if pattern.matches(path)]
    if not matched:
        mend = did_you_mean(text, kinds, "tags are") or "name a tag of the sources, or a pattern with * and **"
        yield examined.document.problem(place, f"rule {rule.id!r} watches {text}, and no tag is called so", mend, warning="*" in text)
        return
    if all(kinds[path] in {"boolean", "text"} for path in matched):
        message = f"rule {rule.id!r} watches {text}, which has no numbers ({kinds[matched[0]]})"
        yield examined.document.problem(place, message, "anomalies are found in tags of kind double or integer", warning="*" in text)
    scores = [f"{path.rpartition('.')[2]}_ANOMALY_{rule.id}" for path in matched]
    longest = max(scores, key=len)
    if rule.half_space_trees is None and len(longest) > MAX_TAG:
        message = (
            f"the scores of rule {rule.id!r} would be called {longest.upper()}, {len(longest)} characters: at most {MAX_TAG} are allowed"
        )
        yield examined.document.problem(place, message, "give the rule a shorter id")


def packages(examined: Examined) -> Iterator[Problem]:
    """Yield rules that need a package which this machine lacks."""
    for position, rule in enumerate(examined.config.anomalies if examined.config is not None else ()):
        if rule.enabled and rule.half_space_trees is not None and importlib.util.find_spec("river") is None:
            message = f"rule {rule.id!r} needs the package river, which is not installed"
            mend = "run pip install 'trunkline[anomaly]', or write 'enabled: false'"
            yield examined.document.problem(("anomalies", position, "half_space_trees"), message, mend)
