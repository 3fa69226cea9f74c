"""How the alarm system does, from its transitions: rates, floods, chattering, standing alarms, bad actors (ISA-18.2-2016, 16; EEMUA 191).

Only live transitions count: what was recorded late was not on anybody's screen. An annunciation is a transition that makes an alarm stand
on the screen: its condition came, or its silence ended while it was on.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec
import numpy as np

from trunkline.config.alarms import AlarmsConfig
from trunkline.model import times
from trunkline.model.alarms import Lifecycle, State, Trigger
from trunkline.model.events import Alarm, AlarmSeverity
from trunkline.model.tags import SEPARATOR, TagPattern

#: EEMUA 191: annunciations in 10 minutes per operator, on average, up to which a system is called so.
BANDS: Final = ((1.0, "very likely acceptable"), (2.0, "manageable"), (5.0, "likely to be over-demanding"))
WORST_BAND: Final = "very likely unacceptable"
#: EEMUA 191 and ISA-18.2: shares of the priorities that operators can tell apart; CRITICAL counts as high.
TARGET: Final = {"LOW": 0.80, "MEDIUM": 0.15, "HIGH": 0.05}
WINDOW: Final = 10 * times.MINUTE
FLOOD_BEGINS, FLOOD_ENDS = 10, 5
CHATTERS: Final = 3
FLEETING: Final = times.MINUTE
STANDS: Final = times.DAY
FIRST_OUT_GAP: Final = 10 * times.SECOND

_SILENT: Final = frozenset({State.NORMAL, State.SHELVED, State.SUPPRESSED_BY_DESIGN, State.OUT_OF_SERVICE})
_HEARD: Final = frozenset({State.UNACKNOWLEDGED, State.ACKNOWLEDGED})
_ANNUNCIATES: Final = frozenset(
    {Trigger.CONDITION_ON, Trigger.UNSHELVE, Trigger.SHELF_EXPIRED, Trigger.UNSUPPRESS, Trigger.RETURN_TO_SERVICE}
)

PositionOf = Callable[[Alarm], str]


class Transition(msgspec.Struct, frozen=True):
    """An alarm's record with its life cycle."""

    alarm: Alarm
    life: Lifecycle

    @property
    def annunciates(self) -> bool:
        """Whether it makes the alarm stand on the screen anew."""
        silenced = self.life.previous_state in _SILENT
        came = self.life.transition == Trigger.CONDITION_ON
        return self.life.state in _HEARD and self.life.transition in _ANNUNCIATES and (came or silenced)


class Rate(msgspec.Struct, frozen=True):
    """Annunciations per 10 minutes at one position; `share_over` is the share of intervals with more than 10."""

    position: str
    annunciations: int
    average: float
    most: int
    share_over: float
    band: str


class Flood(msgspec.Struct, frozen=True):
    """More than 10 annunciations in 10 minutes at a position, until fewer than 5; `end` is None while it lasts. Times in µs UTC."""

    position: str
    begin: int
    end: int | None
    annunciations: int
    peak: int


class Counted(msgspec.Struct, frozen=True):
    """An alarm and how often; `share` is of all annunciations, or of the alarm's own."""

    key: str
    count: int
    share: float


class Lasting(msgspec.Struct, frozen=True):
    """An alarm and for how long, from `since` (µs UTC)."""

    key: str
    since: int
    seconds: float


class FirstOut(msgspec.Struct, frozen=True):
    """The first alarm of a burst within a group, by source time to the microsecond (GD-16), and those that followed it."""

    group: str
    time: int
    first: str
    followers: tuple[str, ...]


class AckTimes(msgspec.Struct, frozen=True):
    """Seconds from annunciation to acknowledgement; None without any."""

    acknowledged: int
    waiting: int
    median: float | None
    p95: float | None
    longest: float | None


class Priority(msgspec.Struct, frozen=True):
    """One priority's share of annunciations against its target."""

    priority: str
    count: int
    share: float
    target: float


