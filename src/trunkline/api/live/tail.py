"""Follows the site log from its end in a thread of its own: values, and what gateways tell of themselves."""

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Final

from trunkline.api.live.cache import LiveValue, newest
from trunkline.ledger.status import GatewayStatus, decode_status
from trunkline.log.codec.records import decode_records
from trunkline.log.codec.registry import RegistryClient
from trunkline.log.port import Log, Positions, StoredRecord
from trunkline.log.topics import Layout
from trunkline.model.errors import CorruptData, TrunklineError
from trunkline.model.reading import Category

_log = logging.getLogger(__name__)

#: Clean topics hold what validation wrote: schemas of ours.
_BUILT_IN: Final = RegistryClient()

_PAUSE: Final = 0.1
_RETRY_PAUSE: Final = 1.0
_MAX_RECORDS: Final = 500
#: Reports of gateways to look back over at the start: each gateway reports every few seconds.
_LOOK_BACK: Final = 500


class Tail:
    """The thread.

    Args:
        log: the site log; nothing is committed to it.
        layout: names of the topics.
        on_values: gets the newest readings of one pass, how many readings there were and how many records could not be read.
        on_gateway: gets each report of a gateway.
        on_state: gets None when the log can be read, or why it cannot.
    """

    def __init__(
        self,
        log: Log,
        layout: Layout,
        on_values: Callable[[list[LiveValue], int, int], None],
        on_gateway: Callable[[GatewayStatus], None],
        on_state: Callable[[str | None], None],
    ) -> None:
        self._log = log
        self._values_topics = layout.topics(Category.TELEMETRY, "clean")
        self._status_topic = layout.gateway_status
        self._on_values, self._on_gateway, self._on_state = on_values, on_gateway, on_state
        self._positions: Positions = {}
        self._stop = threading.Event()
        self._placed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="live-tail", daemon=True)

    def start(self) -> None:
        """Start following."""
        self._thread.start()

    def wait_placed(self, timeout: float) -> bool:
        """Wait until the end of the log was found: what history holds by then and what is told later leave no gap."""
        return self._placed.wait(timeout)

    def stop(self) -> None:
        """Stop and wait for the thread."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        failing: bool | None = None
        while not self._stop.is_set():
            try:
                if not self._placed.is_set():
                    self._place()
                moved = self._pass()
            except TrunklineError as error:
                if failing is not True:
                    _log.warning("live values stand still: %s", error)
                    self._on_state(str(error))
                failing = True
                self._stop.wait(_RETRY_PAUSE)
                continue
            if failing is not False:
                failing = False
                self._on_state(None)
            if not moved:
                self._stop.wait(_PAUSE)

    def _place(self) -> None:
        for topic in self._values_topics:
            for at, (_, end) in self._log.bounds(topic).items():
                self._positions[at] = end
        for at, (first, end) in self._log.bounds(self._status_topic).items():
            self._positions[at] = max(first, end - _LOOK_BACK)
        self._placed.set()

    def _pass(self) -> bool:
        """Read every partition once; return whether there was anything."""
        moved = False
        blocks: list[StoredRecord] = []
        for at, position in list(self._positions.items()):
            records = self._log.read(at, position, _MAX_RECORDS)
            if not records:
                continue
            moved = True
            self._positions[at] = records[-1].offset + 1
            if at.topic == self._status_topic:
                self._gateways(records)
            else:
                blocks.extend(records)
        if blocks:
            self._on_values(*_decoded(blocks))
        return moved

    def _gateways(self, records: Sequence[StoredRecord]) -> None:
        for record in records:
            try:
                self._on_gateway(decode_status(record.value))
            except CorruptData as error:
                _log.warning("a gateway's report was passed over: %s", error)


def _decoded(records: Sequence[StoredRecord]) -> tuple[list[LiveValue], int, int]:
    """Return the newest readings, how many there were, and how many records are damaged. Records may be of every form."""
    try:
        columns, broken = decode_records(records, _BUILT_IN, {})
    except CorruptData as error:
        if len(records) == 1:
            _log.warning("a record was passed over: %s", error)
            return [], 0, 1
        halves = (_decoded(records[: len(records) // 2]), _decoded(records[len(records) // 2 :]))
        return halves[0][0] + halves[1][0], halves[0][1] + halves[1][1], halves[0][2] + halves[1][2]
    for record, reason in broken:
        _log.warning("record %d of %s/%d was passed over: %s", record.offset, record.topic, record.partition, reason)
    return newest(columns), len(columns), len(broken)
