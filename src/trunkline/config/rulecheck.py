"""Checks of quality rules against the rest of the site file: tags that exist, names that are unique."""

from collections.abc import Collection, Iterator

from trunkline.config.examining import Examined
from trunkline.config.problems import Location, Problem, did_you_mean
from trunkline.config.rules import ACROSS, AnyRule, ExpressionRule, StatusRule, status_path
from trunkline.config.site import SiteConfig
from trunkline.model.expressions import Expression
from trunkline.model.tags import SEPARATOR, TagPattern


def quality_rules(config: SiteConfig, examined: Examined) -> Iterator[Problem]:
    """Yield what is wrong with the rules."""
    paths = {tag.path for placed in examined.sources for tag in placed.source.tags}
    seen: dict[str, int] = {}
    for number, rule in enumerate(config.rules):
        place: Location = ("rules", number)
        if (first := seen.setdefault(rule.id, number)) != number:
            line = examined.document.line(("rules", first, "id"))
            message = f"rule id {rule.id!r} is given twice; first in line {line}"
            yield examined.document.problem((*place, "id"), message, "give every rule an id of its own: reports and reasons name it")
        judged = []
        for at, text in enumerate(rule.tags):
            pattern = TagPattern(text)
            found = [path for path in paths if pattern.matches(path)]
            judged += found
            if not found:
                yield _nothing(examined, (*place, "tags", at), pattern, paths)
        yield from _other_tags(config, examined, place, rule, judged, paths)


def _nothing(examined: Examined, place: Location, pattern: TagPattern, paths: Collection[str]) -> Problem:
    if pattern.is_path:
        mend = did_you_mean(pattern.text, paths, "the tags are") or "add the tag to its source, or remove the rule"
        return examined.document.problem(place, f"no source has the tag {pattern}", mend)
    mend = "'*' stands for characters within one level, '**' for any number of levels"
    return examined.document.problem(place, f"no tag fits {pattern}: the rule will judge nothing", mend, warning=True)


def _other_tags(
    config: SiteConfig, examined: Examined, place: Location, rule: AnyRule, judged: list[str], paths: Collection[str]
) -> Iterator[Problem]:
    if rule.kind in ACROSS and config.validation.members > 1:
        message = f"rule {rule.id!r} looks at other tags, but {config.validation.members} members share the tags"
        yield examined.document.problem(place, message, "write 'validation: {members: 1}', so that one of them sees all tags")
    if isinstance(rule, StatusRule):
        key, others = "status", {status_path(rule, path) for path in judged}
    elif isinstance(rule, ExpressionRule):
        assets = {path.rpartition(SEPARATOR)[0] for path in judged}
        key, others = "expression", {path for asset in assets for path in Expression(rule.expression, asset).tags}
    else:
        return
    for path in sorted(others - set(paths)):
        mend = did_you_mean(path, paths, "the tags are") or "name a tag that a source reads"
        yield examined.document.problem((*place, key), f"no source has the tag {path}", mend)
