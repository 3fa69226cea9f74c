"""From what a device said to what is journaled: kind, time, skew, deadband, silence (ED-10: checks at the edge).

Pure: the clock comes in with every call, so tests can turn it. One `Conditioner` belongs to one source. Silence is measured by a clock
that never steps: an hour that the wall clock leaps over is no hour without readings.

Readings come one by one or as a scan (`trunkline.model.scan`). A scan whose tags have no deadband stays columns all the way, and what it
says of each tag is noted once for all of them; it is written down tag by tag only when somebody asks.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Final
from weakref import WeakKeyDictionary

from trunkline.config.tags import TagConfig
from trunkline.gateway.reduction import Furthest, Reduction, further
from trunkline.gateway.scans import fit_scan, unclocked
from trunkline.log.codec.slots import Slots
from trunkline.log.codec.writer import Rows, TagSlot, ledger_hour, rows_of_scan
from trunkline.model import quality as q
from trunkline.model import times
from trunkline.model.quality import Quality, Severity
from trunkline.model.reading import Kind, Reading, Value, coerce
from trunkline.model.scan import Bools, Roster, Scan

#: D-15: from here on readings are marked; from there on people are told.
SKEW_MARK = 5 * times.SECOND
SKEW_ALERT = 10 * times.SECOND
#: Longer texts are no measurements; they are told as BAD, so that one device cannot fill the gateway's memory.
MAX_TEXT = 250_000
_SKEW_WINDOW = 60 * times.SECOND
_EXACT: Final[dict[Kind, type]] = {Kind.DOUBLE: float, Kind.INTEGER: int, Kind.BOOLEAN: bool, Kind.TEXT: str}

Conditioned = tuple[TagSlot, Reading]


class SkewEstimate:
    """How far the device's clock is from the gateway's, in µs; positive when the device is behind.

    A difference of gateway and device time is skew plus transport delay, and data may be late by design. The smallest difference of the
    last minute is therefore taken: late data only ever adds to it (D-15).
    """

    def __init__(self) -> None:
        self._lows: deque[tuple[int, int]] = deque()  # (gateway time, difference), differences ascending

    def see(self, gateway_time: int, source_time: int) -> None:
        """Take one reading into account."""
        difference = gateway_time - source_time
        while self._lows and self._lows[-1][0] > gateway_time + _SKEW_WINDOW:
            self._lows.pop()  # seen before the gateway's clock was set back: they would outlive their minute by as much
        while self._lows and self._lows[-1][1] >= difference:
            self._lows.pop()
        self._lows.append((gateway_time, difference))
        while self._lows[0][0] < gateway_time - _SKEW_WINDOW:
            self._lows.popleft()

    @property
    def skew(self) -> int:
        """The estimate; 0 before the first reading."""
        return self._lows[0][1] if self._lows else 0


@dataclass(slots=True)
class _Tag:
    """What is remembered of one tag."""

    slot: TagSlot
    band: float | None
    max_silence: int | None
    stale_after: int
    own_clock: bool
    exact: type  # of values that need no conversion
    heard: int | None = None  # when it last gave a reading
    told: Reading | None = None  # last reading passed on
    told_at: int = 0
    silence: int = 0  # 0 heard, 1 told stale, 2 told lost


@dataclass(slots=True)
class _Listed:
    """What is known of the tags of a roster.

    Attributes:
        tags: in the roster's order.
        slots: of the tags.
        unclocked: per tag, whether the device should have given a time; None when none should.
        first_stale: shortest silence of a tag that is told.
        last: the last scan of the roster, as it was passed on.
        at: when that was.
    """

    tags: list[_Tag]
    slots: Slots
    unclocked: Bools | None
    first_stale: int
    last: Scan | None = None
    at: int = 0


class Conditioner:
    """Applies what the site file says of each tag.

    Args:
        tags: the source's tags with the slots of the topic they go to.
        lost_after: seconds of silence until a tag is BAD (communication lost).
        stale_after: seconds of silence until a tag is UNCERTAIN (stale), for tags that set none.
        started: present time; silence is counted from here for tags that were never heard. This and every `now` are µs of one clock
            that never steps (`trunkline.gateway.clockwatch.uptime`).
    """

    def __init__(self, tags: Iterable[tuple[TagConfig, TagSlot]], stale_after: float, lost_after: float, started: int) -> None:
        self._lost_after = int(lost_after * times.SECOND)
        self._started = started
        self._tags = {config.path: _remember(config, slot, stale_after) for config, slot in tags}
        self.skew = SkewEstimate()
        self.unknown_tags = 0
        self.suppressed = 0
        self.furthest = Furthest()  # of what was suppressed
        self._reduction = Reduction()  # since it was last asked for
        self.clock_doubted = False  # the gateway's own clock is off: what it stamps is marked (W-105)
        self._rosters: WeakKeyDictionary[Roster, _Listed | None] = WeakKeyDictionary()
        self._unnoted: dict[Roster, _Listed] = {}  # scans that are not written down tag by tag, in the order in which they came
        self._others: list[_Tag] | None = None  # tags of no scan among them; None when that has to be found out
        self._told_silent = False

    @property
    def tags(self) -> int:
        """How many tags there are."""
        return len(self._tags)

    @property
    def stale(self) -> int:
        """How many tags are silent now."""
        return sum(tag.silence > 0 for tag in self._tags.values())

    def take_scan(self, scan: Scan, *, alive: bool, now: int) -> list[Conditioned] | Rows:
        """Return what is to be journaled of a scan: as columns, unless its tags have to be looked at one by one."""
        rows = None if alive else self._take_columns(scan, now)
        return self.take(scan, alive=alive, now=now) if rows is None else rows

    def take(self, readings: Sequence[Reading], *, alive: bool, now: int, late: bool = False) -> list[Conditioned]:
        """Return what is to be journaled of these readings, in their order; `alive` and `late` as in `ReadBatch`."""
        self._note()
        out: list[Conditioned] = []
        tags = self._tags
        for reading in readings:
            tag = tags.get(reading.tag)
            if tag is None:
                self.unknown_tags += 1
                continue
            fit = self._fit(tag, reading, late=late)
            tag.heard = now
            tag.silence = 0
            band = tag.band
            if band is None or _worth_telling(tag, band, fit, now):
                tag.told, tag.told_at = fit, now
                out.append((tag.slot, fit))
            else:
                self._suppress(tag, band, fit)
        if alive:
            for tag in self._tags.values():
                if tag.told is not None and tag.silence == 0:
                    tag.heard = now
        return out

    def reduction(self) -> Reduction | None:
        """Return what deadbands kept back since this was last asked for, None if nothing."""
        if not self._reduction.hours:
            return None
        told, self._reduction = self._reduction, Reduction()
        return told

    def _suppress(self, tag: _Tag, band: float, reading: Reading) -> None:
        """Count a reading that is not passed on."""
        time = reading.gateway_time if reading.source_time is None else reading.source_time
        self._reduction.note(reading.tag, _share(tag, band, reading), ledger_hour(time, reading.gateway_time))
        self.suppressed += 1
        self.furthest = further(self.furthest, self._reduction.furthest)

    def _take_columns(self, scan: Scan, now: int) -> Rows | None:
        """Return what is to be journaled of a scan; None when its tags have to be looked at one by one."""
        if scan.roster not in self._rosters:
            self._rosters[scan.roster] = self._list(scan.roster)
        listed = self._rosters[scan.roster]
        if listed is None or sum(map(len, scan.texts)) > MAX_TEXT:
            return None
        listed.last, listed.at = fit_scan(scan, listed.unclocked, doubted=self.clock_doubted), now
        if self._told_silent:
            for tag in listed.tags:
                tag.silence = 0
            self._told_silent = self.stale > 0
        if self._unnoted.pop(scan.roster, None) is None:
            self._others = None
        self._unnoted[scan.roster] = listed
        return rows_of_scan(listed.slots, listed.last)

    def _list(self, roster: Roster) -> _Listed | None:
        """Return what is known of the tags of a roster; None if one is unknown, of another kind, or has a deadband."""
        tags = [tag for path in roster.tags if (tag := self._tags.get(path)) is not None]
        if not tags or [tag.slot.kind for tag in tags] != list(roster.kinds) or any(tag.band is not None for tag in tags):
            return None
        return _Listed(
            tags=tags,
            slots=Slots([tag.slot for tag in tags]),
            unclocked=unclocked([not tag.own_clock for tag in tags]),
            first_stale=min(tag.stale_after for tag in tags),
        )

    def _note(self) -> None:
        """Write down tag by tag what scans said."""
        for listed in self._unnoted.values():
            if listed.last is not None:
                for tag, reading in zip(listed.tags, listed.last.readings(), strict=True):
                    tag.heard = tag.told_at = listed.at
                    tag.told, tag.silence = reading, 0
        self._unnoted.clear()
        self._others = None

    def _due(self, now: int) -> Iterable[_Tag]:
        """Return the tags that may be silent: not those of a scan that is younger than the shortest silence told."""
        if not all(now - listed.at < listed.first_stale for listed in self._unnoted.values()):
            self._note()
        if self._others is None:
            heard = {tag.slot.path for listed in self._unnoted.values() for tag in listed.tags}
            self._others = [tag for path, tag in self._tags.items() if path not in heard]
        return self._others

    def silent(self, now: int, stamp: int) -> list[Conditioned]:
        """Return the readings that say, once each, that a tag fell silent: first UNCERTAIN (stale), then BAD (communication lost).

        `stamp` is their gateway time, µs UTC.
        """
        out: list[Conditioned] = []
        for tag in self._due(now):
            if tag.heard is None:
                tag.heard = self._started
            since = now - tag.heard
            if since < tag.stale_after:
                continue
            lost = since >= max(self._lost_after, tag.stale_after)
            step = 2 if lost else 1
            if step <= tag.silence:
                continue
            tag.silence = step
            self._told_silent = True
            last = tag.told.value if tag.told is not None else None
            if lost:
                mark = Reading(tag.slot.path, None, Quality.BAD_COMMS_LOST, None, stamp)
            elif last is None:
                continue
            else:
                mark = Reading(tag.slot.path, last, Quality.UNCERTAIN_STALE, None, stamp)
            tag.told, tag.told_at = mark, now
            out.append((tag.slot, mark))
        return out

    def _fit(self, tag: _Tag, reading: Reading, *, late: bool) -> Reading:
        """Return the reading with a value of the tag's kind, a time in history and an honest quality."""
        value, quality, source_time = reading.value, reading.quality, reading.source_time
        # nearly all readings are finite doubles of their own type: they pay for no more than this look
        if not (type(value) is float is tag.exact and isfinite(value)):
            value, quality = _fit_value(value, tag.slot.kind, quality)
        if tag.own_clock:
            source_time = None
            if self.clock_doubted:
                quality = q.worse(quality, Quality.UNCERTAIN_CLOCK_SKEW)
        elif source_time is None:
            quality = q.worse(quality, Quality.UNCERTAIN_NO_SOURCE_TIME)
        elif not late:
            self.skew.see(reading.gateway_time, source_time)
            if abs(self.skew.skew) > SKEW_MARK:
                quality = q.worse(quality, Quality.UNCERTAIN_CLOCK_SKEW)
        if value is reading.value and quality == reading.quality and source_time == reading.source_time:
            return reading
        return Reading(reading.tag, value, int(quality), source_time, reading.gateway_time)


