"""Checks of derived tags against the tags there are: inputs, circles, units."""

from collections.abc import Iterator, Mapping

from trunkline.config.derived import DERIVED, DerivedConfig, in_order
from trunkline.config.examining import Examined
from trunkline.config.problems import Location, Problem, errors, nearest
from trunkline.config.site import SiteConfig
from trunkline.config.tags import TagConfig
from trunkline.config.units import UnitProblem, check_unit, quantity_of, read_unit


def derived(config: SiteConfig, examined: Examined) -> Iterator[Problem]:
    """Yield what is wrong with the derived tags of a site."""
    if not config.derived:
        return
    tags = {tag.path: tag for placed in examined.sources for tag in placed.source.tags}
    sound: dict[int, DerivedConfig] = {}
    for place, one in enumerate(config.derived):
        try:
            one.expression  # noqa: B018 - reading it is the check
            sound[place] = one
        except ValueError as error:
            message, _, mend = str(error).rpartition(": ")
            if ": " not in message:  # 'column 3' alone: the text has no mend
                message, mend = str(error), ""
            yield examined.document.problem(("derived", place, "calc"), message, mend)
    yield from _names(config, tags, examined)
    if not errors(examined.problems):  # a source with an error may have the tag
        yield from _inputs(sound, tags, examined)
    try:
        in_order(tuple(sound.values()))
    except ValueError as error:
        circle = str(error)
        place = next(place for place, one in sound.items() if one.path == circle.partition(" <- ")[0])
        message = f"derived tags are made of each other: {circle}"
        yield examined.document.problem(("derived", place, "calc"), message, "take one of them out of the other's expression")
    yield from _units(sound, tags, examined)


def _names(config: SiteConfig, tags: Mapping[str, TagConfig], examined: Examined) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for place, one in enumerate(config.derived):
        at: Location = ("derived", place, "path")
        if one.path in tags:
            message = f"tag {one.path} is read from a device already"
            yield examined.document.problem(at, message, "a tag has one source: give the derived tag a name of its own")
        elif seen.setdefault(one.path, place) != place:
            line = examined.document.line(("derived", seen[one.path], "path"))
            message = f"tag {one.path} is derived twice; first in line {line}"
            yield examined.document.problem(at, message, "rename or remove one of them")
    for position, gateway in enumerate(config.gateways):
        if gateway.id == DERIVED:
            message = f"gateway id {DERIVED!r} is the name under which derived tags are counted"
            yield examined.document.problem(("gateways", position, "id"), message, "give the gateway another id")


def _inputs(sound: Mapping[int, DerivedConfig], tags: Mapping[str, TagConfig], examined: Examined) -> Iterator[Problem]:
    known = {*tags, *(one.path for one in sound.values())}
    for place, one in sound.items():
        if not one.expression.tags:
            mend = "name the tags that it is made of; a constant is no derived tag"
            yield examined.document.problem(("derived", place, "calc"), "the expression names no tag", mend)
        for tag in one.expression.tags:
            if tag not in known:
                guess = nearest(tag, known)
                mend = f"did you mean {guess}?" if guess else "add the tag to a source, or name one that is there"
                yield examined.document.problem(("derived", place, "calc"), f"there is no tag {tag}", mend)


def _units(sound: Mapping[int, DerivedConfig], tags: Mapping[str, TagConfig], examined: Examined) -> Iterator[Problem]:
    units = {one.path: one.unit for one in sound.values()} | {path: tag.unit for path, tag in tags.items()}
    for place, one in sound.items():
        at: Location = ("derived", place, "unit" if one.unit else "calc")
        try:
            read_unit(one.unit)
        except UnitProblem as error:
            yield examined.document.problem(("derived", place, "unit"), error.message, error.mend)
            continue
        if not one.check_units or one.tag.kind in ("boolean", "text"):
            continue
        unread = [tag for tag in one.expression.tags if not _readable(units.get(tag, ""))]
        for tag in unread:
            message = f"the unit {units[tag]!r} of {tag} is not known: units of this expression are not checked"
            yield examined.document.problem(
                ("derived", place, "calc"), message, "write it as in 'm³/h', or 'check_units: false'", warning=True
            )
        if unread:
            continue
        try:
            given = quantity_of(one.expression.tree, units)
        except UnitProblem as error:
            yield examined.document.problem(("derived", place, "calc"), error.message, error.mend)
            continue
        try:
            check_unit(given, one.unit)
        except UnitProblem as error:
            yield examined.document.problem(at, error.message, error.mend, warning=not one.unit)


def _readable(unit: str) -> bool:
    try:
        read_unit(unit)
    except UnitProblem:
        return False
    return True
