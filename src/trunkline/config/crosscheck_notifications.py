"""Checks of section `notifications` that no single entry can make: names that do not exist, alarms that nobody would hear of."""

from collections.abc import Iterator

from trunkline.config.channels import ADDRESSED
from trunkline.config.examining import Examined
from trunkline.config.notifications import ONCALL, NotificationsConfig, Target, untold
from trunkline.config.problems import Location, Problem, did_you_mean
from trunkline.model.tags import TagPath, TagPattern

_SECTION = "notifications"


def notifications(config: NotificationsConfig, examined: Examined) -> Iterator[Problem]:
    """Yield what is wrong between the parts of the section, and between it and the tags."""
    if not config.channels:
        if config.rules:
            message = "there are rules, and no channels: nobody is told of anything"
            yield examined.document.problem((_SECTION, "rules"), message, "add 'channels:' (docs/how-to/notifications.md)")
        return
    yield from _targets(config, examined)
    yield from _rotas(config, examined)
    yield from _addresses(config, examined)
    yield from _patterns(config, examined)
    for severity in untold(config):
        message = f"no rule tells anybody of {severity.name} alarms"
        yield examined.document.problem((_SECTION,), message, "add a rule, or a channel that the standard rules use", warning=True)


def _targets(config: NotificationsConfig, examined: Examined) -> Iterator[Problem]:
    channels, people, rotas = ([one.id for one in named] for named in (config.channels, config.people, config.rotas))
    targets: list[tuple[Location, Target]] = [((_SECTION, "rules", place), rule) for place, rule in enumerate(config.rules)]
    if "escalation" in config.model_fields_set:
        targets.append(((_SECTION, "escalation"), config.escalation))
    for location, target in targets:
        yield from _unknown(examined, (*location, "channels"), "channel", target.channels, channels)
        yield from _unknown(examined, (*location, "people"), "person", target.people, people)
        if target.rota is not None and target.rota not in rotas:
            yield _no(examined, (*location, "rota"), "rota", target.rota, rotas)
    if "escalation" not in config.model_fields_set and ONCALL not in channels:
        message = f"there is no channel {ONCALL!r}: alarms that nobody acknowledges are not escalated"
        mend = "add a channel with this id, or 'escalation: {channels: [...]}'; an empty list says that nothing is escalated"
        yield examined.document.problem((_SECTION,), message, mend, warning=True)


def _unknown(examined: Examined, location: Location, word: str, named: tuple[str, ...], known: list[str]) -> Iterator[Problem]:
    for place, name in enumerate(named):
        if name not in known:
            yield _no(examined, (*location, place), word, name, known)


def _no(examined: Examined, location: Location, word: str, name: str, known: list[str]) -> Problem:
    mend = did_you_mean(name, known, "known are") if known else f"add it under '{_SECTION}'"
    return examined.document.problem(location, f"there is no {word} {name!r}", mend)


def _rotas(config: NotificationsConfig, examined: Examined) -> Iterator[Problem]:
    people = [person.id for person in config.people]
    for place, rota in enumerate(config.rotas):
        base: Location = (_SECTION, "rotas", place)
        for week, turns in enumerate(rota.weeks):
            for shift, names in turns.items():
                yield from _unknown(examined, (*base, "weeks", week, shift), "person", names, people)
            for shift in (one.name for one in rota.shifts if not turns.get(one.name)):
                message = f"nobody is on duty in shift {shift!r} of this week: its alarms go to the channels' own recipients"
                yield examined.document.problem((*base, "weeks", week), message, f"add '{shift}: [...]'", warning=True)
        for number, override in enumerate(rota.overrides):
            yield from _unknown(examined, (*base, "overrides", number, "people"), "person", override.people, people)


def _addresses(config: NotificationsConfig, examined: Examined) -> Iterator[Problem]:
    """Yield channels that may have nobody to send to, and people whom a channel cannot reach."""
    people = {person.id: person for person in config.people}
    rotas = {rota.id: rota for rota in config.rotas}
    for place, channel in enumerate(config.channels):
        if channel.type not in ADDRESSED:
            continue
        key = ADDRESSED[channel.type]
        own = "recipients" if key == "email" else "phone_numbers"
        targets = [one for one in (*config.routes, config.escalation) if channel.id in one.channels]
        if not getattr(channel, own) and any(not one.people for one in targets):
            message = f"channel {channel.id!r} has no {own}, and is used where nobody is named, or nobody may be on duty"
            yield examined.document.problem((_SECTION, "channels", place), message, f"add '{own}:'")
        named = {name for one in targets for name in one.people}
        named |= {name for one in targets if one.rota in rotas for turns in rotas[one.rota].weeks for who in turns.values() for name in who}
        for name in sorted(named & people.keys()):
            if getattr(people[name], key) is None:
                message = f"{name!r} has no {key}, and channel {channel.id!r} cannot reach them"
                where: Location = (_SECTION, "people", list(people).index(name))
                yield examined.document.problem(where, message, f"add '{key}:', or use another channel for them", warning=True)


def _patterns(config: NotificationsConfig, examined: Examined) -> Iterator[Problem]:
    """Yield patterns that fit nothing there is."""
    tags = [tag.path for placed in examined.sources for tag in placed.source.tags]
    assets: set[str] = set()
    for path in tags:
        parts = TagPath.parse(path).parts
        assets |= {".".join(parts[:depth]) for depth in range(1, len(parts))}
    for place, rule in enumerate(config.rules):
        for key, patterns, known in (("assets", rule.assets, sorted(assets)), ("tags", rule.tags, tags)):
            for number, text in enumerate(patterns):
                if known and not any(map(TagPattern(text).matches, known)):
                    message = f"{text} fits none of the {key} of this site"
                    where: Location = (_SECTION, "rules", place, key, number)
                    yield examined.document.problem(where, message, did_you_mean(text, known, "there are"), warning=True)