def _remember(config: TagConfig, slot: TagSlot, stale_after: float) -> _Tag:
    band = None
    if config.deadband is not None:
        if config.deadband.absolute is not None:
            band = config.deadband.absolute
        elif config.deadband.percent is not None and config.min is not None and config.max is not None:
            band = config.deadband.percent / 100 * (config.max - config.min)
    return _Tag(
        slot=slot,
        band=band,
        max_silence=None if config.max_silence is None else int(config.max_silence * times.SECOND),
        stale_after=int((config.stale_after or stale_after) * times.SECOND),
        own_clock=config.time == "gateway",
        exact=_EXACT[slot.kind],
    )


def _fit_value(value: Value, kind: Kind, quality: int) -> tuple[Value, int]:
    if value is None:
        return None, quality if q.severity(quality) is Severity.BAD else Quality.BAD
    try:
        fit = coerce(value, kind)
    except (TypeError, OverflowError):
        return None, Quality.BAD_TYPE
    if isinstance(fit, float) and not isfinite(fit):
        return None, Quality.BAD_NOT_FINITE
    if isinstance(fit, str) and len(fit) > MAX_TEXT:
        return None, Quality.BAD_DECODING
    return fit, quality


def _worth_telling(tag: _Tag, band: float, reading: Reading, now: int) -> bool:
    """Exception reporting: with a deadband, only a change, a new quality or a long silence is passed on."""
    told = tag.told
    if told is None or reading.quality != told.quality or (reading.value is None) != (told.value is None):
        return True
    if tag.max_silence is not None and now - tag.told_at >= tag.max_silence:
        return True
    if isinstance(reading.value, int | float) and isinstance(told.value, int | float):
        return abs(reading.value - told.value) > band
    return reading.value != told.value


def _share(tag: _Tag, band: float, reading: Reading) -> float:
    """Return how far a reading is from the last one told, as a share of the deadband."""
    told = tag.told.value if tag.told is not None else None
    if isinstance(reading.value, int | float) and isinstance(told, int | float):
        return abs(reading.value - told) / band
    return 0.0