class AlarmReport(msgspec.Struct, frozen=True, kw_only=True):
    """Everything, for the time from `begin` to `end` (µs UTC); `msgspec.to_builtins` gives what JSON can say."""

    begin: int
    end: int
    annunciations: int
    historic: int
    rates: list[Rate]
    floods: list[Flood]
    bad_actors: list[Counted]
    chattering: list[Counted]
    fleeting: list[Counted]
    standing: list[Lasting]
    stale: list[Lasting]
    first_out: list[FirstOut]
    acknowledgement: AckTimes
    priorities: list[Priority]


def positions(settings: AlarmsConfig) -> PositionOf:
    """Return what tells an alarm's operator position: the site file's, else the area (second part of the path), else 'site'."""
    known = [(position.id, [TagPattern(text) for text in position.tags]) for position in settings.positions]

    def of(alarm: Alarm) -> str:
        path = SEPARATOR.join(part for part in (alarm.asset, alarm.tag) if part)
        found = next((name for name, patterns in known if any(pattern.matches(path) for pattern in patterns)), None)
        if found is not None:
            return found
        parts = alarm.asset.split(SEPARATOR)
        return parts[1] if len(parts) > 1 and not known else "site"

    return of


def report(alarms: Iterable[Alarm], begin: int, end: int, position_of: PositionOf) -> AlarmReport:
    """Return the report of a time.

    Args:
        alarms: transitions, those before `begin` as well where alarms that stood then are to be known; in any order.
        begin: µs UTC.
        end: µs UTC, not in it.
        position_of: see `positions`.
    """
    known = [Transition(alarm, life) for alarm in alarms if alarm.time < end and (life := Lifecycle.of(alarm)) is not None]
    live = sorted((one for one in known if one.life.live), key=lambda one: one.alarm.time)
    heard = [one for one in live if one.annunciates and one.alarm.time >= begin]
    by_position: dict[str, list[int]] = defaultdict(list)
    for one in heard:
        by_position[position_of(one.alarm)].append(one.alarm.time)
    return AlarmReport(
        begin=begin,
        end=end,
        annunciations=len(heard),
        historic=sum(not one.life.live and one.alarm.time >= begin for one in known),
        rates=[rate(position, moments, begin, end) for position, moments in sorted(by_position.items())],
        floods=[flood for position, moments in sorted(by_position.items()) for flood in floods(position, moments, end)],
        bad_actors=bad_actors(heard),
        chattering=chattering(heard),
        fleeting=fleeting(live, begin),
        standing=lasting(live, end, lambda one: one.alarm.active),
        stale=lasting(live, end, lambda one: one.life.state not in _SILENT),
        first_out=first_out(heard, lambda one: one.alarm.asset),
        acknowledgement=acknowledgement(live, begin),
        priorities=priorities(heard),
    )


