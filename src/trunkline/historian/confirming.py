"""Tells the edges what is stored, so that they may let their copies go (PD-10)."""

import time
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from trunkline.historian.admission import Lane
from trunkline.ledger.balance import REPLAY_ORIGIN
from trunkline.ledger.confirmation import Confirmation, ConfirmedLane, encode_confirmation
from trunkline.ledger.coverage import Coverage
from trunkline.log.port import Log, Record
from trunkline.log.topics import Layout
from trunkline.model import times
from trunkline.model.errors import Rejected, RetryLater

_log = structlog.get_logger(__name__)

PERIOD_SECONDS: Final = 30.0
#: Everything is told again this often: the topic keeps a day, and an edge that was away must still find its own.
REPEAT_SECONDS: Final = 3600.0


class Confirmer:
    """Appends a `Confirmation` per origin when its coverage has changed, at most every `PERIOD_SECONDS`. Owned by the writer's thread.

    Args:
        log: the site log.
        layout: names of topics.
        stored: coverage as committed to the database, by origin and clean partition.
        clock: seconds that never run backwards.
    """

    def __init__(
        self, log: Log, layout: Layout, stored: Callable[[], Mapping[Lane, Coverage]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._log = log
        self._topic = layout.confirmations
        self._raw = {clean: raw for raw, clean in layout.clean_of.items()}
        self._stored = stored
        self._clock = clock
        self._told: dict[str, list[ConfirmedLane]] = {}
        self._changed = False
        self._due = self._repeat = clock()

    def changed(self) -> None:
        """Note that the coverage may have changed."""
        self._changed = True

    def tend(self) -> None:
        """Tell what is due. A site log that is away costs nothing: the next telling says it all."""
        now = self._clock()
        if now < self._due or not (self._changed or now >= self._repeat):
            return
        if now >= self._repeat:
            self._told.clear()
            self._repeat = now + REPEAT_SECONDS
        lanes = self._lanes()
        new = {origin: found for origin, found in lanes.items() if self._told.get(origin) != found}
        if new:
            self._due = now + PERIOD_SECONDS
            try:
                self._log.append(self._topic, [self._record(origin, found) for origin, found in new.items()])
            except (RetryLater, Rejected) as error:
                _log.warning("edges cannot be told now what is stored; they keep their copies longer", error=str(error))
                return
        self._told, self._changed = lanes, False

    def _lanes(self) -> dict[str, list[ConfirmedLane]]:
        lanes: dict[str, list[ConfirmedLane]] = {}
        for (origin, place), coverage in sorted(self._stored().items()):
            topic = self._raw.get(place.topic)
            if topic is not None and origin != REPLAY_ORIGIN:
                ranges = [(one.lo, one.hi) for one in coverage.ranges]
                lanes.setdefault(origin, []).append(ConfirmedLane(topic, place.partition, ranges))
        return lanes

    def _record(self, origin: str, lanes: list[ConfirmedLane]) -> Record:
        return Record(encode_confirmation(Confirmation(origin, times.now(), lanes)), key=origin.encode())
