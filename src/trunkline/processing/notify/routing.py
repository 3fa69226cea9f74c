"""Which rules fit an alarm, and so whom it goes to by which channel (W-140 to W-143)."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple
from zoneinfo import ZoneInfo

from trunkline.config.notifications import NotificationsConfig, Rule, Target
from trunkline.model import times
from trunkline.model.tags import TagPattern
from trunkline.processing.notify.transition import Transition


class Destination(NamedTuple):
    """A channel that an alarm goes to.

    Attributes:
        channel: its id.
        people: whom it is for; empty for the channel's own recipients.
        digest_us: collected and sent together this often, µs; None for at once.
        rules: ids of the rules that lead there.
    """

    channel: str
    people: tuple[str, ...]
    digest_us: int | None
    rules: tuple[str, ...]


class Routing:
    """The rules of a site, ready to be asked.

    Args:
        config: section `notifications`.
        zone: the site's IANA zone: hours of rules are by its clock.
    """

    def __init__(self, config: NotificationsConfig, zone: str) -> None:
        self._zone = zone
        self._clock = ZoneInfo(zone)
        self._rules = [
            (rule, tuple(map(TagPattern, rule.assets)), tuple(map(TagPattern, rule.tags)), frozenset(rule.severity))
            for rule in config.routes
        ]
        self._rotas = {rota.id: rota for rota in config.rotas}

    def destinations(self, alarm: Transition) -> list[Destination]:
        """Return where an alarm goes, each channel once: at once beats a digest, the shorter digest the longer."""
        found: dict[str, Destination] = {}
        for rule, why_not in self._judged(alarm):
            if not why_not:
                digest = None if rule.digest_seconds is None else round(rule.digest_seconds * times.SECOND)
                people = self.people(rule, alarm.time)
                for channel in rule.channels:
                    fresh = Destination(channel, people, digest, (rule.id,))
                    found[channel] = _joined(found[channel], fresh) if channel in found else fresh
        return list(found.values())

    def people(self, target: Target, moment: int) -> tuple[str, ...]:
        """Return whom a target means at a time, µs UTC: its people, and those on duty."""
        rota = self._rotas.get(target.rota or "")
        return tuple(dict.fromkeys((*target.people, *(rota.on_duty(moment, self._zone) if rota is not None else ()))))

    def verdicts(self, alarm: Transition) -> list[tuple[Rule, str]]:
        """Return for each rule why it does not fit an alarm: 'severity', 'assets', 'tags', 'types' or 'hours'; '' when it does."""
        return list(self._judged(alarm))

    def _judged(self, alarm: Transition) -> Iterator[tuple[Rule, str]]:
        local = times.to_datetime(alarm.time).astimezone(self._clock)
        for rule, assets, tags, severities in self._rules:
            if alarm.severity.name not in severities:
                yield rule, "severity"
            elif assets and not any(one.matches(alarm.asset) for one in assets):
                yield rule, "assets"
            elif tags and not any(one.matches(alarm.path) for one in tags):
                yield rule, "tags"
            elif rule.types and not any(fnmatchcase(alarm.type, one) for one in rule.types):
                yield rule, "types"
            elif rule.hours is not None and rule.hours.day_of(local) is None:
                yield rule, "hours"
            else:
                yield rule, ""


def _joined(one: Destination, other: Destination) -> Destination:
    """Return one destination for two rules. A channel's own recipients stay among them when one of the rules names nobody."""
    digest = None if one.digest_us is None or other.digest_us is None else min(one.digest_us, other.digest_us)
    people = tuple(dict.fromkeys((*one.people, *other.people))) if one.people and other.people else ()
    return Destination(one.channel, people, digest, (*one.rules, *other.rules))