def rate(position: str, moments: Sequence[int], begin: int, end: int) -> Rate:
    """Return the rate at a position in whole intervals of 10 minutes; the last one may be shorter."""
    intervals = max(1, -(-(end - begin) // WINDOW))
    counts = np.bincount((np.array(moments, np.int64) - begin) // WINDOW, minlength=intervals)
    average = len(moments) * WINDOW / max(end - begin, WINDOW)
    band = next((name for limit, name in BANDS if average <= limit), WORST_BAND)
    return Rate(position, len(moments), average, int(counts.max()), float((counts > FLOOD_BEGINS).mean()), band)


def floods(position: str, moments: Sequence[int], end: int) -> list[Flood]:
    """Return the floods at a position; `moments` ascend."""
    found: list[Flood] = []
    window: deque[int] = deque()
    begin: int | None = None
    total = peak = 0
    for moment in [*moments, end]:
        while window and window[0] <= moment - WINDOW:
            left = window.popleft() + WINDOW
            if begin is not None and len(window) < FLOOD_ENDS:
                found.append(Flood(position, begin, left, total, peak))
                begin = None
        if moment == end:
            break
        window.append(moment)
        total += 1
        if begin is None and len(window) > FLOOD_BEGINS:
            begin, total, peak = window[0], len(window), 0
        peak = max(peak, len(window))
    return [*found, Flood(position, begin, None, total, peak)] if begin is not None else found


def bad_actors(heard: Sequence[Transition], most: int = 10) -> list[Counted]:
    """Return the alarms that annunciate most, with their share of all."""
    counts = Counter(one.life.key for one in heard)
    return [Counted(key, count, count / len(heard)) for key, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:most]]


def chattering(heard: Sequence[Transition]) -> list[Counted]:
    """Return the alarms that annunciated 3 times or more within a minute: the most in a minute, and that of all their annunciations."""
    moments: dict[str, list[int]] = defaultdict(list)
    for one in heard:
        moments[one.life.key].append(one.alarm.time)
    found = []
    for key, own in moments.items():
        at = np.array(own, np.int64)
        most = int((np.searchsorted(at, at + times.MINUTE, side="left") - np.arange(len(at))).max())
        if most >= CHATTERS:
            found.append(Counted(key, most, most / len(own)))
    return sorted(found, key=lambda one: (-one.count, one.key))


def fleeting(live: Sequence[Transition], begin: int) -> list[Counted]:
    """Return the alarms that went within a minute before anybody could act, and the share of their annunciations that did."""
    came: dict[str, int] = {}
    total: Counter[str] = Counter()
    gone: Counter[str] = Counter()
    for one in live:
        key = one.life.key
        if one.annunciates and one.alarm.time >= begin:
            came[key] = one.alarm.time
            total[key] += 1
        elif one.life.transition == Trigger.CONDITION_OFF:
            since = came.pop(key, None)
            gone[key] += since is not None and one.alarm.time - since < FLEETING
        elif one.life.transition != "COMMENT":
            came.pop(key, None)
    return [Counted(key, count, count / total[key]) for key, count in gone.most_common() if count]


def lasting(live: Sequence[Transition], end: int, stands: Callable[[Transition], bool]) -> list[Lasting]:
    """Return the alarms that stand at the end and have for more than a day, longest first."""
    since: dict[str, int] = {}
    for one in live:
        if not stands(one):
            since.pop(one.life.key, None)
        else:
            since.setdefault(one.life.key, one.alarm.time)
    old = [Lasting(key, moment, (end - moment) / times.SECOND) for key, moment in since.items() if end - moment > STANDS]
    return sorted(old, key=lambda one: (one.since, one.key))


def first_out(heard: Sequence[Transition], group_of: Callable[[Transition], str], gap: int = FIRST_OUT_GAP) -> list[FirstOut]:
    """Return, for each burst of two alarms or more in a group, which was first; a burst ends when nothing comes for `gap` µs."""
    bursts: dict[str, list[list[Transition]]] = defaultdict(list)
    for one in heard:
        own = bursts[group_of(one)]
        if own and one.alarm.time - own[-1][-1].alarm.time <= gap:
            own[-1].append(one)
        else:
            own.append([one])
    found = []
    for group, own in bursts.items():
        for burst in own:
            keys = list(dict.fromkeys(one.life.key for one in burst))
            if len(keys) > 1:
                found.append(FirstOut(group, burst[0].alarm.time, keys[0], tuple(keys[1:])))
    return sorted(found, key=lambda one: (one.time, one.group))


def acknowledgement(live: Sequence[Transition], begin: int) -> AckTimes:
    """Return how long people took to take note; alarms that nobody has to acknowledge do not count."""
    waiting: dict[str, int] = {}
    took: list[float] = []
    for one in live:
        key = one.life.key
        if one.annunciates and one.life.state is State.UNACKNOWLEDGED and one.alarm.time >= begin:
            waiting.setdefault(key, one.alarm.time)
        elif one.life.transition == Trigger.ACKNOWLEDGE and key in waiting:
            took.append((one.alarm.time - waiting.pop(key)) / times.SECOND)
        elif one.life.state in _SILENT:
            waiting.pop(key, None)
    if not took:
        return AckTimes(0, len(waiting), None, None, None)
    return AckTimes(len(took), len(waiting), float(np.median(took)), float(np.percentile(took, 95)), max(took))


def priorities(heard: Sequence[Transition]) -> list[Priority]:
    """Return the shares of the priorities against 80 % low, 15 % medium, 5 % high."""
    counts = Counter(min(one.alarm.severity, AlarmSeverity.HIGH).name for one in heard)
    return [Priority(name, counts[name], counts[name] / max(1, len(heard)), target) for name, target in TARGET.items()]
