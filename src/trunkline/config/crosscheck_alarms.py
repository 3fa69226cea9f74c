"""Checks of alarm definitions against the tags there are: names that do not exist, kinds that a definition cannot watch."""

from collections.abc import Collection, Iterator, Mapping

from trunkline.config.alarms import AlarmDefinition
from trunkline.config.examining import Examined
from trunkline.config.problems import Location, Problem, did_you_mean, errors
from trunkline.config.site import SiteConfig
from trunkline.model.expressions import Expression
from trunkline.model.tags import SEPARATOR, TagPattern

_OF_NUMBERS = frozenset({"high-high", "high", "low", "low-low", "deviation", "rate"})


def alarms(config: SiteConfig, examined: Examined) -> Iterator[Problem]:
    """Yield what is wrong with the alarm definitions of a site."""
    if errors(examined.problems):  # a source with an error may have the tag
        return
    kinds: dict[str, str] = {tag.path: tag.kind for placed in examined.sources for tag in placed.source.tags}
    kinds |= {one.path: "double" for one in config.derived}
    for number, definition in enumerate(config.alarms.definitions):
        place: Location = ("alarms", "definitions", number)
        watched: list[str] = []
        for key, text in _named(definition):
            pattern = TagPattern(text)
            found = [text] if text in kinds else [path for path in kinds if pattern.matches(path)] if not pattern.is_path else []
            watched += found
            if not found:
                yield _nothing(examined, (*place, *key), pattern, kinds)
        yield from _others(definition, watched, kinds, examined, place)
        words = sorted(path for path in watched if kinds[path] == "text")
        if definition.kind in _OF_NUMBERS and words:
            message = f"tag {words[0]} holds text, which kind {definition.kind!r} cannot compare"
            yield examined.document.problem((*place, "kind"), message, "use kind 'discrete' with 'equals', or select other tags")


def _named(definition: AlarmDefinition) -> list[tuple[Location, str]]:
    if definition.tag is not None:
        return [(("tag",), definition.tag)]
    return [(("tags", at), text) for at, text in enumerate(definition.tags)]


def _others(
    definition: AlarmDefinition, watched: Collection[str], kinds: Mapping[str, str], examined: Examined, place: Location
) -> Iterator[Problem]:
    """Yield the tags that a definition speaks of beside those it watches, and nobody reads."""
    named: dict[str, Location] = {}
    if definition.setpoint_tag is not None:
        named[definition.setpoint_tag] = ("setpoint_tag",)
    if definition.suppressed_while is not None:
        named[definition.suppressed_while.tag] = ("suppressed_while", "tag")
    if definition.expression is not None:
        for asset in sorted({path.rpartition(SEPARATOR)[0] for path in watched}):
            named |= dict.fromkeys(Expression(definition.expression, asset).tags, ("expression",))
    for path, key in named.items():
        if path not in kinds:
            mend = did_you_mean(path, kinds, "the tags are") or "name a tag that a source reads"
            yield examined.document.problem((*place, *key), f"no source has the tag {path}", mend)


def _nothing(examined: Examined, place: Location, pattern: TagPattern, known: Collection[str]) -> Problem:
    if pattern.is_path:
        mend = did_you_mean(pattern.text, known, "the tags are") or "add the tag to its source, or remove the definition"
        return examined.document.problem(place, f"no source has the tag {pattern}", mend)
    mend = "'*' stands for characters within one level, '**' for any number of levels"
    return examined.document.problem(place, f"no tag fits {pattern}: it will alarm nothing", mend, warning=True)
